"""Avazu through a real Airflow: days at once, a late delivery, tasks killed with -9, a paused DAG."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime
from pathlib import Path

import psutil
import pytest

from lakehouse.landing.deliver import land
from lakehouse.landing.sample_avazu import write_sample
from lakehouse.orchestrate.delivery import awaited_days

from .airflow_support import Orchestra, wait_for

pytestmark = [pytest.mark.servers, pytest.mark.airflow]

DAYS = [f"2014-10-{day}" for day in range(21, 25)]


def write_days(folder: Path, days: list[date]) -> Path:
    """A train.gz with a few hundred impressions on each of these days, no two with the same id."""
    lines: list[str] = []
    for seed, day in enumerate(days):
        write_sample(folder, rows=800, seed=seed)
        with gzip.open(folder / "train.gz", "rt") as sample:
            header, *rows = sample
        first_day = (row for row in rows if row.split(",")[2].startswith("141021"))
        lines += [row.replace(",141021", f",{day:%y%m%d}", 1) for row in first_day]
    with gzip.open(folder / "train.gz", "wt") as target:
        target.writelines([header, *lines])
    return folder


@pytest.fixture(scope="module")
def landed(orchestra: Orchestra, tmp_path_factory: pytest.TempPathFactory) -> Orchestra:
    """All days are landed."""
    house = orchestra.lakehouse
    files = write_days(tmp_path_factory.mktemp("avazu"), [date.fromisoformat(day) for day in DAYS])
    assert [
        r.partition_key for r in land(house.landing or house.homes, house.project, "avazu", files)
    ] == DAYS
    return orchestra


def gold_days(orchestra: Orchestra) -> list[str]:
    rows = orchestra.lakehouse.query("select hour_date::text from gold.ctr_daily order by 1")
    return [day for (day,) in rows]


def test_a_backfill_of_several_days_at_once_takes_turns_and_reaches_gold(landed: Orchestra) -> None:
    body = {
        "dag_id": "avazu_bronze",
        "from_date": f"{DAYS[0]}T00:00:00Z",
        "to_date": f"{DAYS[1]}T00:00:00Z",
        "max_active_runs": 3,
        "reprocess_behavior": "none",
    }
    landed.api.call("POST", "/backfills", json=body)  # what the UI's form sends
    for day in DAYS[:2]:
        for layer in ("bronze", "silver", "gold"):
            run = landed.next_ended(f"avazu_{layer}", day)
            assert set(landed.states(f"avazu_{layer}", run["dag_run_id"]).values()) <= {"success", "skipped"}
    assert gold_days(landed) == DAYS[:2]


def test_a_killed_task_is_tried_again_and_completes(landed: Orchestra) -> None:
    day = DAYS[2]
    with landed.locked("ops.lake_file", "share"):  # a file of the lake is announced before it is written
        run = landed.trigger("avazu_bronze", day)
        landed.task_in("avazu_bronze", run, "stage.avazu_impressions", "running")
        wait_for(landed.blocked_in_postgres, why="the stage task to reach the table")
        kill(landed, run, "stage.avazu_impressions")
    with landed.locked("raw.avazu_impressions", "share update exclusive"):  # lets rows in, not partitions
        landed.task_in("avazu_bronze", run, "publish", "running")
        wait_for(landed.blocked_in_postgres, why="publish to reach the table")
        kill(landed, run, "publish")
        served = f"select count(bronze_publish_id) from ops.batch where partition_key = '{day}'"
        assert landed.lakehouse.value(served) == 0
        assert landed.events("avazu/bronze", day) == []
    landed.ended("avazu_bronze", run)
    tries = {name: t["try_number"] for name, t in landed.tasks("avazu_bronze", run).items()}
    assert tries == {
        "find_delivery": 1, "plan": 1, "stage.avazu_impressions": 2, "gate": 1, "publish": 2
    }  # fmt: skip
    landed.next_ended("avazu_gold", day)
    assert gold_days(landed) == DAYS[:3]
    assert len(landed.events("avazu/bronze", day)) == 1


def kill(orchestra: Orchestra, run: str, task: str) -> None:
    """kill -9 the process of a running task, and wait until Airflow has noticed."""
    pid = orchestra.tasks("avazu_bronze", run)[task]["pid"]
    psutil.Process(pid).kill()
    orchestra.task_in("avazu_bronze", run, task, "up_for_retry")


def test_a_consumer_that_was_paused_catches_up_by_itself(landed: Orchestra) -> None:
    missed = DAYS[3]
    landed.pause("avazu_silver", paused=True)
    landed.ended("avazu_bronze", landed.trigger("avazu_bronze", missed))
    # The minute that its own event has is over.
    landed.lakehouse.execute("update ops.publish set published_at = published_at - interval '1 minute'")
    look = landed.trigger("avazu_catch_up", None)
    landed.ended("avazu_catch_up", look)
    assert landed.lakehouse.query("select 1 from ops.measurement where measure = 'readers_active'")
    # Nobody would hear it: nothing is told.
    assert landed.states("avazu_catch_up", look) == {
        "look": "success", "wake_bronze": "skipped", "wake_silver": "skipped", "wake_gold": "skipped"
    }  # fmt: skip
    assert len(landed.events("avazu/bronze", missed)) == 1
    landed.pause("avazu_silver", paused=False)
    landed.next_ended("avazu_silver", missed)
    landed.next_ended("avazu_gold", missed)
    assert gold_days(landed) == DAYS[:4]
    first, again = landed.events("avazu/bronze", missed)
    assert again["source_dag_id"] == "avazu_catch_up"
    # What consumers go by is told again; what the gate found was told when it did.
    assert {"partition_key", "batch_ids", "row_counts", "verdict"} <= again["extra"].keys()
    assert again["extra"].items() <= (first["extra"] | {"rows_written": 0}).items()
    assert len(landed.runs("avazu_silver", missed)) == 1


def test_a_delivery_that_comes_late_is_taken_up_though_no_run_waits_for_it(
    landed: Orchestra, tmp_path: Path
) -> None:
    awaited = awaited_days(24, datetime.now(UTC))
    if not awaited:
        pytest.skip("just after midnight (UTC), when the day that has ended belongs to the clock")
    day = awaited[-1]
    early = landed.trigger("avazu_bronze", day)
    landed.ended("avazu_bronze", early)
    assert set(landed.states("avazu_bronze", early).values()) == {"skipped"}
    house = landed.lakehouse
    land(
        house.landing or house.homes, house.project, "avazu", write_days(tmp_path, [date.fromisoformat(day)])
    )
    landed.trigger("avazu_catch_up", None)  # the clock's own is two minutes away
    run = landed.next_ended("avazu_bronze", day, known=1)
    assert run["dag_run_id"].startswith(f"landed__{day}__")
    landed.next_ended("avazu_gold", day)
    # Nobody has to be woken any more.
    landed.ended("avazu_catch_up", look := landed.trigger("avazu_catch_up", None))
    assert landed.states("avazu_catch_up", look)["wake_bronze"] == "skipped"
    assert len(landed.runs("avazu_bronze", day)) == 2
