"""`lakehouse run` through a real Airflow: what it prints is what has happened."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lakehouse.cli.follow import Follower
from lakehouse.cli.progress import RichReporter
from lakehouse.landing.deliver import land

from ..support.olist import small_shop
from .airflow_support import Orchestra
from .test_airflow_avazu import write_days

pytestmark = [pytest.mark.servers, pytest.mark.airflow]

#: Later than what other tests land.
DAYS = ["2014-11-01", "2014-11-02", "2014-11-03"]
PAUSED_DAY = "2014-11-04"
BAD_DAY, EMPTY_DAY = "2018-04-04", "2018-04-30"


def run(orchestra: Orchestra, source: str, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, what is told in JSON, and what a person sees meanwhile."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("LAKEHOUSE_")}
    done = subprocess.run(
        [sys.executable, "-m", "lakehouse.cli.main", "run", source, *arguments, "--json"],
        env=mine | {"LAKEHOUSE_HOME": str(orchestra.home.root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    return done.returncode, json.loads(done.stdout), done.stderr


def tables(told: dict[str, Any], layer: str) -> dict[str, dict[str, Any]]:
    return {t["table"]: t for t in told["summary"]["tables"] if t["layer"] == layer}


def land_events(orchestra: Orchestra, folder: Path, days: list[str]) -> None:
    house = orchestra.lakehouse
    files = write_days(folder, [date.fromisoformat(day) for day in days])
    assert [
        r.partition_key for r in land(house.landing or house.homes, house.project, "avazu", files)
    ] == days


def test_three_days_in_one_run_are_followed_to_gold_and_summed_up(
    orchestra: Orchestra, tmp_path: Path
) -> None:
    land_events(orchestra, tmp_path, DAYS)
    code, told, shown = run(orchestra, "avazu", "--from", DAYS[0], "--to", DAYS[-1])
    assert (code, told["failures"], told["unchanged"], told["partitions"]) == (0, [], [], DAYS), shown
    counted = orchestra.lakehouse.query(
        "select hour_date::text, impression_count from gold.ctr_daily "
        f"where hour_date between '{DAYS[0]}' and '{DAYS[-1]}'"
    )
    assert sorted(day for day, _ in counted) == DAYS
    for day in DAYS:
        (line,) = [line for line in shown.splitlines() if line.startswith(f"✓ avazu {day}")]
        assert "published 20" in line
        assert "verdict warned" in line or "verdict passed" in line
    rows = sum(count for _, count in counted)
    events = tables(told, "bronze")["avazu_impressions"]
    assert (events["partitions"], events["rows_in"], events["changed"], events["refused"]) == (
        3,
        rows,
        rows,
        0,
    )
    assert events["seconds"] > 0
    assert set(tables(told, "silver")) == {"avazu_impressions"}
    assert set(tables(told, "gold")) == {"ctr_daily", "ctr_hourly"}
    assert all(table["verdict"] in ("passed", "warned") for table in told["summary"]["tables"])
    assert told["summary"]["airflow"].endswith("/dags/avazu_gold")


def test_days_that_are_done_say_when_and_how_and_have_no_tick(orchestra: Orchestra) -> None:
    code, told, shown = run(orchestra, "avazu", "--from", "2014-10-31", "--to", DAYS[0])
    assert (code, told["unchanged"], told["without_delivery"]) == (0, DAYS[:1], ["2014-10-31"])
    assert "1 day skipped: no delivery (2014-10-31)" in shown
    assert f"· avazu {DAYS[0]} nothing to do: published 20" in shown
    assert "✓" not in shown
    assert told["summary"]["tables"] == []


def test_a_day_that_is_forced_is_made_anew_in_every_layer(orchestra: Orchestra) -> None:
    code, told, shown = run(orchestra, "avazu", "--from", DAYS[0], "--force")
    assert (code, told["unchanged"], told["failures"]) == (0, [], []), shown
    assert f"✓ avazu {DAYS[0]} published 20" in shown
    assert {(t["layer"], t["table"]) for t in told["summary"]["tables"]} >= {
        ("bronze", "avazu_impressions"), ("silver", "avazu_impressions"), ("gold", "ctr_daily")
    }  # fmt: skip
    assert all(table["changed"] == 0 for table in told["summary"]["tables"])


def test_a_day_without_delivery_is_skipped(orchestra: Orchestra) -> None:
    stream = io.StringIO()
    with RichReporter(Console(file=stream, width=200)) as reporter:
        outcome = Follower(orchestra.api, "olist", reporter).run([EMPTY_DAY])
    assert outcome.skipped == {EMPTY_DAY: "no delivery"}
    assert f"· olist {EMPTY_DAY} skipped: no delivery" in stream.getvalue()


def test_a_blocked_day_is_no_tick_and_says_where(orchestra: Orchestra) -> None:
    shop = small_shop(9)
    shop.order(1)["order_approved_at"] = "2017-01-01 00:00:00"
    orchestra.lakehouse.land(shop, BAD_DAY)
    code, told, shown = run(orchestra, "olist", "--from", BAD_DAY)
    assert code == 1
    assert f"✗ olist {BAD_DAY} silver blocked by gate" in shown
    assert "✓" not in shown
    assert [(f["dag_id"], f["task_id"]) for f in told["failures"]] == [("olist_silver", "gate")]
    (found,) = [f for f in told["summary"]["findings"] if f["verdict"] == "blocked"]
    assert (found["layer"], found["partition_key"]) == ("silver", BAD_DAY)
    assert "approval_follows_purchase" in found["causes"][0]
    assert tables(told, "silver")["olist_orders"]["verdict"] == "blocked"
    assert tables(told, "gold") == {}
    assert told["summary"]["airflow"].endswith("/dags/olist_silver")


def test_a_consumer_that_is_paused_is_told_and_goes_on_when_it_may(
    orchestra: Orchestra, tmp_path: Path
) -> None:
    land_events(orchestra, tmp_path, [PAUSED_DAY])
    orchestra.pause("avazu_gold", paused=True)
    try:
        code, told, shown = run(orchestra, "avazu", "--from", PAUSED_DAY)
    finally:
        orchestra.pause("avazu_gold", paused=False)
    assert code == 1
    assert f"! avazu {PAUSED_DAY} gold has not begun" in shown
    assert "avazu_gold is paused" in told["failures"][0]["message"]
    orchestra.next_ended("avazu_gold", PAUSED_DAY)
