"""Airflow gets into trouble: its scheduler is killed, the stack goes down in the middle, events come twice or never."""

from __future__ import annotations

import psutil
import pytest

from lakehouse.cli.context import prepare_homes
from lakehouse.contract.model import LAYERS
from lakehouse.home import warehouse
from lakehouse.home.homes import Homes
from lakehouse.orchestrate.pools import POOLS
from lakehouse.stack import laptop, processes
from lakehouse.stack.supervisor import Supervisor

from ..integration.stack_support import Notes
from ..support.aftermath import rows_of
from ..support.lakehouse import Lakehouse
from ..support.olist import DAY, NEXT_DAY, Delivery, small_shop
from .airflow_support import Orchestra, wait_for

pytestmark = [pytest.mark.servers, pytest.mark.airflow, pytest.mark.faults, pytest.mark.timeout(1800)]

LAST_DAY = "2018-03-03"
LONG = 600.0


def second() -> Delivery:
    """New and changed orders."""
    delivery = small_shop(5).only_orders(3, 5)
    delivery.order(3)["order_status"] = "shipped"
    return delivery


def third() -> Delivery:
    """One more."""
    return small_shop(6).only_orders(5, 6)


def in_the_middle(orchestra: Orchestra, key: str) -> str:
    """Start bronze; returns when its tasks stand before the lake. To be called with the registry locked."""
    run = orchestra.trigger("olist_bronze", key)
    orchestra.task_in("olist_bronze", run, "stage.olist_orders", "running")
    wait_for(orchestra.blocked_in_postgres, why="a stage task to reach the lake")
    return run


def test_a_scheduler_that_is_killed_is_started_again_and_its_runs_go_on(orchestra: Orchestra) -> None:
    orchestra.lakehouse.land(small_shop())
    supervisor = Supervisor(orchestra.home, orchestra.state)

    def scheduler() -> int:
        return next((s.pid for s in supervisor.statuses() if s.name.endswith("scheduler") and s.running), 0)

    with orchestra.locked("ops.lake_file", "share"):
        run = in_the_middle(orchestra, DAY)
        killed = psutil.Process(scheduler())
        killed.kill()
        wait_for(lambda: scheduler() not in (0, killed.pid), why="a new scheduler")
    orchestra.ended("olist_bronze", run, seconds=LONG)
    orchestra.next_ended("olist_gold", DAY, seconds=LONG)
    assert orchestra.lakehouse.value("select count(*) from gold.fact_order") == 4
    # Nobody is left of the one that was killed.
    supervised = {s.pid for s in supervisor.statuses()} | {supervisor.pid()}
    stray = [p for p in processes.of_stack(orchestra.home.root) if not _descends(p, supervised)]
    assert [p.cmdline() for p in stray] == []


def _descends(process: psutil.Process, ancestors: set[int]) -> bool:
    return bool({process.pid, *(p.pid for p in process.parents())} & ancestors)


def test_events_that_come_twice_or_never(orchestra: Orchestra) -> None:
    lakehouse = orchestra.lakehouse
    known = len(orchestra.runs("olist_silver", DAY))
    before = {layer: lakehouse.row_versions(layer) for layer in LAYERS}
    (asset,) = [a["id"] for a in orchestra.api.pages("/assets", "assets") if a["name"] == "olist/bronze"]
    for _ in range(2):
        body = {"asset_id": asset, "partition_key": DAY, "extra": {"partition_key": DAY}}
        orchestra.api.call("POST", "/assets/events", json=body)
    orchestra.next_ended("olist_silver", DAY, known, seconds=LONG)
    assert {layer: lakehouse.row_versions(layer) for layer in LAYERS} == before
    # Bronze is published, and nobody is told.
    lakehouse.load(second(), NEXT_DAY, "bronze")
    lakehouse.execute("update ops.publish set published_at = published_at - interval '1 minute'")
    orchestra.trigger("olist_catch_up", None)
    orchestra.next_ended("olist_gold", NEXT_DAY, seconds=LONG)
    assert lakehouse.value("select count(*) from gold.fact_order") == 5


def test_down_in_the_middle_and_up_again(orchestra: Orchestra, homes: Homes) -> None:
    lakehouse = orchestra.lakehouse
    lakehouse.land(third(), LAST_DAY)
    with orchestra.locked("ops.lake_file", "share"):
        run = in_the_middle(orchestra, LAST_DAY)
    assert laptop.down(orchestra.home, Notes())
    assert processes.of_stack(orchestra.home.root) == []
    laptop.up(orchestra.home, Notes(), prepare=prepare_homes, pools=POOLS)
    orchestra.ended("olist_bronze", run, seconds=LONG)
    orchestra.next_ended("olist_gold", LAST_DAY, seconds=LONG)
    # As if nothing had ever been.
    undisturbed = Lakehouse(homes, lakehouse.project, lakehouse.folder / "undisturbed")
    warehouse.prepare(homes, lakehouse.project)
    for delivery, day in ((small_shop(), DAY), (second(), NEXT_DAY), (third(), LAST_DAY)):
        undisturbed.load(delivery, day)
    assert rows_of(lakehouse) == rows_of(undisturbed)
    assert lakehouse.query("select * from ops.open_partition") == []
    staged = "select relname from pg_class where relnamespace = 'stage'::regnamespace and relkind = 'r'"
    assert lakehouse.query(staged) == []
    assert lakehouse.query("select uri from ops.lake_file where status = 'staged'") == []
    assert {uri for (uri,) in lakehouse.query("select uri from ops.lake_file")} == lakehouse.objects()
