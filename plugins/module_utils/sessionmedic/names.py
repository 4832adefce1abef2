"""What a session id and a backend name may look like.

Both come from alerts, APIs and command lines, and end in Redis keys, folder names and metrics labels: they are checked
once, at the edge, against a pattern that holds no separator of any of these.
"""

from __future__ import annotations

import re

from .errors import InvalidName

PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$"
_NAME = re.compile(PATTERN + r"\Z", re.ASCII)
_SHOWN = 40


def shown(value: object) -> str:
    """A hostile value as it may stand in a message: quoted, short, control characters escaped."""
    text = ascii(value if isinstance(value, str) else str(value))
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "...'"


def check_name(value: object, what: str = "session id") -> str:
    """Return ``value`` as a string when it is a safe name.

    Integers are taken (whaticket ids are numbers).

    :raises InvalidName: for anything else, with a shortened, quoted form of the value.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise InvalidName(f"The {what} {shown(value)} is not a name.", "Give one id, such as 26.")
    text = str(value)
    if not text:
        raise InvalidName(f"The {what} is empty.", "Give one id, such as 26.")
    if not _NAME.match(text) or ".." in text:
        raise InvalidName(
            f"The {what} {shown(text)} is not valid.",
            "It starts with a letter or digit and holds at most 128 letters, digits, '.', '_', '@' and '-'.",
        )
    return text
