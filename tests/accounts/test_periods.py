from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicewire.accounts.periods import months_after, period_at


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("anchor", "now", "start", "end"),
    [
        ("2026-01-31", "2026-01-31", "2026-01-31", "2026-02-28"),
        ("2026-01-31", "2026-02-27", "2026-01-31", "2026-02-28"),
        ("2026-01-31", "2026-02-28", "2026-02-28", "2026-03-31"),  # the day comes back when a month has it
        ("2026-01-31", "2026-04-30", "2026-04-30", "2026-05-31"),
        ("2024-01-30", "2024-02-29", "2024-02-29", "2024-03-30"),
        ("2026-12-15", "2027-01-15", "2027-01-15", "2027-02-15"),
        ("2026-03-10", "2028-03-09", "2028-02-10", "2028-03-10"),
        ("2026-03-10", "2026-03-01", "2026-03-10", "2026-04-10"),
    ],
)
def test_a_month(anchor: str, now: str, start: str, end: str) -> None:
    assert period_at(day(anchor), day(now)) == (day(start), day(end))


moments = st.datetimes(datetime(2020, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))


@given(anchor=moments, later=st.timedeltas(timedelta(0), timedelta(days=4_000)))
def test_every_moment_is_in_one_month(anchor: datetime, later: timedelta) -> None:
    now = anchor + later
    period = period_at(anchor, now)
    assert period.start <= now < period.end
    assert period_at(anchor, period.end).start == period.end
    assert timedelta(days=28) <= period.end - period.start <= timedelta(days=31)
    assert period.start.time() == anchor.time()
    assert months_after(anchor, 12 * 4).day == anchor.day
