"""When bronze runs: once a day, for the day that has just ended."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.timetables.trigger import CronPartitionTimetable

from lakehouse.orchestrate.partition import KEY_FORMAT

if TYPE_CHECKING:
    from airflow.timetables.base import DagRunInfo, TimeRestriction

#: A clock that starts this shortly after midnight still runs the day that has just ended.
_LATE = timedelta(minutes=10)


class DailyDeliveries(CronPartitionTimetable):
    """One run at midnight (UTC), whose partition key is the day before; backfills as the base class makes them.

    The base class takes a backfill's run for one of the clock, and follows it at once by a run for yesterday that
    nobody has asked for. Here only runs of the clock count.

    A timetable of one's own has to be known to Airflow: ``plugins/lakehouse_runs.py`` registers it.
    """

    def __init__(self) -> None:
        super().__init__(
            "0 0 * * *", timezone="UTC", run_offset=-1, run_immediately=_LATE, key_format=KEY_FORMAT
        )

    def serialize(self) -> dict[str, object]:
        """Nothing: all of them are the same."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, object]) -> DailyDeliveries:
        """The timetable."""
        return cls()

    def next_dagrun_info_v2(
        self, *, last_dagrun_info: DagRunInfo | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The run after the last one of the clock. A backfill's run is for the day at whose beginning it *runs*."""
        last = last_dagrun_info
        if last is not None and last.partition_date == last.run_after:
            last = None
        return super().next_dagrun_info_v2(last_dagrun_info=last, restriction=restriction)
