"""Auth state as Redis keys: ``<prefix of the session><record name>``, a string each in the known backends."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from .. import libraries
from ..config import BackendConfig
from ..errors import ConfigError, StoreError
from ..names import check_name, shown
from ..redis_client import Client, connect, place
from . import auth_names
from .auth_names import AuthRecord

_SCAN_COUNT = 1000
_BATCH = 500
_NO_EXPIRY = -1
_NAME_CHARACTERS = re.compile(r"[A-Za-z0-9._@-]", re.ASCII)


class KeyDump(NamedTuple):
    """One key as Redis gives it out.

    :param key: the whole key.
    :param type: Redis' word for its type.
    :param ttl_ms: milliseconds until it expires, -1 for never.
    :param dump: payload of DUMP; it carries its own checksum and the version of its format.
    :param value: content of a string, None for other types.
    """

    key: str
    type: str
    ttl_ms: int
    dump: bytes
    value: bytes | None = None


class SessionKeys:
    """The keys of one session, and its caches.

    Keys are found with SCAN by the exact prefix with both separators, and only those are ever named to Redis.

    :param client: a client to use instead of a new one of ``config.redis_url``.
    :raises InvalidName: the session id is no safe name.
    :raises ConfigError: a prefix under which the keys of two sessions could be mistaken, or no Redis at all.
    """

    def __init__(self, config: BackendConfig, session: str, client: Client | None = None) -> None:
        self._session = check_name(session)
        if client is None and not config.redis_url:
            raise ConfigError(f"Backend {config.name} has no redis_url.", "Set redis_url of the backend.")
        self._where = place(config.redis_url) if config.redis_url else "the given connection"
        self._prefixes = [_prefix(template, self._session) for template in config.redis_prefixes]
        self._cache_prefixes = [_prefix(template, self._session) for template in config.cache_prefixes]
        if client is None:
            client = connect(config.redis_url, decode=False)
        elif client.connection_pool.connection_kwargs.get("decode_responses"):
            # DUMP gives bytes that are no text.
            if not config.redis_url:
                raise ConfigError("The Redis client decodes answers.", "Pass one made with decode=False.")
            client = connect(config.redis_url, decode=False)
        self._client: Client = client

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except libraries.redis().exceptions.RedisError as error:
            raise StoreError(
                f"The session's keys in Redis at {self._where} cannot be used ({type(error).__name__}).",
                "Start it, or correct redis_url of the backend.",
            ) from None

    def _scan(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Keys that begin with ``prefix``, and the rest of each."""
        pattern = re.sub(r"([\\*?\[\]^-])", r"\\\1", prefix) + "*"
        for raw in self._client.scan_iter(match=pattern.encode(), count=_SCAN_COUNT):
            key = _text(raw)
            if key.startswith(prefix):
                yield key, key[len(prefix) :]

    def _records(self) -> dict[str, AuthRecord]:
        found: dict[str, AuthRecord] = {}
        with self._answering():
            for prefix in self._prefixes:
                for key, rest in self._scan(prefix):
                    record = _parse(rest)
                    if record:
                        found[key] = record
        return dict(sorted(found.items()))

    def type_of(self, key: str) -> str | None:
        """The type of the record that a whole key holds, None when it is no auth state of this session."""
        for prefix in self._prefixes:
            record = _parse(key[len(prefix) :]) if key.startswith(prefix) else None
            if record:
                return record.type
        return None

    def names(self) -> list[str]:
        """Whole keys of the auth state, sorted; keys of other kinds under the prefix are not ours."""
        return list(self._records())

    def exists(self) -> bool:
        """Whether the session has any auth state in Redis."""
        return bool(self.names())

    def select(self, level: str, peers: Iterable[str] | None = None) -> list[str]:
        """Keys that ``purge`` would remove, sorted.

        :param peers: confine level ``keys`` to these peers: addresses, users or JIDs. None or empty: all peers.
        """
        wanted = tuple(peers or ())
        auth_names.check_purge(level, wanted)
        records = self._records()
        only = auth_names.resolve_peers(wanted, self._record) if wanted else None
        chosen = {key for key, record in records.items() if auth_names.selected(record, level, only)}
        if level in ("cache", "all"):
            with self._answering():
                # A cache prefix may cover auth state by mistake; level cache must not.
                chosen |= {
                    key for prefix in self._cache_prefixes for key, _ in self._scan(prefix) if key not in records
                }
        return sorted(chosen)

    def purge(self, level: str, peers: Iterable[str] | None = None) -> list[str]:
        """Remove what ``select`` names and return what was removed."""
        removed: list[str] = []
        keys = self.select(level, peers)
        with self._answering():
            for batch in _batches(keys):
                with self._client.pipeline(transaction=False) as pipe:
                    for key in batch:
                        pipe.unlink(_raw(key))
                    removed += [key for key, count in zip(batch, pipe.execute()) if count]
        return removed

    def _record(self, name: str) -> bytes | None:
        with self._answering():
            for prefix in self._prefixes:
                value: bytes | None = self._client.get(_raw(prefix + name))
                if value is not None:
                    return value
        return None

    def read_creds(self) -> bytes | None:
        """The credentials as they are, None when there are none. :raises StoreError: Redis is away."""
        return self._record(auth_names.CREDS)

    def write_creds(self, data: bytes) -> None:
        """Replace the credentials where they are, else under the first prefix; their expiry stays."""
        if not self._prefixes:
            raise ConfigError("redis_prefixes is empty.", "Set redis_prefixes of the backend.")
        keys = [prefix + auth_names.CREDS for prefix in self._prefixes]
        with self._answering():
            key = next((key for key in keys if self._client.exists(_raw(key))), keys[0])
            self._client.set(_raw(key), data, keepttl=True)

    def dump(self) -> list[KeyDump]:
        """All keys of the auth state, sorted by key; caches hold messages and are left out."""
        return self.dump_keys(self.names())

    def dump_keys(self, keys: Sequence[str]) -> list[KeyDump]:
        """Those of the keys that are there."""
        dumps: list[KeyDump] = []
        with self._answering():
            for batch in _batches(keys):
                with self._client.pipeline(transaction=True) as pipe:
                    for key in batch:
                        pipe.type(_raw(key)).pttl(_raw(key)).dump(_raw(key)).get(_raw(key))
                    # GET is refused for other types than strings; that answer is left out below.
                    answers = pipe.execute(raise_on_error=False)
                for index, key in enumerate(batch):
                    kind, ttl, dump, value = answers[4 * index : 4 * index + 4]
                    for answer in (kind, ttl, dump):
                        if isinstance(answer, Exception):
                            raise answer
                    if dump is not None:
                        value = value if isinstance(value, bytes) else None
                        dumps.append(KeyDump(key, _text(kind), max(int(ttl), _NO_EXPIRY), dump, value))
        return dumps

    def restore_dump(self, dumps: Iterable[KeyDump]) -> list[str]:
        """Put the auth state back as dumped, at once: keys that were not there then are removed.

        Returns the keys that were written or removed.

        :raises StoreError: one of the keys is not this session's, or this Redis cannot read the payloads of another
            version and they are no strings. Nothing was changed then.
        """
        wanted = {item.key: item for item in dumps}
        for key in wanted:
            if self.type_of(key) is None:
                raise StoreError(f"The key {shown(key)} is not of session {self._session}.", "Use its own backup.")
        present = self.names()
        current = {item.key: item for item in self.dump_keys(present)}
        changed = [key for key, item in wanted.items() if not _same(item, current.get(key))]
        extra = [key for key in current if key not in wanted]
        with self._answering():
            readable = self._reads([wanted[key] for key in changed])
            if not readable and any(wanted[key].value is None for key in changed):
                raise StoreError(
                    f"Redis at {self._where} cannot read keys dumped by another version.", "Restore into that version."
                )
            with self._client.pipeline(transaction=True) as pipe:
                for key in extra:
                    pipe.unlink(_raw(key))
                for key in changed:
                    (self._put_dump if readable else self._put_value)(pipe, wanted[key])
                pipe.execute()
        return sorted([*changed, *extra])

    def _reads(self, dumps: Sequence[KeyDump]) -> bool:
        """Whether this Redis takes the payloads, tried on a key of ours: inside MULTI a refusal would undo nothing."""
        probe = f"sessionmedic:probe:{secrets.token_hex(8)}"
        try:
            for item in dumps:
                self._client.restore(probe, 1000, item.dump, replace=True)
        except libraries.redis().exceptions.ResponseError:
            return False
        finally:
            self._client.unlink(probe)
        return True

    @staticmethod
    def _put_dump(pipe: Client, item: KeyDump) -> None:
        pipe.restore(_raw(item.key), max(item.ttl_ms, 0), item.dump, replace=True)

    @staticmethod
    def _put_value(pipe: Client, item: KeyDump) -> None:
        pipe.set(_raw(item.key), item.value, px=item.ttl_ms if item.ttl_ms > 0 else None)


def _prefix(template: str, session: str) -> str:
    before, _, after = template.partition("{id}")
    if not after or _NAME_CHARACTERS.match(after):
        # Under "auth-{id}-" the keys of a session named "26-x" would begin like those of 26.
        raise ConfigError(
            f"The Redis prefix {shown(template)} has a separator that may stand in a session id.",
            'Use one such as ":", as in "sessions:{id}:".',
        )
    return before + session + after


def _parse(rest: str) -> AuthRecord | None:
    return auth_names.parse(rest[: -len(".json")] if rest.endswith(".json") else rest)


def _same(wanted: KeyDump, current: KeyDump | None) -> bool:
    # The remaining time of a key that expires is never the same twice.
    return current is not None and current.dump == wanted.dump and (current.ttl_ms < 0) == (wanted.ttl_ms < 0)


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _BATCH):
        yield keys[start : start + _BATCH]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _raw(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")
