"""How the server logs: lines for people or JSON for machines, never what anybody said, nor a secret.

All of the code logs through the standard library. What reaches a line is an event, which is a text of ours, and the
fields of `FIELDS`; of an exception its kind and its place, and its words only where they cannot be a client's.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgspec
from redis.exceptions import RedisError

from voicewire.errors import VoicewireError, without_secrets

FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "request": "the request's id, as in `X-Request-ID`",
        "session": "the session on a socket",
        "tenant": "whose it is",
        "method": "of HTTP, or WS",
        "route": "the template of the address, without what stands in it",
        "status": "of the answer",
        "ms": "how long it took",
        "code": "the error's, in the table of errors",
    }
)
"""What a line may carry beside its event, and what that is."""

NOTHING: Mapping[str, object] = MappingProxyType({})
BOUND: ContextVar[Mapping[str, object]] = ContextVar("fields of every line", default=NOTHING)

Event = Mapping[str, Any]
"""A line's fields by name."""

ALWAYS = ("time", "level", "logger", "event")
OURS = "voicewire"
UVICORN = "uvicorn.error"
CAUSES_MAX = 4
PLAIN = (OSError, RedisError, AssertionError, VoicewireError, NotImplementedError)
"""Exceptions whose words come from us or the system: others repeat what they were given."""


def configure(level: str, style: str) -> None:
    """Log to standard error in `style`, `text` or `json`: what is ours from `level` on, of libraries their warnings.

    Libraries print below that what they read and write: headers, messages, addresses.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(style))
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(logging.WARNING, number), handlers=[handler])
    logging.getLogger(OURS).setLevel(number)
    logging.getLogger(UVICORN).setLevel(logging.ERROR)  # it warns of whatever strangers send


def formatter(style: str) -> logging.Formatter:
    """Return what turns a record into a line of `style`."""
    return Lines(as_json if style == "json" else as_text)


class Lines(logging.Formatter):
    """What of a record may be said, as `render` writes it."""

    def __init__(self, render: Callable[[Event], str]) -> None:
        super().__init__()
        self._render = render

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return self._render(event_of(record))


def bind(**fields: object) -> None:
    """Have every line of this request or connection from here on carry `fields`."""
    assert fields.keys() <= FIELDS.keys(), fields
    BOUND.set({**BOUND.get(), **fields})


def start(request: str) -> None:
    """Begin a request: nothing of the one before on the same connection is carried on."""
    BOUND.set(NOTHING)
    bind(request=request)


def event_of(record: logging.LogRecord) -> Event:
    """Return what may be said: an exception without its words, a library's event without a query and a second line."""
    text = record.getMessage()
    if not record.name.startswith(OURS):
        # asyncio goes on with what a task has in hand, uvicorn prints whole addresses
        text = re.sub(r"\?[^\s\"']*", "", text.strip().partition("\n")[0])
    moment = datetime.fromtimestamp(record.created, UTC)
    event = {
        **BOUND.get(),
        **{name: value for name, value in vars(record).items() if name in FIELDS},
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": text,
    }
    if record.exc_info and record.exc_info[1] is not None:
        event["traceback"] = "".join(_lines(record.exc_info[1]))
    return event


def as_json(event: Event) -> str:
    """Return one JSON object."""
    ordered = {name: event[name] for name in (*ALWAYS, *FIELDS, "traceback") if name in event}
    return without_secrets(msgspec.json.encode(ordered).decode())


def as_text(event: Event) -> str:
    """Return one line, and behind it the traceback where there is one."""
    fields = " ".join(f"{name}={event[name]}" for name in FIELDS if name in event)
    line = f"{event['time']} {event['level'].upper()} {event['logger']}: {str(event['event']).replace(chr(10), ' ')}"
    parts = [f"{line} {fields}" if fields else line, str(event.get("traceback", "")).rstrip()]
    return without_secrets("\n".join(part for part in parts if part))


def _lines(error: BaseException, depth: int = 0) -> Iterator[str]:
    """As Python prints an exception and its causes, the last first, without the words of strangers."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and depth < CAUSES_MAX:
        yield from _lines(before, depth + 1)
        yield "\nfrom which came:\n\n"
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{type(error).__module__}.{type(error).__qualname__}{_words(error)}\n"
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions[:CAUSES_MAX]:
            yield from _lines(each, depth + 1) if depth < CAUSES_MAX else ()


def _words(error: BaseException) -> str:
    if isinstance(error, VoicewireError):
        return f": {error.row_code}"
    return f": {error}".partition("\n")[0] if isinstance(error, PLAIN) else ""
