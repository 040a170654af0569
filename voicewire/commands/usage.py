"""`voicewire usage`: what was used, by tenant, day, model, voice or key."""

from __future__ import annotations

from datetime import date
from typing import TextIO

from voicewire.accounts.usage import By, Line, Span, as_csv, total, usage
from voicewire.auth.keys import utc_now
from voicewire.commands.operator import Operator
from voicewire.commands.table import write_table

TOTAL = "total"


async def show_usage(
    operator: Operator, by: By, first: date | None, last: date | None, tenant: str, out: TextIO, *, csv: bool = False
) -> None:
    """Write the sums of the days `first` to `last`, UTC, as a table or as CSV; of one tenant or of all."""
    span = Span.of(first, last, utc_now().date())
    lines = await usage(operator.store, by, span, tenant)
    if csv:
        out.write(as_csv(by, lines))
        return
    everything = await total(operator.store, span, tenant)
    heads = (by, "label", "requests", "seconds", "charged", "cached")
    write_table(heads, [_row(line) for line in [*lines, everything._replace(name=TOTAL)]], out)


def _row(line: Line) -> tuple[str, ...]:
    seconds = (f"{ms / 1000:.3f}" for ms in (line.audio_ms, line.charged_ms, line.cached_ms))
    return line.name, line.label, str(line.requests), *seconds
