"""What fix_session was asked for: every wrong value is refused with a sentence that names it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.errors import (
    AmbiguousSession,
    ConfigError,
    InvalidName,
    SessionMedicError,
    UnknownSession,
)
from ansible_collections.sessionmedic.whatsapp.plugins.plugin_utils.request import choose_targets, parse_request

BACKENDS = ["north", "south"]
LOOKUP = "{{ lookup('pipe','touch pwned') }}"


@pytest.mark.parametrize(
    ("given", "ids"),
    [(26, ["26"]), ("26", ["26"]), ("loja-1", ["loja-1"]), ([26, "27", 26], ["26", "27"]), (["all"], ["all"])],
)
def test_ids(given: object, ids: list[str]) -> None:
    request = parse_request({"id": given}, BACKENDS)
    assert (request["ids"], request["all"]) == (ids, False)


def test_all_sessions() -> None:
    request = parse_request({"id": "all"}, BACKENDS)
    assert (request["ids"], request["all"], request["backends"]) == ([], True, BACKENDS)


def test_defaults() -> None:
    assert parse_request({"id": 26}, []) == {
        "all": False,
        "ids": ["26"],
        "backends": ["default"],
        "backend_named": False,
        "from_environment": True,
        "strategy": "auto",
        "lock_store": "redis",
        "lock_ttl": 300.0,
        "remediation_id": "",
        "force": False,
        "confirm": False,
        "allow_qr": False,
        "ignore_pause": False,
        "verify_settle_seconds": 20.0,
        "verify_timeout_seconds": 60.0,
    }


@pytest.mark.parametrize(
    "value",
    [
        "",
        "../..",
        "*",
        "26 27",
        "x" * 300,
        LOOKUP,
        "26\n",
        "-26",
        "26/27",
        "26:27",
        "26;id",
        "२६",
        None,
        True,
        2.6,
        {},
        [],
    ],
)
@pytest.mark.parametrize("listed", [False, True])
def test_ids_that_are_no_names_are_refused(value: object, listed: bool) -> None:
    with pytest.raises((InvalidName, ConfigError)) as caught:
        parse_request({"id": [value] if listed else value}, BACKENDS)
    assert len(str(caught.value)) < 300
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("backend", LOOKUP, InvalidName),
        ("backend", "", InvalidName),
        ("backend", ["north"], InvalidName),
        ("backend", "east", ConfigError),
        ("strategy", LOOKUP, ConfigError),
        ("strategy", "reset", ConfigError),
        ("strategy", ["restart"], ConfigError),
        ("lock", "none", ConfigError),
        ("force", LOOKUP, ConfigError),
        ("confirm", "maybe", ConfigError),
        ("allow_qr", [True], ConfigError),
        ("ignore_pause", "2", ConfigError),
        ("verify_settle_seconds", LOOKUP, ConfigError),
        ("verify_settle_seconds", -1, ConfigError),
        ("verify_timeout_seconds", True, ConfigError),
        ("verify_timeout_seconds", "nan", ConfigError),
        ("verify_timeout_seconds", 1e9, ConfigError),
        ("remediation_id", LOOKUP, InvalidName),
    ],
)
def test_other_parameters_are_refused_too(name: str, value: object, error: type[SessionMedicError]) -> None:
    with pytest.raises(error, match=name if name != "backend" else "backend"):
        parse_request({"id": 26, name: value}, BACKENDS)


@pytest.mark.parametrize(("word", "meant"), [("true", True), ("True", True), (True, True), ("no", False), (0, False)])
def test_switches(word: object, meant: bool) -> None:
    assert parse_request({"id": 26, "force": word}, BACKENDS)["force"] is meant


def test_the_lock_outlives_the_longest_step() -> None:
    request = parse_request({"id": 26, "verify_timeout_seconds": "900", "verify_settle_seconds": 30}, BACKENDS)
    assert request["lock_ttl"] > 930


def test_no_id() -> None:
    with pytest.raises(ConfigError, match="-e id=26"):
        parse_request({}, BACKENDS)
    assert parse_request({}, BACKENDS, all_by_default=True)["all"] is True


def answer(backend: str, *sessions: str, healthy: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "backend": backend,
        "available": True,
        "msg": "",
        "sessions": [{"id": session, "healthy": session in healthy} for session in sessions],
    }


BROKEN = {"backend": "south", "available": False, "msg": "It cannot be reached.", "sessions": []}


def test_an_id_is_found_on_its_backend() -> None:
    chosen = choose_targets(
        parse_request({"id": [26, 2]}, BACKENDS), [answer("north", "26"), answer("south", "2", "3")]
    )
    assert chosen["targets"] == [{"backend": "north", "session": "26"}, {"backend": "south", "session": "2"}]


def test_an_id_on_two_backends_is_refused_with_their_names() -> None:
    with pytest.raises(AmbiguousSession, match="north and south.*-e backend=north"):
        choose_targets(parse_request({"id": 26}, BACKENDS), [answer("south", "26"), answer("north", "26")])


def test_an_id_that_a_silent_backend_may_have_too_is_refused() -> None:
    with pytest.raises(AmbiguousSession, match=r"could not be asked.*south.*cannot be reached.*-e backend=north"):
        choose_targets(parse_request({"id": 26}, BACKENDS), [answer("north", "26"), BROKEN])


def test_an_unknown_id_is_refused() -> None:
    with pytest.raises(UnknownSession, match="99.*north, south"):
        choose_targets(parse_request({"id": [26, 99]}, BACKENDS), [answer("north", "26"), answer("south", "2")])
    with pytest.raises(UnknownSession, match="99.*north.*south: It cannot be reached"):
        choose_targets(parse_request({"id": 99}, BACKENDS), [answer("north", "26"), BROKEN])


def test_all_means_the_unhealthy_ones_unless_forced() -> None:
    answers = [answer("north", "26", "27", healthy=("27",)), BROKEN]
    chosen = choose_targets(parse_request({"id": "all"}, BACKENDS), answers)
    assert chosen == {
        "targets": [{"backend": "north", "session": "26"}],
        "healthy": 1,
        "unavailable": ["Backend south: It cannot be reached."],
    }
    forced = choose_targets(parse_request({"id": "all", "force": True}, BACKENDS), answers)
    assert [target["session"] for target in forced["targets"]] == ["26", "27"]
