"""The status page: plain HTML in English or Brazilian Portuguese, without scripts."""

from __future__ import annotations

import time

from jinja2 import Environment, PackageLoader, StrictUndefined
from werkzeug.datastructures import LanguageAccept

from sessionmedic.service_log import timestamp

from ..state import Overview
from .words import WORDS

LANGUAGES = tuple(WORDS)
SHOWN = 30

_environment = Environment(
    loader=PackageLoader("alert_webhook.ui"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["timestamp"] = timestamp
_environment.filters["clock"] = lambda at: time.strftime("%H:%M:%S", time.gmtime(at))


def language(asked: str, accepted: LanguageAccept) -> str:
    """The language to answer in: the one asked for (``?lang=pt``), else the browser's, else English."""
    if asked.lower()[:2] in LANGUAGES:
        return asked.lower()[:2]
    for tag in accepted.values():
        if tag.lower()[:2] in LANGUAGES:
            return tag.lower()[:2]
    return LANGUAGES[0]


def render(overview: Overview, language: str) -> str:
    """The page as HTML."""
    return _environment.get_template("status.html.j2").render(
        overview=overview, language=language, languages=LANGUAGES, words=WORDS[language], word=_Words(language)
    )


class _Words:
    """A word of a closed set (outcome, remedy, state) in the page's language; itself when it has no translation."""

    def __init__(self, language: str) -> None:
        self._words = WORDS[language]

    def __call__(self, key: str) -> str:
        return self._words.get(key, key)
