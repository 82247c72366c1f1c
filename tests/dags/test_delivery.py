"""How long a missing delivery is waited for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lakehouse.orchestrate.delivery import remaining_wait

DAY_END = datetime(2018, 10, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "wait_hours", "expected"),
    [
        (DAY_END, 24, timedelta(hours=24)),
        (DAY_END + timedelta(hours=23), 24, timedelta(hours=1)),
        (DAY_END + timedelta(hours=24), 24, timedelta(0)),
        (DAY_END + timedelta(days=900), 24, timedelta(days=1 - 900)),
        (DAY_END, 0, timedelta(0)),
    ],
)
def test_the_wait_counts_from_the_end_of_the_day(now: datetime, wait_hours: int, expected: timedelta) -> None:
    assert remaining_wait("2018-10-17", wait_hours, now) == expected
