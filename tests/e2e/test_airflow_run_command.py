"""`lakehouse run` through a real Airflow: what it prints is what has happened."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

from lakehouse.cli.follow import Follower
from lakehouse.cli.progress import RichReporter

from ..support.olist import small_shop
from .airflow_support import Orchestra

pytestmark = [pytest.mark.servers, pytest.mark.airflow]

#: Later than what other tests land.
DAYS = ["2018-04-01", "2018-04-02", "2018-04-03"]
BAD_DAY, PAUSED_DAY, EMPTY_DAY = "2018-04-04", "2018-04-05", "2018-04-30"


def run(orchestra: Orchestra, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, what is told in JSON, and what a person sees meanwhile."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("LAKEHOUSE_")}
    done = subprocess.run(
        [sys.executable, "-m", "lakehouse.cli.main", "run", "olist", *arguments, "--json"],
        env=mine | {"LAKEHOUSE_HOME": str(orchestra.home.root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    return done.returncode, json.loads(done.stdout), done.stderr


def tables(told: dict[str, Any], layer: str) -> dict[str, dict[str, Any]]:
    return {t["table"]: t for t in told["summary"]["tables"] if t["layer"] == layer}


def test_three_days_in_one_run_are_followed_to_gold_and_summed_up(orchestra: Orchestra) -> None:
    for orders, day in enumerate(DAYS, 6):
        orchestra.lakehouse.land(small_shop(orders), day)
    code, told, shown = run(orchestra, "--from", DAYS[0], "--to", DAYS[-1])
    assert (code, told["failures"], told["unchanged"], told["partitions"]) == (0, [], [], DAYS), shown
    assert orchestra.lakehouse.value("select count(*) from gold.fact_order") == 8
    for day in DAYS:
        (line,) = [line for line in shown.splitlines() if line.startswith(f"✓ olist {day}")]
        assert "published 20" in line
        assert "verdict warned" in line or "verdict passed" in line
    orders_in = tables(told, "bronze")["olist_orders"]
    assert (orders_in["partitions"], orders_in["rows_in"], orders_in["changed"], orders_in["refused"]) == (
        3,
        21,
        21,
        0,
    )
    assert orders_in["seconds"] > 0
    assert set(tables(told, "silver")) == set(orchestra.lakehouse.tables("silver"))
    assert set(tables(told, "gold")) == set(orchestra.lakehouse.tables("gold"))
    assert all(table["verdict"] in ("passed", "warned") for table in told["summary"]["tables"])
    assert told["summary"]["airflow"].endswith("/dags/olist_gold")


def test_days_that_are_done_say_when_and_how_and_have_no_tick(orchestra: Orchestra) -> None:
    code, told, shown = run(orchestra, "--from", "2018-03-31", "--to", DAYS[0])
    assert (code, told["unchanged"], told["without_delivery"]) == (0, DAYS[:1], ["2018-03-31"])
    assert "1 days skipped: no delivery (2018-03-31)" in shown
    assert f"· olist {DAYS[0]} nothing to do: published 20" in shown
    assert "✓" not in shown
    assert told["summary"]["tables"] == []


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
    code, told, shown = run(orchestra, "--from", BAD_DAY)
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


def test_a_consumer_that_is_paused_is_told_and_goes_on_when_it_may(orchestra: Orchestra) -> None:
    orchestra.lakehouse.land(small_shop(10), PAUSED_DAY)
    orchestra.pause("olist_gold", paused=True)
    try:
        code, told, shown = run(orchestra, "--from", PAUSED_DAY)
    finally:
        orchestra.pause("olist_gold", paused=False)
    assert code == 1
    assert f"! olist {PAUSED_DAY} gold has not begun" in shown
    assert "olist_gold is paused" in told["failures"][0]["message"]
    orchestra.next_ended("olist_gold", PAUSED_DAY)
    assert orchestra.lakehouse.value("select count(*) from gold.fact_order") == 10
