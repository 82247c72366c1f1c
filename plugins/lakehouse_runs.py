"""Airflow plugin: when bronze runs, one way to say which day a run is for, and the day in the ids of runs."""

from airflow.plugins_manager import AirflowPlugin

from lakehouse.orchestrate import run_ids
from lakehouse.orchestrate.timetable import DailyDeliveries
from lakehouse.orchestrate.trigger import PartitionKeyOnce


class LakehouseRuns(AirflowPlugin):
    """What the DAGs need of Airflow beside their files."""

    name = "lakehouse_runs"
    timetables = [DailyDeliveries]  # noqa: RUF012 - Airflow reads it from the class
    listeners = [run_ids]  # noqa: RUF012
    fastapi_root_middlewares = [{"middleware": PartitionKeyOnce, "name": "partition key once"}]  # noqa: RUF012
