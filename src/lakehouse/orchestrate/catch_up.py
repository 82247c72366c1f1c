"""Wakes a layer that has missed something, so that it catches up without anybody's help: bronze a delivery that came
late, silver and gold events while their DAG was paused.

Airflow keeps an event for those only who listen at that moment: ``AssetManager.register_asset_change`` passes over
paused DAGs, and unpausing one asks for nothing. The ledger knows what a layer has not taken up. So every two minutes
a task of ``<source>_catch_up`` asks it, and tells the event of the oldest such partition again.

It cannot flood. A layer is woken only when its DAG is not paused and has no run queued or running, with one partition
at a time, and only for what no run has tried: what the gate has blocked or what has failed is left to people.

A delivery counts as late for ``wait_hours`` after the end of its day. What was landed for days before is history, which
people run when they want to.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from lakehouse.contract.model import LAYERS
from lakehouse.errors import LakehouseError
from lakehouse.orchestrate.delivery import awaited_days, is_delivered
from lakehouse.orchestrate.homes import open_warehouse
from lakehouse.orchestrate.planner import is_running

if TYPE_CHECKING:
    from airflow.sdk import Asset
    from sqlalchemy import Engine

    from lakehouse.contract.model import Layer

log = logging.getLogger(__name__)


#: What ``look`` leaves for ``wake_bronze``: the day that was delivered.
DELIVERED = "delivered"


def look(source: str, wait_hours: float) -> list[str]:
    """Which layers have to be woken, as ids of the tasks that do it. Takes runs that are over out of the lines, too."""
    from lakehouse.home import warehouse
    from lakehouse.layer import turns

    ti = get_current_context()["ti"]
    with open_warehouse() as engine:
        with engine.begin() as conn:
            if not warehouse.is_prepared(conn):
                return []
            for layer in LAYERS:
                turns.forget_ended_turns(conn, source, layer, is_running(ti, f"{source}_{layer}"))
            missed: list[Layer] = [layer for layer in LAYERS[1:] if turns.to_wake(conn, source, layer)]
            tried = turns.days_tried(conn, source, days := awaited_days(wait_hours, datetime.now(UTC)))
        _take_sample(engine)
    late = next((day for day in days if day not in tried and is_delivered(source, day)), None)
    if late:
        ti.xcom_push(key=DELIVERED, value=late)
        missed.insert(0, "bronze")
    return [f"wake_{layer}" for layer in missed if _listens(ti, f"{source}_{layer}")]


def wake(source: str, layer: Layer, asset: Asset) -> dict[str, Any]:
    """Tell again that the oldest partition which ``layer`` has missed is published in the layer before it.

    Returns what the event carries.

    Raises:
        AirflowSkipException: somebody has taken it up meanwhile; nothing is told.
    """
    from lakehouse.layer import flow, turns

    before = LAYERS[LAYERS.index(layer) - 1]
    with open_warehouse() as engine, engine.connect() as conn:
        key = turns.to_wake(conn, source, layer)
        if key is None:
            raise AirflowSkipException(f"{source} {layer} has missed nothing any more.")
        told = flow.event(conn, source, before, key)
    log.info("%s %s has missed %s: told again", source, layer, key)
    event = get_current_context()["outlet_events"][asset]
    event.extra.update(told)
    event.add_partitions(key)
    return told


def _take_sample(engine: Engine) -> None:
    """Sizes and readers of this moment, for monitoring; nothing waits for it."""
    from lakehouse.home import warehouse

    try:
        with engine.begin() as conn:
            warehouse.take_sample(conn)
    except LakehouseError as error:
        log.info("No sample was taken: %s", error.message)


def _listens(ti: Any, dag_id: str) -> bool:
    """Whether a DAG would take up an event, and has nothing to do now."""
    return not ti.get_dag(dag_id).is_paused and not ti.get_dr_count(dag_id, states=["queued", "running"])
