"""A session that needs a person is never started, whoever asks."""

from __future__ import annotations

import pytest
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils._connection import refuse_terminal
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.errors import TerminalSession
from ansible_collections.sessionmedic.whatsapp.plugins.module_utils.sessionmedic.models import ConnectionState, Session


def session(state: ConnectionState) -> Session:
    return Session("loja", "26", state)


@pytest.mark.parametrize("allow_qr", [False, True])
@pytest.mark.parametrize("state", [ConnectionState.BANNED, ConnectionState.CONFLICT])
def test_a_ban_and_a_conflict_are_always_refused(state: ConnectionState, allow_qr: bool) -> None:
    with pytest.raises(TerminalSession, match=f"is {state.value} and is not started"):
        refuse_terminal(session(state), allow_qr)


def test_a_logged_out_session_is_linked_again_only_with_a_person() -> None:
    with pytest.raises(TerminalSession):
        refuse_terminal(session(ConnectionState.LOGGED_OUT), allow_qr=False)
    refuse_terminal(session(ConnectionState.LOGGED_OUT), allow_qr=True)


def test_other_states_are_not_refused() -> None:
    refuse_terminal(session(ConnectionState.DISCONNECTED), allow_qr=False)
