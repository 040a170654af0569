"""The word that is being heard, on a terminal; and what was heard in the end."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, TextIO

from voicewire.commands.terminal import CLEAR, columns_of, marked_line, printable

CLOCK = "{minutes}:{seconds:02d} "
COLUMNS_MIN = 20
WORDS_MAX = 100_000  # received and not heard yet; more than any lead holds


class _Due(NamedTuple):
    begins_ms: float
    utterance: int
    start: int
    stop: int


class Progress:
    """Shows words as they are heard: one line that follows them on a terminal, else one line each if asked to."""

    def __init__(self, out: TextIO, *, verbose: bool) -> None:
        self._out = out
        self._line = out.isatty()
        self._verbose = verbose
        self._texts: list[str] = []
        self._due: deque[_Due] = deque(maxlen=WORDS_MAX)
        self._shown: _Due | None = None

    def begin(self) -> None:
        """Another utterance begins."""
        self._texts.append("")

    def add(self, text: str, words: list[tuple[int, int, int, int]], base_ms: float) -> None:
        """Take words of the last utterance, whose text is `text` so far and whose audio begins at `base_ms`."""
        self._texts[-1] = text
        self._due.extend(_Due(base_ms + word[2], len(self._texts) - 1, word[0], word[1]) for word in words)

    def show(self, heard_ms: float) -> None:
        """Show where a listener is who has heard `heard_ms` of all audio."""
        before = self._shown
        while self._due and self._due[0].begins_ms < heard_ms:
            self._shown = self._due.popleft()
            self._list(self._shown)
        if self._line and self._shown and self._shown is not before:
            self._rewrite(self._shown)

    def heard_text(self) -> str:
        """Return the text of all utterances up to the last word that was shown."""
        if self._shown is None:
            return ""
        before = "".join(self._texts[: self._shown.utterance])
        return before + self._texts[self._shown.utterance][: self._shown.stop]

    def clear(self) -> None:
        """Make room for other lines."""
        if self._line and self._shown:
            self._out.write(CLEAR)

    def _list(self, word: _Due) -> None:
        if self._verbose and not self._line:
            spoken = printable(self._texts[word.utterance][word.start : word.stop])
            self._out.write(f"{word.begins_ms / 1000:9.3f} s  {spoken}\n")

    def _rewrite(self, word: _Due) -> None:
        minutes, seconds = divmod(int(word.begins_ms / 1000), 60)
        clock = CLOCK.format(minutes=minutes, seconds=seconds)
        columns = max(COLUMNS_MIN, columns_of(self._out)) - len(clock) - 1
        line = marked_line(self._texts[word.utterance], word.start, word.stop, columns)
        self._out.write(f"{CLEAR}{clock}{line}")
        self._out.flush()
