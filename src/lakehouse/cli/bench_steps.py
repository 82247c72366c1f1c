"""What the benchmark measures, each piece in a process of its own so that memory is its own too."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import date, timedelta
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import text

from lakehouse.contract import Project
from lakehouse.contract.model import LAYERS, Layer
from lakehouse.errors import LakehouseError
from lakehouse.home import warehouse
from lakehouse.home.homes import Homes
from lakehouse.home.settings import Settings
from lakehouse.landing.deliver import land as deliver
from lakehouse.landing.sample_avazu import write_sample
from lakehouse.layer import flow
from lakehouse.quality import gx_context

_CHANGED_ORDERS = 150
Figures = dict[str, float]
#: What a stack does once.
SETUP = "importing libraries, creating tables"


@dataclass(frozen=True)
class Measured:
    """A step's outcome: its own seconds by name, and the peak memory of its process."""

    figures: Figures
    peak_rss_mb: float


def in_own_process(work: Callable[..., Figures], *arguments: Any) -> Measured:
    """Run ``work`` in a fresh interpreter and measure it."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(_measured, work, arguments).result()


def _measured(work: Callable[..., Figures], arguments: tuple[Any, ...]) -> Measured:
    figures = work(*arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return Measured(figures, peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))


def land(settings: dict[str, str], source: str, folder: Path) -> Figures:
    """Check and upload the files; ``partition`` is the delivery's date as an ordinal day."""
    started = time.monotonic()
    reports = deliver(open_homes(settings), Project.load(), source, folder)
    day = date.fromisoformat(reports[-1].partition_key).toordinal()
    return {"landing": time.monotonic() - started, "partition": day, "rows": sum(r.rows for r in reports)}


def compute(settings: dict[str, str], source: str, partition_key: str) -> Figures:
    """All steps of all layers in one process, without Airflow, a thread per core; seconds by layer, rows written."""
    homes, project = open_homes(settings), Project.load()
    started = time.monotonic()
    make_ready(homes, project)
    setup = time.monotonic() - started
    figures = run_layers(homes, project, source, partition_key)
    return figures | {SETUP: setup}


def make_ready(homes: Homes, project: Project) -> None:
    """Import libraries, create tables.

    Not counted as compute: in a running stack tables exist, and task processes start with these libraries."""
    gx_context.load()
    for library in ("pyiceberg.catalog.sql", "pyiceberg.io.pyarrow"):
        import_module(library)
    warehouse.prepare(homes, project)


def run_layers(homes: Homes, project: Project, source: str, partition_key: str) -> Figures:
    """All steps of all layers: seconds by layer and step, rows written."""
    figures: Figures = {"rows written": 0}
    for layer in LAYERS:
        started = time.monotonic()
        planned = flow.plan(homes, project, source, layer, partition_key)
        graph = project.stage_order(source, layer)

        def stage(table: str, layer: Layer = layer) -> None:
            flow.stage(homes, project, source, layer, partition_key, table)

        _in_parallel({t: set(graph[t]) & set(planned) for t in planned}, stage)
        figures[f"{layer} plan and stage"] = time.monotonic() - started
        started = time.monotonic()
        flow.gate(homes, project, source, layer, partition_key)
        figures[f"{layer} gate"] = time.monotonic() - started
        started = time.monotonic()
        event = flow.publish(homes, project, source, layer, partition_key)
        figures[f"{layer} publish"] = time.monotonic() - started
        figures["rows written"] += event["rows_written"]
    return figures


def seconds(figures: Figures) -> float:
    """The layers' seconds in what :func:`compute` returns."""
    return sum(s for name, s in figures.items() if name.split()[0] in LAYERS)


def changed_orders(settings: dict[str, str], folder: Path, partition_key: str) -> Figures:
    """The newest 150 orders come again with another status, on the day after: seconds, rows written and changed."""
    homes, project = open_homes(settings), Project.load()
    make_ready(homes, project)
    with tempfile.TemporaryDirectory() as work:
        changed = write_changed_orders(folder, Path(work), _CHANGED_ORDERS)
        day = (date.fromisoformat(partition_key) + timedelta(days=1)).isoformat()
        deliver(homes, project, "olist", Path(work), day)
    found = run_layers(homes, project, "olist", day)
    with homes.engine.connect() as conn:
        silver = conn.execute(
            text(
                "select sum(inserted_rows + updated_rows + deleted_rows) from ops.publish "
                "where layer = 'silver' and partition_key = :d"
            ),
            {"d": day},
        ).scalar_one()
    return {"seconds": seconds(found), "rows changed": changed, "rows written in silver": float(silver)}


