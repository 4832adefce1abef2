"""Which names are auth state, and which of them a purge may take."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionmedic.errors import ConfigError, InvalidName
from sessionmedic.stores import auth_names
from sessionmedic.stores.auth_names import AuthRecord, Peers, parse, parse_file, resolve_peers
from tests.unit.stores.auth_state import RECORDS

USERS = st.from_regex(r"[0-9]{1,15}(_(1|128|129))?", fullmatch=True)
DEVICES = st.integers(0, 99)
GROUPS = st.from_regex(r"[0-9]{5,18}(-[0-9]{10})?@g\.us", fullmatch=True)


def unmapped(_name: str) -> None:
    return None


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("creds", AuthRecord("creds")),
        ("session-15550001111.0", AuthRecord("session", user="15550001111")),
        ("session-99990003333_1.14", AuthRecord("session", user="99990003333_1")),
        (
            "sender-key-120363000000000001@g.us::15550001111::0",
            AuthRecord("sender-key", "15550001111", "120363000000000001@g.us"),
        ),
        (
            "sender-key-15550009999-1595953599@g.us--15550001111--12",
            AuthRecord("sender-key", "15550001111", "15550009999-1595953599@g.us"),
        ),
        (
            "sender-key-status@broadcast--15550001111--0",
            AuthRecord("sender-key", "15550001111", "status@broadcast"),
        ),
        (
            "sender-key-memory-120363000000000001@g.us",
            AuthRecord("sender-key-memory", group="120363000000000001@g.us"),
        ),
        ("pre-key-31", AuthRecord("pre-key")),
        ("app-state-sync-key-AAAA/Ex+1=", AuthRecord("app-state-sync-key")),
        ("app-state-sync-version-regular_high", AuthRecord("app-state-sync-version")),
        ("lid-mapping-99990003333_reverse", AuthRecord("lid-mapping")),
        ("device-list-15550002222", AuthRecord("device-list")),
        ("tctoken-15550001111@s.whatsapp.net", AuthRecord("tctoken")),
        ("identity-key-15550001111.0", AuthRecord("identity-key")),
    ],
)
def test_records_of_baileys_are_known_as_keys_and_as_files(name: str, record: AuthRecord) -> None:
    assert parse(name) == record
    assert parse_file(name.replace("/", "__").replace(":", "-") + ".json") == record
    assert parse_file(auth_names.hashed(name)) == record


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".json",
        "creds",
        "creds.json.bak",
        "creds-000000.json",
        "session.json",
        "session-.json",
        "session-15550001111.json",
        "session-15550001111.0.json.tmp",
        "session-15550001111.0-000000.json",
        "session-15550001111.0.json\n",
        "session-١٥٥٥.0.json",
        "session-../27/session-1.0.json",
        "sender-key-.json",
        "sender-key-120363000000000001@g.us.json",
        "pre-key-x.json",
        "Session-15550001111.0.json",
        "notes.txt",
        "baileys_store.json",
    ],
)
def test_other_names_are_not_ours(name: str) -> None:
    assert parse_file(name) is None


def test_hashed_names_are_those_of_the_fork() -> None:
    digest = hashlib.md5(b"sender-key-1203@g.us::15550001111::0").hexdigest()[:6]
    assert auth_names.hashed("sender-key-1203@g.us::15550001111::0") == (
        f"sender-key-1203_at_g.us__15550001111__0-{digest}.json"
    )
    assert auth_names.hashed("creds") == "creds-dcce9a.json"


@given(USERS, DEVICES, USERS, DEVICES, GROUPS)
def test_a_peer_never_selects_another_peers_records(user: str, device: int, other: str, at: int, group: str) -> None:
    number, _, domain = user.partition("_")
    # A number and its hosted form are one peer, so are a LID and its hosted form.
    family = {number, f"{number}_128"} if domain in ("", "128") else {f"{number}_1", f"{number}_129"}
    peers = resolve_peers([f"{user}.{device}"], unmapped)
    for name in (f"session-{other}.{at}", f"sender-key-{group}::{other}::{at}"):
        record = parse(name)
        assert record is not None
        assert peers.include(record) == (other in family)


FRAGMENTS = [
    "15550001111",
    "1555000111",
    "99990003333",
    "_1",
    ".",
    "0",
    ":",
    "@",
    "lid",
    "s.whatsapp.net",
    "*",
    "-",
    "\n",
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=6).map("".join))
def test_no_text_selects_anything_but_a_peer(text: str) -> None:
    """A peer's name comes from a log: whatever it is, it is refused, or selects records of that very name."""
    try:
        peers = resolve_peers([text], unmapped)
    except InvalidName:
        return
    everything = [parse(name[: -len(".json")]) for name in RECORDS]
    named = {record.user for record in everything if record and peers.include(record)}
    assert named <= {"15550001111", "15550001112", "99990003333_1"}
    assert all(re.match(rf"{user.partition('_')[0]}(?![0-9])", text) for user in named)


@pytest.mark.parametrize(
    "peer", ["", "*", "../..", "15550001111.*", "1555000111?", "[0-9]", "15550001111.0 15550001112.0", "1" * 300, "a@b"]
)
def test_what_is_no_peer_is_refused(peer: str) -> None:
    with pytest.raises(InvalidName):
        resolve_peers([peer], unmapped)


@pytest.mark.parametrize("peer", ["15550001111", "15550001111.12", "15550001111:5@s.whatsapp.net", "15550001111@c.us"])
def test_every_way_to_name_a_peer_means_all_its_devices(peer: str) -> None:
    assert resolve_peers([peer], unmapped) == Peers(frozenset({"15550001111", "15550001111_128"}), frozenset())


MAPPING = {"lid-mapping-15550003333": b'"99990003333"', "lid-mapping-99990003333_reverse": b'"15550003333"'}


@pytest.mark.parametrize(
    "peer", ["15550003333.0", "99990003333_1.0", "99990003333:3@lid", "99990003333.0", "15550003333@s.whatsapp.net"]
)
def test_a_number_and_its_lid_are_one_peer(peer: str) -> None:
    users = resolve_peers([peer], MAPPING.get).users
    assert {"15550003333", "99990003333_1"} <= users
    assert not users & {"99990003333", "15550003333_1"}


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[]", b'"../27"', b'"*"', b"\xff"])
def test_a_broken_mapping_is_no_mapping(content: bytes) -> None:
    assert resolve_peers(["15550003333.0"], lambda _: content).users == {"15550003333", "15550003333_128"}


def test_a_group_selects_its_sender_keys_and_their_memory() -> None:
    peers = resolve_peers(["120363000000000001@g.us"], unmapped)
    chosen = [name for name in RECORDS if (record := parse_file(name)) and peers.include(record)]
    assert chosen == [
        "sender-key-120363000000000001@g.us--15550001111--0.json",
        "sender-key-120363000000000001@g.us--99990003333_1--0.json",
        "sender-key-memory-120363000000000001@g.us.json",
    ]


@pytest.mark.parametrize(("level", "peers"), [("everything", None), ("", None), ("all", ["1.0"]), ("cache", ["1.0"])])
def test_levels_that_do_not_exist_or_take_no_peers_are_refused(level: str, peers: list[str] | None) -> None:
    with pytest.raises(ConfigError):
        auth_names.check_purge(level, peers)
