"""The text of one utterance: what came, in the client's unit, and the blocks cut from it."""

from __future__ import annotations

import math

from voicewire.blocks import Splitter
from voicewire.errors import BadRequest
from voicewire.plan import Plan, State
from voicewire.timing import Positions
from voicewire.types import Block


class Intake:
    """Takes text until it is ended. `now` is the monotonic time in seconds."""

    __slots__ = ("_first_cut", "_plan", "_splitter", "asked_at", "at", "chars", "ended", "positions")

    def __init__(self, plan: Plan, splitter: Splitter | None = None) -> None:
        self.chars = 0  # code points that came
        self.ended = False
        self.asked_at = -1.0  # when the first text came that can be heard
        self.positions = Positions(plan.offsets)
        self.at = self.positions.convert
        self._plan = plan
        self._splitter = splitter or Splitter(
            language=plan.language or "en", max_chars=plan.block_chars, first_chars=plan.first_chars
        )
        self._first_cut = False

    @classmethod
    def restore(cls, plan: Plan, state: State, blocks: list[Block], now: float) -> Intake:
        """Continue behind `blocks` with the text that was in none yet."""
        position = blocks[-1].stop if blocks else 0
        sizes = (plan.block_chars, plan.first_chars)
        splitter = Splitter.resume(position, state.pending, state.first, plan.language or "en", *sizes, state.place)
        intake = cls(plan, splitter)
        texts = [*(block.text for block in blocks), state.pending]
        for text in texts:
            intake.positions.push(text)
            intake.chars += len(text)
        intake.ended, intake._first_cut = state.ended, bool(blocks)
        if intake.chars and not all(map(str.isspace, texts)):
            intake.asked_at = now
        return intake

    def text(self, text: str, now: float) -> list[Block]:
        """Append text and return what is certain; raises `BadRequest("text_too_long")`."""
        if self.ended:
            raise BadRequest(problem=f"the context {self._plan.name!r} was ended")
        if self.chars + len(text) > self._plan.text_chars:
            raise BadRequest("text_too_long", limit=self._plan.text_chars)
        if not text:
            return []
        self.chars += len(text)
        self.positions.push(text)
        if self.asked_at < 0 and not text.isspace():
            self.asked_at = now
        return self._cut(self._splitter.push(text))

    def flush(self) -> list[Block]:
        """Return what is buffered."""
        return [] if self.ended else self._cut(self._splitter.flush())

    def end(self) -> list[Block]:
        """No more text comes; return what is buffered. Ending twice is as good as once."""
        if self.ended:
            return []
        self.ended = True
        return self._cut(self._splitter.end())

    def hurry(self, now: float) -> list[Block]:
        """Return the first clause as it is, if it has waited long enough for its end."""
        if now < self.hurry_at:
            return []
        blocks = self._cut(self._splitter.hurry())
        self._first_cut = True
        return blocks

    @property
    def hurry_at(self) -> float:
        """When the first clause will have waited long enough; infinity when it need not."""
        if self._first_cut or self.asked_at < 0:
            return math.inf
        return self.asked_at + self._plan.first_wait_ms / 1000

    @property
    def accepted(self) -> int:
        """How much text arrived, in the client's unit."""
        return self.at(self.chars)

    @property
    def pending(self) -> tuple[str, str, bool]:
        """The text that is in no block yet, where it stands, and whether it is the first: for `State`."""
        return self._splitter.pending, self._splitter.place, self._splitter.first

    def _cut(self, blocks: list[Block]) -> list[Block]:
        self._first_cut = self._first_cut or bool(blocks)
        return blocks