def write_changed_orders(folder: Path, into: Path, orders: int, to: str = "shipped") -> int:
    """Write a delivery of the newest orders of ``folder`` with another status; returns the orders.

    The other files hold what belongs to these orders, or a few rows that have not changed.
    """
    import polars as pl

    files = {c.name: c.file_name for c in Project.load().tables("olist")}
    read = {name: pl.read_csv(folder / file, infer_schema=False) for name, file in files.items()}
    newest = read["orders"].sort("order_purchase_timestamp").tail(orders)
    status = pl.when(pl.col("order_status") == to).then(pl.lit("canceled")).otherwise(pl.lit(to))
    read["orders"] = newest.with_columns(order_status=status, order_delivered_customer_date=pl.lit(""))
    for name in ("order_items", "order_payments", "order_reviews"):
        mine = read[name].filter(pl.col("order_id").is_in(newest["order_id"].to_list()))
        read[name] = mine if mine.height else read[name].head(1)
    read["customers"] = read["customers"].filter(pl.col("customer_id").is_in(newest["customer_id"].to_list()))
    for name in ("products", "sellers", "geolocation", "product_category_translation"):
        read[name] = read[name].head(1)
    for name, frame in read.items():
        frame.write_csv(into / files[name])
    return newest.height


def write_impressions(folder: Path, rows: int) -> Figures:
    """Made-up impressions of one day."""
    return {name: float(n) for name, n in write_sample(folder, rows, hours=24).items()}


def steps(settings: dict[str, str], source: str, partition_key: str) -> dict[str, Measured]:
    """Every task of a run as Airflow would run it, one process each: name → seconds and memory."""
    project = Project.load()
    measured: dict[str, Measured] = {}
    for layer in LAYERS:
        tasks = ["plan", *project.stage_order(source, layer), "gate", "publish"]
        for task in tasks:
            measured[f"{layer} {task}"] = in_own_process(
                _one_task, settings, source, layer, partition_key, task
            )
    return measured


def _one_task(settings: dict[str, str], source: str, layer: Layer, partition_key: str, task: str) -> Figures:
    homes, project = open_homes(settings), Project.load()
    started = time.monotonic()
    if task == "plan":
        flow.plan(homes, project, source, layer, partition_key)
    elif task == "gate":
        flow.gate(homes, project, source, layer, partition_key)
    elif task == "publish":
        flow.publish(homes, project, source, layer, partition_key)
    else:
        flow.stage(homes, project, source, layer, partition_key, task)
    return {"seconds": time.monotonic() - started}


def _in_parallel(graph: dict[str, set[str]], work: Callable[[str], None]) -> None:
    """Stage tables as Airflow would: each when those it reads are there, as many at once as there are cores."""
    order = TopologicalSorter(graph)
    order.prepare()
    running: dict[Future[None], str] = {}
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        while order.is_active():
            running |= {pool.submit(work, table): table for table in order.get_ready()}
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
                order.done(running.pop(future))


def baseline(settings: dict[str, str], source: str, folder: Path) -> Figures:
    """What people write first: pandas ``read_csv`` and ``to_sql``, table by table, into an empty schema.

    Raises:
        LakehouseError: pandas is not installed (it comes with the development tools).
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise LakehouseError("The baseline needs pandas.", "Run `make bench`.") from error
    engine = open_homes(settings).engine
    with engine.begin() as conn:
        conn.execute(text("create schema baseline"))
    started, rows = time.monotonic(), 0
    for contract in Project.load().tables(source):
        frame = pd.read_csv(folder / contract.file_name)
        rows += len(frame)
        frame.to_sql(contract.table, engine, schema="baseline", index=False, chunksize=10_000)
    return {"pandas": time.monotonic() - started, "rows": rows}


def open_homes(settings: dict[str, str]) -> Homes:
    """The homes that the settings name."""
    return Homes.open(Settings.model_validate(settings))
