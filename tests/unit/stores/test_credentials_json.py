"""Which credentials can be used, and which of several are put back."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionmedic.credentials_json import Candidate, choose_credentials, judge
from tests.unit.stores.auth_state import as_buffer, creds, creds_content, key

Change = Callable[[dict[str, Any]], object]


def changed(change: Change) -> bytes:
    content = creds_content()
    change(content)
    return json.dumps(content).encode()


def as_numbers(content: Any) -> Any:
    """Buffers as plain JSON.stringify writes them."""
    if isinstance(content, dict):
        if content.get("type") == "Buffer":
            return {"type": "Buffer", "data": list(base64.b64decode(content["data"]))}
        return {name: as_numbers(value) for name, value in content.items()}
    return content


def test_complete_credentials_are_accepted_in_both_forms_of_buffers() -> None:
    numbers = json.dumps(as_numbers(creds_content())).encode()
    verdict = judge(creds())
    assert verdict.ok and verdict.reason == ""
    assert verdict.identity is not None
    assert verdict.identity.me_id == "15550002222:5@s.whatsapp.net"
    assert verdict.identity.registration_id == 228
    assert judge(numbers) == verdict


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "There are no credentials."),
        (b"", "The credentials are empty."),
        (b" \n", "The credentials are empty."),
        (b"{}", "The credentials are an empty object."),
        (b"[]", "The credentials are not a JSON object."),
        (b"null", "The credentials are not a JSON object."),
        (b'"{}"', "The credentials are not a JSON object."),
        (b"\xff\xfe{}", "The credentials are truncated or no JSON document."),
        (b"\xef\xbb\xbf" + creds(), "The credentials are truncated or no JSON document."),
        (creds().replace(b"228", b"NaN"), "The credentials are truncated or no JSON document."),
        (b"[" * 100_000, "The credentials are truncated or no JSON document."),
        (creds(me=None), "The credentials are not paired with an account (no me)."),
        (creds(me="nobody"), "The credentials are not paired with an account (no me)."),
        (changed(lambda c: c.update(me={})), "The credentials are not paired with an account (no me)."),
        (changed(lambda c: c.pop("noiseKey")), "The credentials have no noiseKey."),
        (
            changed(lambda c: [c.pop("signedPreKey"), c.update(registrationId=None)]),
            "The credentials have no signedPreKey, registrationId.",
        ),
        (changed(lambda c: c.pop("advSecretKey")), "The credentials have no advSecretKey."),
        (changed(lambda c: c.pop("signedIdentityKey")), "The credentials have no signedIdentityKey."),
        (
            changed(lambda c: c["noiseKey"].update(public=as_buffer(key("x", 31)))),
            "The credentials' noiseKey.public is not a key of 32 bytes.",
        ),
        (
            changed(lambda c: c["signedIdentityKey"].update(private={"type": "Buffer", "data": [1, 2, 256]})),
            "The credentials' signedIdentityKey.private is not a key of 32 bytes.",
        ),
        (
            changed(lambda c: c["signedIdentityKey"].update(private="c2VjcmV0")),
            "The credentials' signedIdentityKey.private is not a key of 32 bytes.",
        ),
        (
            changed(lambda c: c["signedPreKey"].update(keyPair=None)),
            "The credentials' signedPreKey.keyPair.private is not a key of 32 bytes.",
        ),
        (
            changed(lambda c: c["signedPreKey"].update(signature=as_buffer(key("x", 32)))),
            "The credentials' signedPreKey.signature is not a key of 64 bytes.",
        ),
        (changed(lambda c: c["signedPreKey"].pop("keyId")), "The credentials' signedPreKey.keyId is not a number."),
        (changed(lambda c: c.update(registrationId="228")), "The credentials' registrationId is not a number."),
        (changed(lambda c: c.update(registrationId=True)), "The credentials' registrationId is not a number."),
        (
            changed(lambda c: c.update(advSecretKey="c2hvcnQ=")),
            "The credentials' advSecretKey is not a key of 32 bytes.",
        ),
        (changed(lambda c: c.update(advSecretKey="é" * 44)), "The credentials' advSecretKey is not a key of 32 bytes."),
        (changed(lambda c: c.update(advSecretKey=[1])), "The credentials' advSecretKey is not a key of 32 bytes."),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(data: bytes | None, reason: str) -> None:
    verdict = judge(data)
    assert not verdict.ok
    assert verdict.reason == reason


@given(st.integers(0, len(creds()) - 1))
def test_no_truncated_credentials_are_accepted(length: int) -> None:
    assert not judge(creds()[:length]).ok


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_get_a_verdict(data: bytes) -> None:
    assert not judge(data).ok


@pytest.mark.parametrize(
    ("me", "registration", "reason"),
    [
        ("15550002223:5@s.whatsapp.net", 228, "The credentials are of another account than the current ones."),
        ("15550002222:5@lid", 228, "The credentials are of another account than the current ones."),
        (
            "15550002222:6@s.whatsapp.net",
            228,
            "The credentials are of another linked device of the account than the current ones.",
        ),
        (
            "15550002222@s.whatsapp.net",
            228,
            "The credentials are of another linked device of the account than the current ones.",
        ),
        ("15550002222:5@s.whatsapp.net", 229, "The credentials have another registrationId than the current ones."),
    ],
)
def test_credentials_of_another_account_are_refused(me: str, registration: int, reason: str) -> None:
    verdict = judge(creds(me=me, registration=registration), current=creds())
    assert (verdict.ok, verdict.reason) == (False, reason)
    assert judge(creds(me=me, registration=registration)).ok


@pytest.mark.parametrize("current", [None, b"", b"{}", creds()[:300], creds(me=None, registration=999)])
def test_current_credentials_that_name_no_account_refuse_nothing(current: bytes | None) -> None:
    assert judge(creds(), current=current).ok


def test_incomplete_current_credentials_still_name_their_account() -> None:
    current = changed(lambda content: content.pop("noiseKey"))
    assert judge(creds("second"), current=current).ok
    assert not judge(creds(me="15550009999:5@s.whatsapp.net"), current=current).ok


def test_a_verdict_shows_no_key() -> None:
    content = creds_content()
    secret = content["signedIdentityKey"]["private"]["data"]
    shown = repr(judge(creds())) + repr(choose_credentials(None, [("backup", 1.0, creds()[:-1])]))
    for pair in ("noiseKey", "signedIdentityKey"):
        for half in ("private", "public"):
            data = content[pair][half]["data"]
            assert data not in shown and base64.b64decode(data).hex() not in shown
    broken = judge(changed(lambda c: c["signedIdentityKey"].update(private={"type": "Buffer", "data": secret[:-4]})))
    assert not broken.ok and secret[:8] not in broken.reason


def test_the_newest_usable_candidate_is_chosen() -> None:
    candidates = [
        ("oldest", 100.0, creds("second")),
        ("truncated", 400.0, creds("second")[:-10]),
        ("other account", 500.0, creds("second", me="15550009999:5@s.whatsapp.net")),
        ("good", 300.0, creds("third")),
        ("undated", None, creds("fourth")),
    ]
    choice = choose_credentials(creds(), candidates)
    assert choice.candidate == Candidate("good", 300.0, creds("third"))
    assert choice.refused == [
        ("other account", "The credentials are of another account than the current ones."),
        ("truncated", "The credentials are truncated or no JSON document."),
    ]


def test_the_identity_key_that_is_there_already_mends_nothing() -> None:
    later = changed(lambda content: content.update(nextPreKeyId=900))
    choice = choose_credentials(creds(), [("same key", 300.0, later), ("reset", 200.0, creds("second"))])
    assert choice.candidate is not None and choice.candidate.source == "reset"
    assert choice.refused == [("same key", "They hold the identity key that the session has already.")]


def test_the_identity_key_may_be_the_same_where_the_current_ones_are_broken() -> None:
    broken = changed(lambda content: content.pop("advSecretKey"))
    choice = choose_credentials(broken, [("backup", 300.0, creds())])
    assert choice.candidate is not None and choice.refused == []


def test_a_private_half_that_was_scribbled_over_is_another_key() -> None:
    scribbled = changed(lambda content: content["signedIdentityKey"].update(private=as_buffer(key("noise"))))
    choice = choose_credentials(scribbled, [("backup", 300.0, creds())])
    assert choice.candidate is not None and choice.candidate.data == creds()


def test_without_a_usable_candidate_every_reason_is_told() -> None:
    choice = choose_credentials(None, [("table", 1.0, b"{}"), ("backup", 2.0, creds(me=None))])
    assert choice.candidate is None
    assert choice.refused == [
        ("backup", "The credentials are not paired with an account (no me)."),
        ("table", "The credentials are an empty object."),
    ]
