"""Which deliveries that come late are taken up without anybody's help."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lakehouse.orchestrate.delivery import awaited_days

MIDNIGHT = datetime(2018, 10, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    ("since_midnight", "wait_hours", "expected"),
    [
        (timedelta(hours=1), 24, ["2018-10-17"]),
        (timedelta(hours=23, minutes=59), 24, ["2018-10-17"]),
        (timedelta(minutes=5), 24, []),  # the clock's own run is on its way, and the day before is over
        (timedelta(hours=7), 6, []),
        (timedelta(hours=1), 48, ["2018-10-16", "2018-10-17"]),
        (timedelta(minutes=5), 48, ["2018-10-16"]),
        (timedelta(hours=1), 0, []),
    ],
)
def test_a_day_is_awaited_for_some_hours_after_its_end(
    since_midnight: timedelta, wait_hours: float, expected: list[str]
) -> None:
    assert awaited_days(wait_hours, MIDNIGHT + since_midnight) == expected
