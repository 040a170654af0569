"""Messages that nobody should send, made of those that clients do send."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Message = dict[str, Any]

LONG_CHARS = 300  # more than the servers that are attacked take in one text
HUGE_CHARS = 70_000  # more than they take in one message
DEEP = 3_000  # more than any stack has room for
NAMES = ("unknown", "type", "", "__class__", "text", "\x00", "context_id", "é" * 40)
STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 7, 0.5, 1e308, -1e308, 5e-324, 2**31, 2**53, 2**63, 2**64, -(2**70), 10**30),
    *(float("nan"), float("inf"), float("-inf")),
    *("", " ", "\x00", "\n\r\t", "{problem}", "{0}", "%s%n", "../../x", "null", "NaN", "-1", "<b>&amp;", "'; --"),
    *("\ud800", "\udfff\ud800", "a\ud83d", "👍🏽" * 30, "\u202e\u200d\ufeff", "ｆｕｌｌ", "\U0010ffff"),
    *("x" * LONG_CHARS, "wort " * (LONG_CHARS // 5), "." * LONG_CHARS),
    *([], {}, [[]], [None], {"id": None}, {"id": {"id": 7}}, [1, "a", {}], {"": ""}, {"speed": "fast"}),
)
NONSENSE: tuple[bytes, ...] = (
    *(b"", b"null", b"7", b"[]", b'"x"', b"{", b"}", b"{}", b"\x00", b"\xff\xfe\xfd", b"NaN", b"\xef\xbb\xbf{}"),
    *(b"[" * DEEP, b"{" * DEEP, b'{"a":' * DEEP, b'{"voice":' * DEEP + b"1" + b"}" * DEEP, b"[" * DEEP + b"]" * DEEP),
    *(b'{"type":"Speak","type":"Speak","text":1}', b'{"text":"a","text":"b"}'),
)
ENDINGS = (b'{"text":"' + b"x" * HUGE_CHARS + b'"}', b" " * HUGE_CHARS, b'{"text":"\xff"}', b"\xc3")
PIECES = (
    b"{",
    b"}",
    b"[",
    b'"',
    b"\\",
    b"\\ud800",
    b"1e999",
    b"-",
    b"null",
    b"NaN",
    b"\0",
    b"\xff",
    b"9" * 40,
    b":",
    b",",
)


class Said(NamedTuple):
    """One message. `text`: as such, whatever it is made of."""

    data: bytes
    text: bool

    @property
    def ends(self) -> bool:
        """Whether no WebSocket goes on behind it."""
        return len(self.data) >= HUGE_CHARS or (self.text and self.data.decode(errors="replace").encode() != self.data)


def mutated(chance: random.Random, seeds: Sequence[Message]) -> Said:
    """Return a message that may be valid, and mostly is not."""
    what = chance.random()
    if what < 0.02:
        data = chance.choice(ENDINGS)
    elif what < 0.2:
        data = serialized(chance.choice(seeds))
    elif what < 0.7:
        data = serialized(_edited(chance, seeds))
    elif what < 0.92:
        data = spliced(chance, [*map(serialized, seeds)])
    else:
        data = chance.choice(NONSENSE)
    if chance.random() < 0.95:
        data = data.decode(errors="ignore").encode()
    return Said(data, text=chance.random() < 0.93)


def burst(chance: random.Random, seeds: Sequence[Message], most: int) -> list[Said]:
    """Return up to `most` messages of one connection: what would end it is the last."""
    messages: list[Said] = []
    while len(messages) < most and not (messages and messages[-1].ends):
        messages.append(mutated(chance, seeds))
    return messages


def serialized(message: Any) -> bytes:
    return json.dumps(message).encode()


def _edited(chance: random.Random, seeds: Sequence[Message]) -> Message:
    """Change fields: other values, other names, none, or more."""
    message = copy.deepcopy(chance.choice(seeds))
    for _ in range(chance.randint(1, 3)):
        at = _somewhere(chance, message)
        name = chance.choice([*at]) if at else "text"
        chance.choice(EDITS)(chance, at, name)
    return message


def _somewhere(chance: random.Random, message: Message) -> Message:
    inner = [each for each in message.values() if isinstance(each, dict)]
    return _somewhere(chance, chance.choice(inner)) if inner and chance.random() < 0.5 else message


def _replace(chance: random.Random, at: Message, name: str) -> None:
    at[name] = copy.deepcopy(chance.choice(STRANGE))


def _remove(_: random.Random, at: Message, name: str) -> None:
    at.pop(name, None)


def _rename(chance: random.Random, at: Message, name: str) -> None:
    at[chance.choice(NAMES)] = at.pop(name, None)


def _add(chance: random.Random, at: Message, _: str) -> None:
    at[chance.choice(NAMES)] = copy.deepcopy(chance.choice(STRANGE))


def _wrap(_: random.Random, at: Message, name: str) -> None:
    at[name] = [at.get(name)]


EDITS: tuple[Callable[[random.Random, Message, str], None], ...] = (
    _replace,
    _replace,
    _replace,
    _remove,
    _rename,
    _add,
    _wrap,
)


def spliced(chance: random.Random, seeds: Sequence[bytes], fewest: int = 1) -> bytes:
    """Return one of `seeds` with `fewest` to 4 changes of bytes."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(fewest, 4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                data[at:at] = chance.choice(PIECES)
            case 2:
                del data[at : at + chance.randint(1, 8)]
            case _:
                other = chance.choice(seeds)
                data[at:] = other[chance.randrange(len(other)) :]
    return bytes(data)
