"""Whaticket and its forks, in the dialect of requirement 1; routes, state words and login are options.

No real fork has the ``/disconnect`` and ``/start-session`` routes of the requirement (facts: section 0), so every route
can be set to the real one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..config import BackendConfig
from ..errors import BackendAnswerError, BackendAuthError, ConfigError, InvalidName, UnknownSession
from ..http import Answer, AnswerTimeout, Transport
from ..models import ConnectionState, Session
from ..names import check_name, shown

ROUTES = {
    "list": "GET /whatsapp",
    "show": "GET /whatsapp/{id}",
    "disconnect": "PUT /whatsapp/{id}/disconnect",
    "start": "PUT /whatsapp/{id}/start-session",
}

# OPENED is what requirement 1 filters for; the other words are those that the real programs write (facts: 1.3).
# PENDING is "reconnecting" in ticketz and "wiped, needs a QR" in another fork: the option `states` says which.
STATES = {
    "OPENED": ConnectionState.CONNECTED,
    "CONNECTED": ConnectionState.CONNECTED,
    "OPENING": ConnectionState.CONNECTING,
    "PAIRING": ConnectionState.CONNECTING,
    "PENDING": ConnectionState.RECONNECTING,
    "TIMEOUT": ConnectionState.RECONNECTING,
    "QRCODE": ConnectionState.QR_REQUIRED,
    "PASSKEY_REQUIRED": ConnectionState.QR_REQUIRED,
    "DISCONNECTED": ConnectionState.DISCONNECTED,
    "CONFLICT": ConnectionState.CONFLICT,
    "UNPAIRED": ConnectionState.LOGGED_OUT,
    "UNPAIRED_IDLE": ConnectionState.LOGGED_OUT,
    "TOS_BLOCK": ConnectionState.BANNED,
    "SMB_TOS_BLOCK": ConnectionState.BANNED,
}


class WhaticketBackend:
    """Adapter of one Whaticket backend; the login token lives as long as the object."""

    def __init__(self, config: BackendConfig, transport: Transport | None = None) -> None:
        self._config = config
        self._transport = transport or Transport(config.url, config.connect_timeout, config.read_timeout)
        self._routes = {**ROUTES, **_checked_routes(config)}
        self._states = {**STATES, **_checked_states(config)}
        self._token = config.auth.token

    # -- parse --------------------------------------------------------------------------------------------------

    def _session(self, row: Any) -> Session:
        if not isinstance(row, dict) or "id" not in row:
            raise BackendAnswerError(f"Backend {self._config.name} lists a session without an id.", "Check its routes.")
        try:
            session_id = check_name(row["id"])
        except InvalidName as error:
            raise BackendAnswerError(f"Backend {self._config.name}: {error.message}", "Rename the session.") from None
        word = str(row.get("status") or "")
        return Session(
            backend=self._config.name,
            id=session_id,
            state=self._states.get(word.upper(), ConnectionState.UNKNOWN),
            raw_state=word[:64],
            name=str(row.get("name") or "")[:128],
            company=str(row.get("companyId") or "")[:64],
            updated_at=_epoch(row.get("updatedAt")),
        )

    # -- calls --------------------------------------------------------------------------------------------------

    def list_sessions(self) -> list[Session]:
        rows = self._ask("list", "", "list its sessions").json()
        if isinstance(rows, dict):
            rows = rows.get("whatsapps", rows)
        if not isinstance(rows, list):
            raise BackendAnswerError(f"Backend {self._config.name} did not answer a list of sessions.", "Check routes.")
        return [self._session(row) for row in rows]

    def get_session(self, session: str) -> Session:
        answer = self._ask("show", session, f"show session {session}", none_is_404=True)
        if answer.status == 404:
            # A 404 in HTML is a route that does not exist, not a session that does not.
            if answer.body.lstrip()[:1] == b"<":
                answer.json()
            raise UnknownSession(
                f"Backend {self._config.name} has no session {session}.", "List them with check_sessions.yml."
            )
        return self._session(answer.json())

    def disconnect(self, session: str) -> None:
        # 400 ERR_WAPP_NOT_INITIALIZED: no socket in memory, which is what was asked for (facts: 1.8).
        self._ask("disconnect", session, f"disconnect session {session}", accepted=(400,))

    def start(self, session: str) -> None:
        try:
            self._ask("start", session, f"start session {session}")
        except AnswerTimeout:
            # ticketz answers only once the session is open (facts: 1.8): silence is not a failure, the state tells.
            return

    def close(self) -> None:
        self._transport.close()

    def _ask(
        self, route: str, session: str, what: str, accepted: tuple[int, ...] = (), none_is_404: bool = False
    ) -> Answer:
        method, path = self._routes[route].split(" ", 1)
        if "{id}" in path:
            path = path.replace("{id}", check_name(session))
        answer = self._transport.call(method, path, self._headers())
        if answer.status in (401, 403) and self._config.auth.type == "login":
            # A token ends after minutes, and a restarted backend refuses older ones with 403 (facts: 1.2, 1.5).
            self._token = ""
            answer = self._transport.call(method, path, self._headers())
        if answer.status in (401, 403):
            raise BackendAuthError(
                f"Backend {self._config.name} refuses our login (HTTP {answer.status}).",
                "Check auth in its configuration; the user must be an administrator.",
            )
        if answer.status == 404 and none_is_404:
            return answer
        if answer.status == 404 and session and answer.body.lstrip()[:1] == b"{":
            raise UnknownSession(f"Backend {self._config.name} has no session {session}.", "List its sessions.")
        if answer.status not in (200, 201, 202, 204, *accepted):
            raise answer.unexpected(what)
        return answer

    def _headers(self) -> dict[str, str]:
        auth = self._config.auth
        if auth.type == "none":
            return {}
        if not self._token:
            self._token = self._login()
        return {"Authorization": f"Bearer {self._token}"}

    def _login(self) -> str:
        auth = self._config.auth
        answer = self._transport.call("POST", auth.login_path, json={"email": auth.username, "password": auth.password})
        if answer.status in (400, 401, 403):
            raise BackendAuthError(
                f"Backend {self._config.name} refuses our user name or password (HTTP {answer.status}).",
                "Correct auth.username and auth.password.",
            )
        if answer.status != 200:
            raise answer.unexpected("log us in")
        body = answer.json()
        token = body.get("token") if isinstance(body, dict) else None
        if not isinstance(token, str) or not token:
            raise BackendAnswerError(f"Backend {self._config.name} gave no token at login.", "Check auth.login_path.")
        return token


def _checked_routes(config: BackendConfig) -> dict[str, str]:
    for name, route in config.routes.items():
        method, _, path = route.partition(" ")
        if name not in ROUTES:
            raise ConfigError(
                f"Backend {config.name}: route {shown(name)} is not known.", f"Known: {', '.join(ROUTES)}."
            )
        if method not in ("GET", "POST", "PUT", "DELETE") or not path.startswith("/"):
            raise ConfigError(
                f"Backend {config.name}: route {name} {shown(route)} is not a method and a path.",
                f'Write it as "{ROUTES[name]}".',
            )
    return dict(config.routes)


def _checked_states(config: BackendConfig) -> dict[str, ConnectionState]:
    try:
        return {word.upper(): ConnectionState(state) for word, state in config.states.items()}
    except ValueError:
        raise ConfigError(
            f"Backend {config.name}: states maps a word to something that is no connection state.",
            f"Use {', '.join(state.value for state in ConnectionState)}.",
        ) from None


def _epoch(value: Any) -> float | None:
    """Epoch seconds of an ISO date, the form that Sequelize answers."""
    try:
        return datetime.fromisoformat(str(value).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
