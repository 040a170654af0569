"""What a client must remember of one context to go on over a new connection: what it said and what it got.

Pure: `client.py` does the sending and receiving.
"""

from __future__ import annotations

from typing import NamedTuple

from voicewire.errors import BadRequest
from voicewire.frames import (
    FIRST_OF_BLOCK,
    LAST_OF_CONTEXT,
    AudioFrames,
    BlockStart,
    ClientMessage,
    Open,
    Phonemes,
    Speak,
    Text,
    Words,
)


class Script:
    """Everything said of a context, in order, and how far it has been sent."""

    def __init__(self, opening: Open) -> None:
        self._said: list[ClientMessage] = [opening]
        self._sent = 0

    def say(self, message: ClientMessage) -> None:
        """Add what comes next."""
        self._said.append(message)

    def pending(self) -> ClientMessage | None:
        """Return the next message that was not sent, which then counts as sent; None when all were."""
        if self._sent == len(self._said):
            return None
        self._sent += 1
        return self._said[self._sent - 1]

    def rewind(self, accepted: int | None) -> None:
        """Make pending what did not arrive: behind `accepted` characters, or everything if it is None.

        What stands between the last accepted text and the next is said again; to flush or end twice does no harm.
        """
        if accepted is None:
            self._sent = 0
            return
        opening = self._said[0]
        position = len(opening.text) if isinstance(opening, Speak) else 0
        self._sent = 1
        for index, message in enumerate(self._said[1:], 1):
            if not isinstance(message, Text):
                continue
            rest = message.text[max(0, accepted - position) :]
            if rest:
                self._said[index : index + 1] = _parts(message, rest)
                self._sent += len(rest) < len(message.text)
                return
            position += len(message.text)
            self._sent = index + 1


def _parts(message: Text, rest: str) -> list[ClientMessage]:
    if len(rest) == len(message.text):
        return [message]
    return [Text(message.context, message.text[: -len(rest)]), Text(message.context, rest)]


class Audio(NamedTuple):
    """Consecutive codec frames; `pts` is the first sample's position, at the granted rate."""

    packets: list[bytes]
    seq: int
    pts: int
    first: bool  # of a block
    last: bool  # of the context


class Tape:
    """How far a context was received: what comes again is dropped, a hole in the audio is an error."""

    def __init__(self) -> None:
        self.seq = -1  # of the last frame received
        self._block = -1
        self._stop = 0  # of the last word
        self._begun_ms = -1  # of the last phoneme

    def audio(self, frames: AudioFrames) -> Audio:
        """Return a binary message as audio. Raises `BadRequest` for one that is not the very next."""
        if frames.seq != self.seq + 1:
            raise BadRequest(problem=f"frame {frames.seq} came behind frame {self.seq}")
        self.seq = frames.seq + len(frames.packets) - 1
        first, last = bool(frames.flags & FIRST_OF_BLOCK), bool(frames.flags & LAST_OF_CONTEXT)
        return Audio(frames.packets, frames.seq, frames.pts, first, last)

    def news(self, message: BlockStart | Words | Phonemes) -> BlockStart | Words | Phonemes | None:
        """Return what was not here before of what a message says, or None."""
        match message:
            case BlockStart():
                return self.block(message)
            case Words():
                return self.words(message)
        return self.phonemes(message)

    def block(self, block: BlockStart) -> BlockStart | None:
        """Return `block` unless it was here before."""
        if block.block <= self._block:
            return None
        self._block = block.block
        return block

    def words(self, words: Words) -> Words | None:
        """Return `words` without those that were here before, or None."""
        fresh = [word for word in words.words if word[0] >= self._stop]
        if not fresh:
            return None
        self._stop = fresh[-1][1]
        return Words(words.context, words.block, fresh)

    def phonemes(self, phonemes: Phonemes) -> Phonemes | None:
        """Return `phonemes` without those that were here before, or None."""
        fresh = [phoneme for phoneme in phonemes.phonemes if phoneme[1] > self._begun_ms]
        if not fresh:
            return None
        self._begun_ms = fresh[-1][1]
        return Phonemes(phonemes.context, phonemes.block, fresh)
