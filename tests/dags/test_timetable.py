"""When bronze runs by itself, and that backfills are not taken for the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.timetables.base import DagRunInfo, TimeRestriction
from pendulum import instance

from lakehouse.orchestrate.timetable import DailyDeliveries

ANY_TIME = TimeRestriction(earliest=None, latest=None, catchup=False)


def ends_next(last: DagRunInfo | None) -> DagRunInfo:
    found = DailyDeliveries().next_dagrun_info_v2(last_dagrun_info=last, restriction=ANY_TIME)
    assert found is not None
    return found


def last_midnight() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def run_of_clock(midnight: datetime) -> DagRunInfo:
    day = midnight - timedelta(days=1)
    return DagRunInfo(
        run_after=instance(midnight),
        data_interval=None,
        partition_date=instance(day),
        partition_key=f"{day:%Y-%m-%d}",
    )


def first_run() -> datetime:
    """A new installation begins with the next midnight; one that starts just after midnight with that."""
    now = datetime.now(UTC)
    return last_midnight() + timedelta(days=0 if now - last_midnight() < timedelta(minutes=10) else 1)


def test_a_new_installation_runs_nothing_that_nobody_has_asked_for() -> None:
    assert ends_next(None).run_after == first_run()


def test_a_backfill_is_not_followed_by_a_run_that_nobody_has_asked_for() -> None:
    table = DailyDeliveries()
    days = list(
        table.iter_partition_dagrun_infos(
            earliest=datetime(2018, 10, 16, tzinfo=UTC), latest=datetime(2018, 10, 17, tzinfo=UTC)
        )
    )
    assert [day.partition_key for day in days] == ["2018-10-16", "2018-10-17"]
    for day in days:
        assert ends_next(day).run_after == first_run()


def test_the_day_that_has_ended_is_run_at_midnight_also_after_a_standstill() -> None:
    at = last_midnight()
    following = ends_next(run_of_clock(at))
    assert following.run_after == at + timedelta(days=1)
    assert following.partition_key == f"{at:%Y-%m-%d}"
    missed = ends_next(run_of_clock(at - timedelta(days=3)))
    assert missed.run_after == at
    assert missed.partition_key == f"{at - timedelta(days=1):%Y-%m-%d}"


def test_a_day_of_the_past_may_be_triggered_by_its_date_only() -> None:
    table = DailyDeliveries.deserialize(DailyDeliveries().serialize())
    assert table.resolve_partition_date("2018-10-17") == datetime(2018, 10, 17, tzinfo=UTC)
