"""A long text in parts: each is spoken, kept and billed as a whole, and what broke off goes on with the next."""

from __future__ import annotations

from typing import NamedTuple

from voicewire.blocks import Splitter

PART_CHARS = 8_000  # about nine minutes: what is made again at most
OVERDUE = 2  # times that, a part ends also inside a paragraph


class Part(NamedTuple):
    """Code points `[start, start + len(text))` of the whole."""

    start: int
    text: str


def parts_of(text: str, language: str, max_chars: int, part_chars: int = PART_CHARS) -> list[Part]:
    """Cut `text` where blocks end, behind a paragraph if there is one; always the same way. At least one part."""
    if len(text) <= part_chars:
        return [Part(0, text)]
    splitter = Splitter(language=language or "en", max_chars=max_chars)
    parts: list[Part] = []
    start = 0
    for block in (*splitter.push(text), *splitter.end()):
        length = block.stop - start
        if length >= OVERDUE * part_chars or (length >= part_chars and block.text.endswith("\n")):
            parts.append(Part(start, text[start : block.stop]))
            start = block.stop
    if start < len(text):
        parts.append(Part(start, text[start:]))
    return parts
