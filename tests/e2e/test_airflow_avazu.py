"""Avazu through a real Airflow: days at once, a late delivery, tasks killed with -9, a paused DAG."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from lakehouse.landing.deliver import land
from lakehouse.landing.sample_avazu import write_sample

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
    assert [r.partition_key for r in land(house.homes, house.project, "avazu", files)] == DAYS
    return orchestra


@pytest.fixture(scope="module", autouse=True)
def vain_wait(orchestra: Orchestra) -> str:
    """A run that waits twenty seconds for a day that will not come, while the other tests go on."""
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=5)
    seconds_since_its_end = (datetime.now(UTC) - day - timedelta(days=1)).total_seconds()
    conf = {"wait_hours": (seconds_since_its_end + 20) / 3600}
    run = orchestra.trigger("avazu_bronze", day.date().isoformat(), conf)
    orchestra.task_in("avazu_bronze", run, "wait_for_delivery", "deferred")
    return run


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
        "wait_for_delivery": 1, "plan": 1, "stage.avazu_impressions": 2, "gate": 1, "publish": 2
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
    # Nobody would hear it: nothing is told.
    assert landed.states("avazu_catch_up", look) == {
        "look": "success", "wake_silver": "skipped", "wake_gold": "skipped"
    }  # fmt: skip
    assert len(landed.events("avazu/bronze", missed)) == 1
    landed.pause("avazu_silver", paused=False)
    landed.next_ended("avazu_silver", missed)
    landed.next_ended("avazu_gold", missed)
    assert gold_days(landed) == DAYS[:4]
    first, again = landed.events("avazu/bronze", missed)
    assert again["source_dag_id"] == "avazu_catch_up"
    assert again["extra"] == first["extra"] | {"rows_written": 0}
    assert len(landed.runs("avazu_silver", missed)) == 1


def test_a_recent_day_is_waited_for_without_a_worker(landed: Orchestra, tmp_path: Path) -> None:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    run = landed.trigger("avazu_bronze", yesterday.isoformat(), {"wait_hours": 240})
    landed.task_in("avazu_bronze", run, "wait_for_delivery", "deferred")
    house = landed.lakehouse
    land(house.homes, house.project, "avazu", write_days(tmp_path, [yesterday]))
    landed.ended("avazu_bronze", run)
    assert landed.states("avazu_bronze", run)["publish"] == "success"


def test_a_wait_that_ends_without_a_delivery_is_a_skip(landed: Orchestra, vain_wait: str) -> None:
    landed.ended("avazu_bronze", vain_wait)
    assert set(landed.states("avazu_bronze", vain_wait).values()) == {"skipped"}
