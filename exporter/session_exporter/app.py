"""Put the parts together and run them until told to stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from sessionmedic.backends import registry
from sessionmedic.errors import StoreError

from .config import ExporterConfig
from .credentials import CredentialsWatch
from .exposition.renderer import Renderer
from .exposition.self_metrics import BackendCollector, LogCollector, SelfMetrics
from .http import BackendLine, Pages
from .memory import MemoryWatch
from .poller import BackendPoller
from .sources.backend_logs import BackendLogs
from .state_file import StateFile
from .store import BackendStore
from .verified import VerifiedMarks

READ_SECONDS = 0.2
# Changes of health are logged this soon also when nobody scrapes.
JUDGE_SECONDS = 1.0
SAVE_SECONDS = 5.0
# Also when nothing happened: times of observation grow old.
SAVE_ANYWAY_SECONDS = 30.0
# The log thread ends after its turn and saves; a poll that hangs must not hold up the stop.
SAVED_SECONDS = 10.0
POLLS_SECONDS = 2.0

_log = logging.getLogger(__name__)


class Exporter:
    """All parts of the exporter.

    :raises StoreError: the state folder cannot be used.
    """

    def __init__(self, config: ExporterConfig) -> None:
        self._stop = threading.Event()
        self._state = StateFile(config.state_path)
        self.metrics = SelfMetrics()
        self.stores, self.logs = self._restored(config)
        self.metrics.registry.register(BackendCollector(self.stores))
        self.metrics.registry.register(LogCollector(self.logs))
        self._renderer = Renderer(self.stores, self.metrics.text)
        self._pollers: list[BackendPoller] = []
        for backend, store in zip(config.backends, self.stores, strict=True):
            self.metrics.known_backend(backend.name)
            adapter = registry.create(backend)
            self._pollers.append(BackendPoller(store, adapter, config.poll, self.metrics.checked, time.monotonic))
        self._marks: VerifiedMarks | None = None
        if config.redis_url.get_secret_value():
            self._marks = VerifiedMarks(config.redis_url.get_secret_value(), self.stores)
            self.metrics.watch_marks(lambda: self._marks is not None and self._marks.readable)
        self._memory: MemoryWatch | None = None
        if config.poll.memory_seconds:
            urls = [backend.url for backend in config.backends]
            self._memory = MemoryWatch(config.poll.memory_seconds, list(zip(self.stores, urls, strict=True)))
        self._credentials: CredentialsWatch | None = None
        if config.poll.credentials_seconds:
            backends = list(zip(self.stores, config.backends, strict=True))
            self._credentials = CredentialsWatch(config.poll.credentials_seconds, backends)
        self._threads: list[threading.Thread] = []
        self._saved_revision: object = None
        # The first look is saved at once: whoever is killed early must not begin at the ends of the logs again.
        self._saved_at = float("-inf")

    def _restored(self, config: ExporterConfig) -> tuple[list[BackendStore], list[BackendLogs]]:
        """Stores and logs as the state file left them; as new when it cannot be used."""
        saved = self._state.load()
        try:
            return self._build(config, saved)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._state.set_aside(f"{type(error).__name__}: {error}")
            return self._build(config, {})

    @staticmethod
    def _build(config: ExporterConfig, saved: dict[str, Any]) -> tuple[list[BackendStore], list[BackendLogs]]:
        stores, logs = [], []
        for backend in config.backends:
            store = BackendStore(
                backend.name, config.limits, time.time, config.forget_seconds, config.poll.timeout_seconds
            )
            data = saved.get(backend.name)
            if data is not None:
                store.restore(data)
            stores.append(store)
            logs.append(BackendLogs(backend, data, config.from_beginning))
        return stores, logs

    # -- running ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start all threads; returns at once."""
        if self._marks is not None:
            # Before the first errors are counted: a scrape must not see those from before a repair.
            self._marks.read()
            self._spawn("marks", self._marks.run)
        for store, poller in zip(self.stores, self._pollers, strict=True):
            self._spawn(f"poll {store.name}", poller.run)
        if self._memory is not None:
            self._spawn("memory", self._memory.run)
        if self._credentials is not None:
            self._spawn("credentials", self._credentials.run)
        self._log_thread = self._spawn("logs", self._follow_logs)

    def stop(self) -> None:
        """Stop all threads and save the state."""
        self._stop.set()
        for poller in self._pollers:
            poller.wake()
        self._log_thread.join(SAVED_SECONDS)
        deadline = time.monotonic() + POLLS_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        for logs in self.logs:
            logs.close()
        self._state.close()

    def _spawn(self, name: str, run: Callable[[threading.Event], None]) -> threading.Thread:
        thread = threading.Thread(target=run, args=(self._stop,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _follow_logs(self, stop: threading.Event) -> None:
        judged_at = 0.0
        while not stop.is_set():
            more = False
            judge = time.monotonic() - judged_at >= JUDGE_SECONDS
            for logs, store, poller in zip(self.logs, self.stores, self._pollers, strict=True):
                try:
                    events, has_more = logs.read(time.time())
                except Exception:
                    # What one backend's log holds must not end the watch over all others; its next turn goes on.
                    self.metrics.log_failures.labels(store.name).inc()
                    _log.exception("The logs of backend %s could not be read.", store.name)
                    continue
                more |= has_more
                if events and store.count(events):
                    poller.wake()
                if judge:
                    with store.lock:
                        store.refresh()
            judged_at = time.monotonic() if judge else judged_at
            self._save_if_due()
            if not more:
                stop.wait(READ_SECONDS)
        self._save()

    # -- state --------------------------------------------------------------------------------------------------

    def _save_if_due(self) -> None:
        age = time.monotonic() - self._saved_at
        revision = self._revision()
        urgent = any(store.urgent for store in self.stores)
        if urgent or age >= SAVE_ANYWAY_SECONDS or (age >= SAVE_SECONDS and revision != self._saved_revision):
            self._save()

    def _revision(self) -> object:
        read = [follower.bytes_read for logs in self.logs for follower in logs.followers]
        return [store.revision for store in self.stores], read

    def _save(self) -> None:
        """Write positions and counts of the same moment: only the thread that reads the logs may call it."""
        self._saved_revision = self._revision()
        self._saved_at = time.monotonic()
        backends = {}
        for store, logs in zip(self.stores, self.logs, strict=True):
            store.urgent = False
            backends[store.name] = {**store.to_json(), **logs.to_json()}
        try:
            self._state.save(backends)
        except StoreError as error:
            self.metrics.state_failures.inc()
            _log.error("%s Counts since the last write are lost if the exporter ends now.", error)
        else:
            self.metrics.state_saved.set(time.time())

    # -- pages --------------------------------------------------------------------------------------------------

    def pages(self) -> Pages:
        return Pages(self._exposition, self._lines, self._unhealthy, self._not_ready, self._may_scrape)

    def _exposition(self, openmetrics: bool, packed: bool) -> bytes:
        began = time.perf_counter()
        answer = self._renderer.gzip(openmetrics) if packed else self._renderer.text(openmetrics)
        self.metrics.scrapes.inc()
        self.metrics.render_seconds.set(time.perf_counter() - began)
        return answer

    def _may_scrape(self) -> bool:
        return all(logs.replayed for logs in self.logs)

    def _unhealthy(self) -> str:
        ended = [thread.name for thread in self._threads if not thread.is_alive()]
        return f"Ended unexpectedly: {', '.join(ended)}." if ended else ""

    def _not_ready(self) -> str:
        if not self._may_scrape():
            return "The logs have not been read yet."
        waiting = [store.name for store in self.stores if not store.was_asked()]
        return f"Not polled yet: {', '.join(waiting)}." if waiting else ""

    def _lines(self) -> list[BackendLine]:
        return [BackendLine(store.name, store.result(), len(store.sessions)) for store in self.stores]
