"""A block that a gateway has in the queue: under which name, and how much of which attempt has come; pure."""

from __future__ import annotations

from enum import Enum

from voicewire.engines.ticket import Ticket


class Verdict(Enum):
    """What an answer is."""

    NEXT = "next"
    STALE = "stale"  # of an attempt that was given up, or said twice
    GAP = "gap"  # what stood before it is lost


class Flight:
    """See the module. `round` changes where the gateway has the block made anew, the token where Redis does."""

    __slots__ = ("body", "heard_s", "missed", "round", "rung", "seq", "ticket", "token")

    def __init__(self, ticket: Ticket, body: bytes, rung: str, now: float) -> None:
        self.ticket = ticket
        self.heard_s = now  # when anything came of it last
        self.missed = False  # it was not in the queue when it was looked for
        self.body = body
        self.rung = rung
        self.round = 0
        self.token = 0  # of the attempt whose answers are taken; 0: nothing has come
        self.seq = 0  # of its next answer

    def job(self, gateway: str) -> str:
        """The name of the block in the queue: nobody else's, and no other round's."""
        return f"{gateway}.{self.ticket.id}.{self.round}"

    def judge(self, token: int, seq: int, now: float) -> Verdict:
        """Say what an answer is; with a new token the block goes on from what its sink has got."""
        self.heard_s, self.missed = now, False
        if token < self.token:
            return Verdict.STALE
        if token > self.token:
            self._restart(token)
        if seq != self.seq:
            return Verdict.STALE if seq < self.seq else Verdict.GAP
        self.seq += 1
        return Verdict.NEXT

    def again(self, rung: str, now: float) -> None:
        """Have the block made anew: what was in the queue is lost."""
        self.heard_s, self.missed = now, False
        self.round += 1
        self.rung = rung
        self._restart(0)

    def _restart(self, token: int) -> None:
        if self.token:
            self.ticket.attempts += 1
        self.token, self.seq = token, 0
        self.ticket.passed = 0
