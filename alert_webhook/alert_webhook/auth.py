"""Who may talk to the webhook: a bearer token from a file, or users with hashed passwords."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from werkzeug.datastructures import Authorization
from werkzeug.security import check_password_hash, generate_password_hash

from sessionmedic import service_log
from sessionmedic.errors import ConfigError
from sessionmedic.names import check_name

from .config import AuthConfig

BEARER = "bearer"
ANONYMOUS = "anonymous"
# Shorter ones can be guessed over the network.
MIN_TOKEN_LENGTH = 16
# A wrong password is never remembered, a right one of each user is; so this is reached only by users' files that grow.
_REMEMBERED = 1000


class Authenticator:
    """Checks the header ``Authorization``; safe to use from several threads."""

    def __init__(self, token: str = "", users: dict[str, str] | None = None, open_to_all: bool = False) -> None:
        self._token = token.encode()
        self._users = users or {}
        self._open_to_all = open_to_all and not token and not users
        # A hash of a password costs 60 to 235 ms, on purpose; a digest under a key of this process costs nothing and
        # tells nothing once the process has ended.
        self._key = secrets.token_bytes(32)
        self._verified: set[bytes] = set()
        # Unknown users must take as long as known ones.
        self._nobody = next(iter(self._users.values()), "")

    @property
    def schemes(self) -> list[str]:
        """What to ask for in ``WWW-Authenticate``."""
        return [
            *(['Bearer realm="sessionmedic"'] if self._token else []),
            *(['Basic realm="sessionmedic", charset="UTF-8"'] if self._users else []),
        ]

    def identify(self, authorization: Authorization | None) -> str | None:
        """Who asks: the user's name, ``bearer`` or ``anonymous``; None when they may not."""
        if self._open_to_all:
            return ANONYMOUS
        if authorization is None:
            return None
        if authorization.type == "bearer" and self._token:
            given = (authorization.token or "").encode()
            return BEARER if hmac.compare_digest(given, self._token) else None
        if authorization.type == "basic" and self._users:
            user, password = authorization.username or "", authorization.password or ""
            return user if self._password_is_right(user, password) else None
        return None

    def _password_is_right(self, user: str, password: str) -> bool:
        hashed = self._users.get(user)
        digest = hmac.digest(self._key, f"{user}\0{hashed}\0{password}".encode(), hashlib.sha256)
        if hashed is not None and digest in self._verified:
            return True
        right = check_password_hash(hashed or self._nobody, password)
        if not right or hashed is None:
            return False
        if len(self._verified) < _REMEMBERED:
            self._verified.add(digest)
        return True


def authenticator(config: AuthConfig, allow_unauthenticated: bool = False) -> Authenticator:
    """From the configuration.

    :raises ConfigError: no secret is configured and nobody said on the command line that this is wanted, a file cannot
        be read, or a secret in it is unusable.
    """
    if not config.given:
        if allow_unauthenticated:
            return Authenticator(open_to_all=True)
        raise ConfigError(
            "No secret is configured, so anybody could start repairs.",
            "Set auth.bearer_token_file or auth.basic_users_file, or start with --web.allow-unauthenticated.",
        )
    token = ""
    if config.bearer_token_file is not None:
        token = _read_secret(config.bearer_token_file, "auth.bearer_token_file").strip()
    elif config.bearer_token is not None:
        token = config.bearer_token.get_secret_value()
    if token or config.bearer_token_file or config.bearer_token:
        _check_token(token)
        service_log.register_secret(token)
    users = _read_users(config.basic_users_file) if config.basic_users_file is not None else {}
    return Authenticator(token, users)


def hash_password(password: str) -> str:
    """What to write behind ``user:`` in the users' file."""
    return generate_password_hash(password)


def _check_token(token: str) -> None:
    if len(token) < MIN_TOKEN_LENGTH or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            f"The bearer token is not one word of at least {MIN_TOKEN_LENGTH} ASCII characters.",
            "Make one: openssl rand -hex 32.",
        )


def _read_users(path: Path) -> dict[str, str]:
    users: dict[str, str] = {}
    for number, line in enumerate(_read_secret(path, "auth.basic_users_file").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, _, hashed = line.strip().partition(":")
        # The name goes into records and logs.
        check_name(user, "user name")
        if not hashed.startswith(("scrypt:", "pbkdf2:")) or hashed.count("$") != 2:
            raise ConfigError(
                f"{path}, line {number}: the password of {user} is not hashed as we know it.",
                "Make the line with alert-webhook --hash-password.",
            )
        users[user] = hashed
    if not users:
        raise ConfigError(f"{path} names no user.", "Add lines user:hash, made with alert-webhook --hash-password.")
    return users


def _read_secret(path: Path, key: str) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & stat.S_IRWXO:
                raise ConfigError(f"{key}: {path} can be read by everybody.", f"Close it: chmod o= {path}.")
            return file.read()
    except OSError as error:
        raise ConfigError(f"{key}: {path} cannot be read ({error.strerror}).", "Correct path or rights.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{key}: {path} is not UTF-8 text.", "Save it as UTF-8.") from None
