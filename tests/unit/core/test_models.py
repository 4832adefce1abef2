import pytest

from sessionmedic.models import FLAP_SECONDS, ConnectionState, StateGroup, explained, new_spell


def test_flapping_between_connecting_and_closed_is_one_spell() -> None:
    spell = new_spell(ConnectionState.CONNECTING, 100.0)
    for number in range(1, 60):
        state = ConnectionState.DISCONNECTED if number % 2 else ConnectionState.RECONNECTING
        spell = spell.observe(state, 100.0 + 2 * number)
    assert (spell.group, spell.since) == (StateGroup.TRANSITORY, 100.0)


def test_a_close_that_lasts_ends_the_spell() -> None:
    spell = new_spell(ConnectionState.CONNECTING, 100.0).observe(ConnectionState.DISCONNECTED, 100.0 + FLAP_SECONDS)
    assert spell.group is StateGroup.TRANSITORY
    spell = spell.observe(ConnectionState.DISCONNECTED, 101.0 + FLAP_SECONDS)
    assert (spell.group, spell.since) == (StateGroup.DOWN, 101.0 + FLAP_SECONDS)


def test_each_group() -> None:
    groups = {state: new_spell(state, 1.0).group.value for state in ConnectionState}
    assert groups == {
        ConnectionState.CONNECTED: "connected",
        ConnectionState.CONNECTING: "transitory",
        ConnectionState.RECONNECTING: "transitory",
        ConnectionState.INITIALIZING: "transitory",
        ConnectionState.LOADING: "transitory",
        ConnectionState.QR_REQUIRED: "waiting",
        ConnectionState.DISCONNECTED: "down",
        ConnectionState.AUTH_FAILURE: "down",
        ConnectionState.CONFLICT: "terminal",
        ConnectionState.LOGGED_OUT: "terminal",
        ConnectionState.BANNED: "terminal",
        ConnectionState.UNKNOWN: "unknown",
    }


def test_a_connection_ends_the_spell_and_the_next_try_starts_a_new_one() -> None:
    spell = new_spell(ConnectionState.CONNECTING, 100.0).observe(ConnectionState.CONNECTED, 110.0)
    assert (spell.group, spell.since) == (StateGroup.CONNECTED, 110.0)
    spell = spell.observe(ConnectionState.CONNECTING, 200.0)
    assert (spell.group, spell.since) == (StateGroup.TRANSITORY, 200.0)


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (401, ConnectionState.LOGGED_OUT),
        (403, ConnectionState.BANNED),
        (440, ConnectionState.CONFLICT),
        (408, ConnectionState.DISCONNECTED),
        (None, ConnectionState.DISCONNECTED),
    ],
)
def test_the_log_tells_why_a_session_is_disconnected(code: "int | None", state: ConnectionState) -> None:
    assert explained(ConnectionState.DISCONNECTED, code) is state
    for other in (ConnectionState.CONNECTED, ConnectionState.CONNECTING, ConnectionState.QR_REQUIRED):
        assert explained(other, code) is other
