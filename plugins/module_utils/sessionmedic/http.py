"""The transport to a backend: timeouts always, retries only where a repeat is safe, no secrets in errors."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from . import libraries
from .errors import BackendAnswerError, BackendUnavailable

# Calls that are safe to repeat: 3 more tries, after 1, 2 and 4 s.
RETRIES = 3
RETRY_BASE = 1.0
# A list of 10,000 sessions is about 3 MiB; what is far larger is not a backend's answer.
MAX_ANSWER = 64 * 1024 * 1024
_CHUNK = 64 * 1024


class AnswerTimeout(BackendUnavailable):
    """The backend took the request and did not answer in time."""


class Transport:
    """HTTP to one backend.

    :param retry_base: seconds before the first retry of a GET; it doubles.
    """

    def __init__(
        self,
        url: str,
        connect_timeout: float = 3.0,
        read_timeout: float = 10.0,
        retries: int = RETRIES,
        retry_base: float = RETRY_BASE,
    ) -> None:
        requests = libraries.requests()
        from urllib3.util.retry import Retry

        self._requests = requests
        self._base = url.rstrip("/")
        self._where = f"{urlsplit(url).hostname}:{urlsplit(url).port or (443 if url.startswith('https') else 80)}"
        self._timeout = (connect_timeout, read_timeout)
        self._session = requests.Session()
        # urllib3 sleeps 0 s before the first retry of older versions and base * 2^n after: "1 s doubling".
        retry = Retry(
            total=retries,
            connect=retries,
            read=retries,
            status=retries,
            other=0,
            redirect=0,
            allowed_methods=frozenset({"GET"}),
            status_forcelist=(502, 503, 504),
            backoff_factor=retry_base,
            raise_on_status=False,
            respect_retry_after_header=False,
        )
        adapter = requests.adapters.HTTPAdapter(max_retries=retry)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        # A proxy of the environment must not see a backend's token.
        self._session.trust_env = False

    def call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> Answer:
        """One request; only GET is repeated on failure.

        :raises BackendUnavailable: no connection, or none in time.
        :raises AnswerTimeout: the connection stood but no answer came in time.
        """
        deadline = time.monotonic() + sum(self._timeout)
        try:
            response = self._session.request(
                method,
                self._base + path,
                headers=dict(headers or {}),
                json=json,
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            )
            with response:
                body = self._body(response.raw, deadline)
        except self._requests.exceptions.RequestException as error:
            raise self._unavailable(error) from None
        except Exception as error:  # urllib3's errors while the body is read come unwrapped
            if type(error).__module__.partition(".")[0] not in ("urllib3", "builtins", "http"):
                raise
            raise self._unavailable(error) from None
        if len(body) > MAX_ANSWER:
            raise BackendAnswerError(f"The answer of {self._where} is larger than 64 MiB.", "Check the URL.")
        return Answer(response.status_code, body, self._where)

    def _body(self, raw: Any, deadline: float) -> bytes:
        """The whole body, up to one byte more than is taken.

        The read timeout is between two bytes: a backend that sends one now and then would hold us for ever.
        """
        body = bytearray()
        while len(body) <= MAX_ANSWER:
            chunk = raw.read1(_CHUNK, decode_content=True)
            if not chunk:
                break
            body += chunk
            if time.monotonic() > deadline:
                raise self._too_slow()
        return bytes(body)

    def _too_slow(self) -> AnswerTimeout:
        return AnswerTimeout(
            f"The backend at {self._where} did not answer within {self._timeout[1]:g} s.",
            "Look whether it hangs.",
        )

    def _unavailable(self, error: BaseException) -> BackendUnavailable:
        timeouts = (self._requests.exceptions.ReadTimeout,)
        text = "Read timed out" in str(error)
        if isinstance(error, timeouts) or text:
            return self._too_slow()
        return BackendUnavailable(f"The backend at {self._where} cannot be reached.", "Start it, or correct its url.")

    def close(self) -> None:
        self._session.close()


class Answer:
    """What a backend answered."""

    def __init__(self, status: int, body: bytes, where: str) -> None:
        self.status = status
        self.body = body
        self._where = where

    def json(self) -> Any:
        """The parsed body. :raises BackendAnswerError: HTML, half a document, or nothing."""
        import json

        try:
            return json.loads(self.body)
        except ValueError:
            pass
        start = self.body.lstrip()[:1]
        what = "HTML" if start == b"<" else "nothing" if not start else "no whole JSON document"
        raise BackendAnswerError(
            f"The backend at {self._where} answered {what} (HTTP {self.status}).",
            "Check its url, routes and log.",
        )

    def unexpected(self, asked: str) -> BackendAnswerError:
        """The error for a status that the contract does not have."""
        return BackendAnswerError(
            f"The backend at {self._where} answered HTTP {self.status} when asked to {asked}.",
            "Check its routes and its log.",
        )
