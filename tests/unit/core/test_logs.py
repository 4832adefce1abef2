"""The recordings of real failures, read in blocks cut anywhere: one message, one error, of the right kind."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionmedic.config import BackendConfig, ErrorPattern, LogSource
from sessionmedic.logs.correlate import CryptoError
from sessionmedic.logs.reader import ConnectionChanged, Event, LogReader, MessagesReceived

RECORDINGS = Path(__file__).parents[2] / "data/baileys-7"

# recording -> kinds of the messages that failed (benign ones left out)
FAILURES = {
    "ok": [],
    "bad-mac-bitflip": ["bad_mac"],
    "bad-mac-rollback": ["bad_mac", "bad_mac"],
    "bad-mac-two-sessions": ["bad_mac"],
    "no-session-record": ["no_session"],
    "truncated-session-file": ["no_session"],
    "invalid-prekey-id": ["invalid_prekey"],
    "closing-open-session": [],
    "message-counter-replay-msg": [],
    "message-counter-replay-pkmsg": [],
    "creds-reset-pkmsg": ["bad_mac"],
    "creds-reset-msg": ["bad_mac"],
    "group-no-sender-key": ["sender_key"],
    "group-ok-then-rollback": ["sender_key"],
    "over-2000-future": ["session_error"],
    "many-closed-sessions": [],
    "decrypt-with-closed-session": [],
}


def config(*sources: LogSource, **options: object) -> BackendConfig:
    return BackendConfig(name="b", log_sources=sources, **options)  # type: ignore[arg-type]


def read(reader: LogReader, parts: list[tuple[int, bytes]], now: float = 2e9) -> list[Event]:
    events: list[Event] = []
    for source, data in parts:
        events += reader.feed(source, data, now)
    return events + reader.flush(now + 1) + reader.flush(now + 2) + reader.flush(now + 4)


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events if isinstance(event, CryptoError)]


@pytest.mark.parametrize("name", sorted(FAILURES))
def test_a_merged_recording_counts_each_failing_message_once(name: str) -> None:
    reader = LogReader(config(LogSource("x", "merged")))
    assert kinds(read(reader, [(0, (RECORDINGS / f"{name}.log").read_bytes())])) == FAILURES[name]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("name", sorted(FAILURES))
def test_two_streams_count_each_failing_message_once(name: str, order: tuple[int, int]) -> None:
    reader = LogReader(config(LogSource("o", "stdout"), LogSource("e", "stderr")))
    streams = [(RECORDINGS / f"{name}.{stream}.log").read_bytes() for stream in ("stdout", "stderr")]
    assert kinds(read(reader, [(number, streams[number]) for number in order])) == FAILURES[name]


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 40_000), max_size=30))
def test_the_places_of_the_cuts_do_not_matter(cuts: list[int]) -> None:
    data = b"".join((RECORDINGS / f"{name}.log").read_bytes() for name in sorted(FAILURES))
    edges = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
    whole = read(LogReader(config(LogSource("x", "merged"))), [(0, data)])
    parts = [(0, data[start:end]) for start, end in zip(edges, edges[1:], strict=False)]
    assert read(LogReader(config(LogSource("x", "merged"))), parts) == whole


def pino(**fields: object) -> bytes:
    return json.dumps({"level": 50, "time": 1_795_222_384_000, **fields}).encode() + b"\n"


def baileys_line(message_id: str = "3EB0A1", error: str = "Invalid PreKey ID", **more: object) -> bytes:
    return pino(
        key={"remoteJid": "15550001111@s.whatsapp.net", "id": message_id},
        err={"type": "X", "message": error, "stack": "at async 15550001111.0 [as awaitable] (x)"},
        msg="failed to decrypt message",
        **more,
    )


def app_line(session: object = 26, message_id: str = "3EB0A1", error: str = "Invalid PreKey ID") -> bytes:
    return pino(
        whatsappId=session,
        messageId=message_id,
        messageTimestamp=1_795_222_000,
        error=error,
        msg="[wbotMessageListener] failed to decrypt message",
    )


BAD_MAC_BLOCK = (RECORDINGS / "bad-mac-bitflip.stderr.log").read_bytes()
TWO_STREAMS = (LogSource("o", "stdout"), LogSource("e", "stderr"))


def test_the_applications_own_line_names_the_session() -> None:
    (event,) = read(LogReader(config(*TWO_STREAMS)), [(0, baileys_line() + app_line())])
    assert event == CryptoError(
        "26", "invalid_prekey", 1_795_222_384.0, 1_795_222_000.0, "15550001111.0", "3EB0A1", "message_id"
    )


def test_a_line_with_its_session_counts_at_once() -> None:
    reader = LogReader(config(*TWO_STREAMS))
    (event,) = reader.feed(0, app_line(), 2e9)
    assert isinstance(event, CryptoError) and event.session == "26" and event.method == "explicit"


def test_a_message_that_is_asked_for_again_and_fails_again_counts_once() -> None:
    reader = LogReader(config(*TWO_STREAMS))
    assert kinds(read(reader, [(0, (baileys_line() + app_line()) * 5)])) == ["invalid_prekey"]


def test_a_group_message_that_fails_in_two_sessions_counts_for_both() -> None:
    events = read(LogReader(config(*TWO_STREAMS)), [(0, app_line(26) + app_line(27))])
    assert [event.session for event in events] == ["26", "27"]


def test_a_group_message_that_fails_in_two_sessions_counts_for_both_while_its_kind_is_awaited() -> None:
    error = "No matching sessions found for message"
    events = read(LogReader(config(*TWO_STREAMS)), [(0, app_line(26, error=error) + app_line(27, error=error))])
    assert sorted(str(event.session) for event in events) == ["26", "27"]


def test_a_replay_stays_benign_when_its_session_is_named_late() -> None:
    reader = LogReader(config(*TWO_STREAMS))
    replay = "Key used already or never filled"
    events = reader.feed(0, baileys_line(error=replay), 1000.0) + reader.flush(1001.0)
    events += reader.feed(0, app_line(error=replay), 1002.0) + reader.flush(1003.0)
    assert events == []


def test_nothing_is_guessed_from_neighbours() -> None:
    data = app_line(26, "3EB0A1") + baileys_line("3EB0A2") + app_line(26, "3EB0A3")
    events = read(LogReader(config(*TWO_STREAMS)), [(0, data), (1, BAD_MAC_BLOCK)])
    assert sorted((event.session or "", event.message_id) for event in events if isinstance(event, CryptoError)) == [
        ("", "3EB0A2"),
        ("26", "3EB0A1"),
        ("26", "3EB0A3"),
    ]


def test_console_text_alone_is_unattributed() -> None:
    (event,) = read(LogReader(config(*TWO_STREAMS)), [(1, BAD_MAC_BLOCK)])
    assert isinstance(event, CryptoError) and (event.session, event.kind, event.method) == (None, "bad_mac", "none")


def test_a_file_of_one_session_names_it() -> None:
    (event,) = read(LogReader(config(LogSource("e", "stderr", "26"))), [(0, BAD_MAC_BLOCK)])
    assert isinstance(event, CryptoError) and (event.session, event.method) == ("26", "source")


def test_the_console_text_tells_the_kind_of_a_generic_record() -> None:
    generic = baileys_line(error="No matching sessions found for message")
    own = app_line(error="No matching sessions found for message")
    for parts in ([(1, BAD_MAC_BLOCK), (0, generic + own)], [(0, generic + own), (1, BAD_MAC_BLOCK)]):
        (event,) = read(LogReader(config(*TWO_STREAMS)), parts)
        assert isinstance(event, CryptoError) and (event.session, event.kind) == ("26", "bad_mac")


def test_the_address_of_the_stack_is_the_peer_whatever_the_jid_says() -> None:
    own = app_line(error="No matching sessions found for message").replace(
        b'"messageId"', b'"remoteJid": "5521900002601@s.whatsapp.net", "messageId"'
    )
    generic = baileys_line(error="No matching sessions found for message")
    for data in (generic + own, own + generic):
        (event,) = read(LogReader(config(*TWO_STREAMS)), [(0, data), (1, BAD_MAC_BLOCK)])
        assert isinstance(event, CryptoError) and (event.peer, event.kind) == ("15550001111.0", "bad_mac")


def test_console_text_of_another_peer_is_not_joined() -> None:
    other = BAD_MAC_BLOCK.replace(b"15550001111.0", b"15550009999.0")
    events = read(LogReader(config(*TWO_STREAMS)), [(0, baileys_line() + app_line()), (1, other)])
    assert [(event.session, event.kind) for event in events if isinstance(event, CryptoError)] == [
        ("26", "invalid_prekey"),
        (None, "bad_mac"),
    ]


def test_without_its_console_text_a_generic_record_still_counts_after_a_while() -> None:
    reader = LogReader(config(*TWO_STREAMS))
    data = app_line(error="No matching sessions found for message")
    assert reader.feed(0, data, 1000.0) == []
    assert reader.flush(1000.2) == []
    assert kinds(reader.flush(1000.6)) == ["session_error"]


@pytest.mark.parametrize(
    "line",
    [
        b"ERROR [21-11-2026 00:51:18]: [wbot] whatsappId=26 Error: Bad MAC\n",
        b'[ERROR] Erro de criptografia WhatsApp: {\n  message: "Bad MAC",\n  sessionId: 26,\n'
        b'  context: { messageId: "abc123", companyId: 1 }\n}\n',
        b"\x1b[31mERROR\x1b[39m [00:51:18.137]: [wbot]: sessionId=26 Bad MAC\n",
        b'{"level":50,"time":1,"context":{"sessionId":26},"msg":"Bad MAC"}\n',
    ],
)
def test_lines_of_requirements_1_and_2_name_their_session(line: bytes) -> None:
    (event,) = read(LogReader(config(LogSource("x"))), [(0, line)])
    assert isinstance(event, CryptoError) and (event.session, event.kind) == ("26", "bad_mac")


def test_a_session_name_that_is_no_name_is_not_taken() -> None:
    (event,) = read(LogReader(config(LogSource("x"))), [(0, app_line("../../etc"))])
    assert isinstance(event, CryptoError) and event.session is None


def test_messages_are_counted_where_a_source_counts_them() -> None:
    data = pino(whatsappId=26, received=20, msg="[wbotMessageListener] messages received")
    assert read(LogReader(config(LogSource("x"))), [(0, data)]) == [MessagesReceived("26", 20, 1_795_222_384.0)]


def test_the_reason_of_a_close_is_read_where_the_line_names_the_session() -> None:
    data = pino(whatsappId=26, statusCode=401, msg="Socket loja-26 Connection Update close")
    data += pino(whatsappId=26, msg="Socket loja-26 Connection Update open")
    data += pino(statusCode=401, msg="Socket loja-26 Connection Update close")
    assert read(LogReader(config(LogSource("x"))), [(0, data)]) == [
        ConnectionChanged("26", "close", 401, 1_795_222_384.0),
        ConnectionChanged("26", "open", None, 1_795_222_384.0),
    ]


@pytest.mark.parametrize(
    ("jid", "address"),
    [
        ("15550001111@s.whatsapp.net", "15550001111.0"),
        ("15550001111:5@s.whatsapp.net", "15550001111.5"),
        ("99990003333:2@lid", "99990003333_1.2"),
        ("120363000000000001@g.us", ""),
        ("nonsense", ""),
    ],
)
def test_a_jid_becomes_the_address_by_which_records_are_named(jid: str, address: str) -> None:
    data = pino(whatsappId=26, messageId="3EB0A1", remoteJid=jid, error="Invalid PreKey ID", msg="x")
    (event,) = read(LogReader(config(LogSource("x"))), [(0, data)])
    assert isinstance(event, CryptoError) and event.peer == address


@pytest.mark.parametrize("fields", [{"received": -1}, {"received": True}, {"received": "20"}, {}])
def test_a_count_that_is_no_count_is_left_out(fields: dict[str, object]) -> None:
    data = pino(whatsappId=26, msg="[wbotMessageListener] messages received", **fields)
    assert read(LogReader(config(LogSource("x"))), [(0, data)]) == []


def test_more_literals_by_configuration() -> None:
    patterns = (ErrorPattern("chave quebrada", "bad_mac"), ErrorPattern("No session record", "other", benign=True))
    reader = LogReader(config(LogSource("x"), error_patterns=patterns))
    data = b"sessionId=26 chave quebrada\n" + b"sessionId=26 No session record\n"
    assert kinds(read(reader, [(0, data)])) == ["bad_mac"]


def test_a_record_time_in_the_future_is_not_believed() -> None:
    (event,) = read(LogReader(config(LogSource("x"))), [(0, app_line())], now=1000.0)
    assert event.at == 1000.0


def test_a_huge_line_and_binary_rubbish_neither_stop_nor_swallow_what_follows() -> None:
    reader = LogReader(config(LogSource("x")))
    rubbish = bytes(range(256)).replace(b"\n", b"") * 8000
    parts = [(0, rubbish[i : i + 65536]) for i in range(0, len(rubbish), 65536)]
    assert kinds(read(reader, [*parts, (0, b"\n"), (0, app_line())])) == ["invalid_prekey"]
