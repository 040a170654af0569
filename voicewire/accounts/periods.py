"""Months of a subscription: each begins on the day of the month, and at the time of day, on which the first began."""

from __future__ import annotations

import calendar
from datetime import datetime
from typing import NamedTuple

MONTHS = 12


class Period(NamedTuple):
    """`[start, end)`."""

    start: datetime
    end: datetime


def months_after(moment: datetime, months: int) -> datetime:
    """Return the same day and time `months` later; in months that lack the day, their last."""
    year, month = divmod(moment.year * MONTHS + moment.month - 1 + months, MONTHS)
    last = calendar.monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last))


def period_at(anchor: datetime, now: datetime) -> Period:
    """Return the month, counted from `anchor`, in which `now` is; the first where it is earlier."""
    months = max(0, (now.year - anchor.year) * MONTHS + now.month - anchor.month)
    if months and months_after(anchor, months) > now:
        months -= 1
    return Period(months_after(anchor, months), months_after(anchor, months + 1))
