"""The day in the ids of runs: Airflow shows ids in its lists, and hides the column with the partition key.

A run that an asset event wakes is named by the scheduler after the moment it was made, and asks nobody: neither the
timetable nor a policy. So its name is completed where the run is made in memory, before anything goes by it. Runs that
people trigger get theirs from :mod:`lakehouse.orchestrate.trigger`; those of a backfill have the day already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from lakehouse.orchestrate.trigger import is_ours

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun


@hookimpl
def on_starting(component: object) -> None:
    """A part of Airflow starts: in those that make runs, which are jobs, name them from now on."""
    # Task processes start too, and need not load Airflow's models for this.
    if type(component).__module__ == "airflow.jobs.job":
        from airflow.models.dagrun import DagRun
        from sqlalchemy import event

        if not event.contains(DagRun, "init", name_by_day):
            event.listen(DagRun, "init", name_by_day)


def name_by_day(run: DagRun, args: tuple[Any, ...], values: dict[str, Any]) -> None:
    """Put the partition key into the id that a run of a layer is about to get (``asset_triggered__<day>__…``)."""
    key, run_id = values.get("partition_key"), values.get("run_id")
    if key and run_id and key not in run_id and is_ours(str(values.get("dag_id"))):
        kind, _, rest = run_id.partition("__")
        values["run_id"] = f"{kind}__{key}__{rest}"
