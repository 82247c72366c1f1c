"""The id of a run of a layer has its day, whoever made the run."""

from __future__ import annotations

from typing import Any

import pytest

from lakehouse.orchestrate.run_ids import name_by_day

DAY = "2018-10-17"
MADE = "2026-01-31T18:23:16.709752+00:00_GdC33OH2"


def named(**values: Any) -> Any:
    name_by_day(None, (), values)  # type: ignore[arg-type]
    return values["run_id"]


def test_a_run_that_an_event_wakes_is_named_by_its_day() -> None:
    run_id = named(dag_id="olist_silver", run_id=f"asset_triggered__{MADE}", partition_key=DAY)
    assert run_id == f"asset_triggered__{DAY}__{MADE}"


@pytest.mark.parametrize(
    ("dag", "run_id", "key"),
    [
        ("olist_silver", f"manual__{DAY}__{MADE}", DAY),
        ("olist_bronze", f"backfill__{DAY}T00:00:00+00:00_x", DAY),
        ("olist_silver", f"asset_triggered__{MADE}", None),
        ("report_of_somebody", f"asset_triggered__{MADE}", DAY),
    ],
)
def test_others_keep_their_names(dag: str, run_id: str, key: str | None) -> None:
    assert named(dag_id=dag, run_id=run_id, partition_key=key) == run_id


def test_only_what_makes_runs_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's own object for "a job starts", as its scheduler makes it, and none for a task's process."""
    from airflow.jobs.job import Job
    from airflow.models.dagrun import DagRun
    from sqlalchemy import event

    from lakehouse.orchestrate.run_ids import on_starting

    on_starting(object())
    assert not event.contains(DagRun, "init", name_by_day)
    on_starting(Job.__new__(Job))
    try:
        run = DagRun(
            dag_id="olist_gold",
            run_id=f"asset_triggered__{MADE}",
            run_type="asset_triggered",
            partition_key=DAY,
        )
        assert run.run_id == f"asset_triggered__{DAY}__{MADE}"
    finally:
        event.remove(DagRun, "init", name_by_day)
