"""What a check of an installation says."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """The first column of the report."""

    FINE = "ok"
    NOTE = "note"
    WRONG = "WRONG"


class Finding(NamedTuple):
    """One line: which part, what was found, and how that is."""

    part: str
    says: str
    verdict: Verdict = Verdict.FINE


def note(part: str, says: str) -> Finding:
    """Nothing is wrong, and it is good to know."""
    return Finding(part, says, Verdict.NOTE)


def wrong(part: str, says: str) -> Finding:
    """The server would not start, or not do its work."""
    return Finding(part, " ".join(says.split()), Verdict.WRONG)
