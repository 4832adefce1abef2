"""The webhook as a Flask application."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import IO, Any

from flask import Blueprint, Flask, Response, abort, g, jsonify, request
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException

from sessionmedic.errors import SessionMedicError
from sessionmedic.redis_client import Client
from sessionmedic.service_log import REMEDY

from . import alerts, jobs, metrics
from .auth import Authenticator
from .backends import BackendNames
from .config import WebhookConfig
from .policy import INVALID, Policy
from .state import State
from .ui import page

PUBLIC = frozenset({"webhook.healthy", "webhook.ready"})
DEFAULT_LIMIT = 50
MAX_LIMIT = 500
# Alertmanager tries again after a 503, and after nothing else that we answer.
RETRY_AFTER_SECONDS = 5
DISCARD_BYTES = 16 * alerts.MAX_BYTES
DISCARD_SECONDS = 5.0

_log = logging.getLogger(__name__)


def create_app(
    config: WebhookConfig,
    client: Client,
    queue_client: Client,
    authenticator: Authenticator,
    backends: BackendNames,
    clock: Callable[[], float] = time.time,
) -> Flask:
    """The application.

    :param client: answers are text. :param queue_client: answers are bytes, as RQ wants them.
    :param clock: epoch seconds.
    """
    app = Flask(__name__)
    # One more, because werkzeug cuts a body without a declared length off at the limit and says nothing.
    app.config["MAX_CONTENT_LENGTH"] = alerts.MAX_BYTES + 1
    queue = jobs.queue_of(queue_client)
    state = State(config, client, queue, clock)
    policy = Policy(config, client, queue, backends, clock)
    collector = metrics.RemediationCollector(client, queue, backends, config.heartbeat_seconds, clock)
    app.register_blueprint(_routes(state, policy, metrics.registry(collector)))
    _protect(app, config, authenticator)
    _handle_errors(app)
    return app


def _routes(state: State, policy: Policy, registry: CollectorRegistry) -> Blueprint:
    routes = Blueprint("webhook", __name__)

    @routes.post("/alerts")
    def take_alerts() -> tuple[Response, int]:
        body = request.get_data()
        if len(body) > alerts.MAX_BYTES:
            abort(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        results = [policy.take(raw, f"webhook:{g.identity}") for raw in alerts.parse(body)]
        for one in results:
            _log.info(
                "Alert %s: %s%s",
                one.fingerprint or "?",
                one.result,
                f" ({one.reason or one.message})" if one.reason or one.message else "",
                extra={"category": REMEDY, "session": one.session},
            )
        # Only when nothing of it can be used: one bad alert must not have the good ones reported as undelivered.
        usable = any(one.result != INVALID for one in results)
        return jsonify(results=[one.as_dict() for one in results]), (
            HTTPStatus.ACCEPTED if usable else HTTPStatus.BAD_REQUEST
        )

    @routes.get("/-/healthy")
    def healthy() -> Response:
        return _plain("healthy")

    @routes.get("/-/ready")
    def ready() -> Response:
        state.ping()
        return _plain("ready") if state.workers() else _plain("no worker", HTTPStatus.SERVICE_UNAVAILABLE)

    @routes.get("/metrics")
    def show_metrics() -> Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(encode(registry), content_type=content_type)

    @routes.get("/api/remediations")
    def list_remediations() -> Response:
        return jsonify(remediations=[record.as_dict() for record in state.records.newest(_limit())])

    @routes.get("/api/remediations/<uuid:record_id>")
    def show_remediation(record_id: Any) -> Response:
        record = state.records.get(str(record_id))
        if record is None:
            abort(HTTPStatus.NOT_FOUND, "There is no such remediation, or it is too long ago.")
        return jsonify(record.as_dict())

    @routes.post("/api/pause")
    def pause() -> Response:
        body = request.get_json(force=True, silent=True) if request.content_length else {}
        if not isinstance(body, dict) or not isinstance(body.get("reason", ""), str):
            abort(HTTPStatus.BAD_REQUEST, 'Send nothing, or JSON like {"reason": "maintenance"}.')
        state.pause(g.identity, body.get("reason", ""))
        _log.warning("Repairs are paused by %s.", g.identity, extra={"category": REMEDY})
        return jsonify(paused=True)

    @routes.post("/api/resume")
    def resume() -> Response:
        was_paused = state.resume()
        if was_paused:
            _log.warning("Repairs are resumed by %s.", g.identity, extra={"category": REMEDY})
        return jsonify(paused=False, was_paused=was_paused)

    @routes.get("/")
    def status_page() -> Response:
        language = page.language(request.args.get("lang", ""), request.accept_languages)
        return Response(page.render(state.overview(page.SHOWN), language), content_type="text/html; charset=utf-8")

    return routes


def _protect(app: Flask, config: WebhookConfig, authenticator: Authenticator) -> None:
    public = PUBLIC | ({"webhook.show_metrics"} if config.open_metrics else frozenset())

    @app.before_request
    def authenticate() -> Response | None:
        if request.endpoint in public:
            return None
        # A browser that knows a password sends it along with whatever another site makes it post.
        if request.method == "POST" and request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return _error(HTTPStatus.FORBIDDEN, "Requests from other sites are refused.")
        identity = authenticator.identify(request.authorization)
        if identity is not None:
            g.identity = identity
            return None
        _log.warning("Refused: %s %s from %s without the right secret.", request.method, request.path, _address())
        answer = _error(HTTPStatus.UNAUTHORIZED, "The secret is missing or wrong.")
        for scheme in authenticator.schemes:
            answer.headers.add("WWW-Authenticate", scheme)
        return answer

    @app.after_request
    def harden(answer: Response) -> Response:
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
        answer.headers["Referrer-Policy"] = "no-referrer"
        return answer


def _handle_errors(app: Flask) -> None:
    @app.errorhandler(RedisError)
    def redis_is_away(error: RedisError) -> Response:
        _log.error("Redis cannot be used (%s).", type(error).__name__)
        answer = _error(HTTPStatus.SERVICE_UNAVAILABLE, "Redis cannot be used; send it again later.")
        answer.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return answer

    @app.errorhandler(SessionMedicError)
    def wrong(error: SessionMedicError) -> Response:
        _log.warning("Refused: %s", error)
        return _error(HTTPStatus.BAD_REQUEST, str(error))

    @app.errorhandler(HTTPException)
    def other(error: HTTPException) -> Response:
        if error.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            _log.warning("Refused: a body of more than %d bytes from %s.", alerts.MAX_BYTES, _address())
            answer = _error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {alerts.MAX_BYTES} bytes.")
            rest = request.environ["wsgi.input"]
            answer.call_on_close(lambda: _discard(rest))
            return answer
        return _error(HTTPStatus(error.code or 500), error.description or error.name)


def _limit() -> int:
    given = request.args.get("limit", str(DEFAULT_LIMIT))
    if not given.isascii() or not given.isdecimal() or not 1 <= int(given[:9]) <= MAX_LIMIT:
        abort(HTTPStatus.BAD_REQUEST, f"limit is not a number from 1 to {MAX_LIMIT}.")
    return int(given)


def _discard(rest: IO[bytes]) -> None:
    """After the answer: a client that is still sending when we close would see a broken pipe instead of the answer."""
    deadline = time.monotonic() + DISCARD_SECONDS
    left = DISCARD_BYTES
    with contextlib.suppress(OSError):
        while left > 0 and time.monotonic() < deadline:
            block = rest.read(min(left, 65536))
            if not block:
                return
            left -= len(block)


def _plain(text: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(f"{text}\n", status, content_type="text/plain; charset=utf-8")


def _error(status: HTTPStatus, message: str) -> Response:
    answer = jsonify(error=message)
    answer.status_code = status
    return answer


def _address() -> str:
    return request.remote_addr or "?"
