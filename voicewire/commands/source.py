"""Text for a server: from an argument or as it is typed, cut into utterances that the server takes."""

from __future__ import annotations

import asyncio
import codecs
import os
import re
import threading
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError

READ_BYTES = 4_096
READS_MAX = 16  # waiting to be sent
SOFT_SHARE = 0.75  # of the longest utterance: behind this the next good end ends it

_ENDS = (re.compile(r"\n"), re.compile(r"[.!?…]['\"’”)\]]*\s|[。！？]"))
_GAP = re.compile(r"\s")


async def once(text: str) -> AsyncIterator[str]:
    """Yield `text`, whole."""
    yield text


async def typed(descriptor: int) -> AsyncIterator[str]:
    """Yield text from a file descriptor as it comes, in UTF-8, until its end.

    A thread reads, because neither a terminal nor a file can be waited for in a way that works everywhere;
    it is a daemon, because a read from a terminal cannot be called off.
    """
    queue: asyncio.Queue[bytes] = asyncio.Queue(READS_MAX)
    loop = asyncio.get_running_loop()
    threading.Thread(target=_read, args=(descriptor, queue, loop), name="standard input", daemon=True).start()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while data := await queue.get():
        if text := decoder.decode(data):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text


def _read(descriptor: int, queue: asyncio.Queue[bytes], loop: asyncio.AbstractEventLoop) -> None:
    data = b"-"
    while data:
        try:
            data = os.read(descriptor, READ_BYTES)
        except OSError:
            data = b""  # a terminal that was hung up has no more to say
        put = queue.put(data)
        try:
            asyncio.run_coroutine_threadsafe(put, loop).result()
        except (RuntimeError, CancelledError):  # the loop ended before the input did
            put.close()
            return


class Utterances:
    """Cuts a stream of text into utterances of at most `limit` characters, at the end of a paragraph or sentence."""

    def __init__(self, pieces: AsyncIterator[str], limit: int) -> None:
        self._pieces = pieces
        self._limit = limit
        self._rest = ""
        self.exhausted = False
        self.text = ""  # of the utterance that is being said

    async def following(self) -> AsyncIterator[str]:
        """Yield the text of the next utterance, as it comes."""
        self.text = ""
        while True:
            piece = self._rest or await anext(self._pieces, "")
            self._rest = ""
            if not piece:
                self.exhausted = True
                return
            end = end_within(piece, len(self.text), self._limit)
            said = piece if end is None else piece[:end]
            self.text += said
            yield said
            if end is not None:
                self._rest = piece[end:]
                return


def end_within(piece: str, said: int, limit: int) -> int | None:
    """Return where in `piece` an utterance of `said` characters ends, or None where it takes the piece and goes on."""
    low, high = max(0, int(limit * SOFT_SHARE) - said), limit - said
    if len(piece) <= low:
        return None
    for ends in _ENDS:
        if found := [match.end() for match in ends.finditer(piece, low, high)]:
            return found[-1]
    if len(piece) <= high:
        return None
    gaps = [match.end() for match in _GAP.finditer(piece, low, high)]
    return gaps[-1] if gaps else high
