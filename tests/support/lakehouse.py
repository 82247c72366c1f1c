"""The real flow on real servers, in few words, and what tests look at afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import text

from lakehouse.contract import Project
from lakehouse.contract.model import LAYERS, SCHEMAS, DeliveryKind, Layer
from lakehouse.home.homes import Homes
from lakehouse.landing.deliver import land
from lakehouse.layer import flow
from lakehouse.layer.ledger import Publish, latest_run, publishes

from .olist import DAY, Delivery

Event = dict[str, Any]


def copy_project(folder: Path, *edits: Callable[[Path], None], pages: bool = False) -> Project:
    """A copy of the project to change; ``edits`` change files before it is read.

    Without ``pages`` its gates write no Data Docs, which takes as long as the audit itself.
    """
    root = Project.load().root
    for part in ("contracts", "sql", "docs", *(("great_expectations",) if pages else ())):
        if (root / part).exists():
            shutil.copytree(root / part, folder / part, ignore=shutil.ignore_patterns("uncommitted"))
    for edit in edits:
        edit(folder)
    return Project.load(folder)


@dataclass
class Lakehouse:
    """Two homes, a project, and a folder for files to land."""

    homes: Homes
    project: Project
    folder: Path
    source: str = "olist"
    analyst_dsn: str = ""
    #: With the key of who lands files, where that is another one.
    landing: Homes | None = None

    def land(
        self,
        delivery: Delivery,
        day: str = DAY,
        *,
        kind: DeliveryKind | None = None,
        allow_shrink: bool = True,
    ) -> None:
        """Land a delivery under a date. It may shrink: a tiny shop that loses an order loses a quarter of its rows."""
        files = delivery.write(self.folder / day, self.project)
        land(
            self.landing or self.homes,
            self.project,
            self.source,
            files,
            day,
            kind=kind,
            allow_shrink=allow_shrink,
        )

    def plan(self, layer: Layer, day: str = DAY) -> tuple[str, ...]:
        """Plan a layer."""
        return flow.plan(self.homes, self.project, self.source, layer, day)

    def stage(self, layer: Layer, day: str = DAY) -> dict[str, dict[str, int]]:
        """Stage every table of a layer, as far as the plan has them; counts by table."""
        order = self.project.stage_order(self.source, layer)
        done = {t: flow.stage(self.homes, self.project, self.source, layer, day, t) for t in order}
        return {t: counts for t, counts in done.items() if counts}

    def gate(self, layer: Layer, day: str = DAY) -> dict[str, Any]:
        """Audit a layer."""
        return flow.gate(self.homes, self.project, self.source, layer, day)

    def publish(self, layer: Layer, day: str = DAY) -> Event:
        """Publish a layer; the event."""
        return flow.publish(self.homes, self.project, self.source, layer, day)

    def prepare(self, layer: Layer, day: str = DAY) -> None:
        """All of a layer but the publish."""
        self.plan(layer, day)
        self.stage(layer, day)
        self.gate(layer, day)

    def run_layer(self, layer: Layer, day: str = DAY) -> Event:
        """A layer from plan to publish."""
        self.prepare(layer, day)
        return self.publish(layer, day)

    def run(self, day: str = DAY, upto: Layer = "gold") -> dict[str, Event]:
        """Every layer up to one; events by layer."""
        layers = LAYERS[: LAYERS.index(upto) + 1]
        return {layer: self.run_layer(layer, day) for layer in layers}

    def load(self, delivery: Delivery, day: str = DAY, upto: Layer = "gold") -> dict[str, Event]:
        """Land and run."""
        self.land(delivery, day)
        return self.run(day, upto)

    def staged(self, layer: Layer, table: str, day: str = DAY) -> Publish:
        """What the newest run of a layer makes of a table."""
        with self.homes.engine.connect() as conn:
            run = latest_run(conn, self.source, layer, day)
            assert run is not None
            return publishes(conn, run, [table])[0]

    def query(self, sql: str, **parameters: object) -> list[tuple[Any, ...]]:
        """Rows of a query on the warehouse, in a transaction of its own."""
        with self.homes.engine.connect() as conn:
            return [tuple(r) for r in conn.execute(text(sql), parameters)]

    def value(self, sql: str, **parameters: object) -> Any:
        """The one value a query returns."""
        return self.query(sql, **parameters)[0][0]

    def execute(self, sql: str, **parameters: object) -> int:
        """Run a statement and commit it; the rows it changed."""
        with self.homes.engine.begin() as conn:
            return conn.execute(text(sql), parameters).rowcount

    def tables(self, layer: Layer) -> tuple[str, ...]:
        """The tables of a layer."""
        tasks = self.project.stage_order(self.source, layer)
        return tuple(
            table
            for task in tasks
            for table in (self.project.staged_with(task) if layer == "silver" else (task,))
        )

    def columns(self, relation: str) -> list[str]:
        """The columns of a warehouse relation, in order."""
        schema, _, table = relation.partition(".")
        return [
            row[0]
            for row in self.query(
                "select column_name from information_schema.columns where table_schema = :s and table_name = :t "
                "order by ordinal_position",
                s=schema,
                t=table,
            )
        ]

    def required(self, schema: str, table: str) -> set[str]:
        """The columns of a warehouse relation that always have a value."""
        return {
            row[0]
            for row in self.query(
                "select column_name from information_schema.columns "
                "where table_schema = :s and table_name = :t and is_nullable = 'NO'",
                s=schema,
                t=table,
            )
        }

    def business_columns(self, layer: Layer, table: str) -> list[str]:
        """The columns that say something about the world."""
        return [c for c in self.columns(f"{SCHEMAS[layer]}.{table}") if not c.startswith("_")]

    def checksums(self, layer: Layer, without: str = "") -> dict[str, str]:
        """Table → checksum of what readers of the warehouse see, technical columns (and one more) left out."""
        found = {}
        for table in self.tables(layer):
            names = [c for c in self.business_columns(layer, table) if c != without]
            row = f"row({', '.join(names)})::text"
            found[table] = self.value(
                f"select count(*) || ':' || coalesce(md5(string_agg({row}, '|' order by {row} collate \"C\")), '') "
                f"from {SCHEMAS[layer]}.{table}"
            )
        return found

    def row_versions(self, layer: Layer) -> dict[str, list[tuple[Any, ...]]]:
        """Table → physical versions of its rows: they change when a row is rewritten, even with the same values."""
        return {
            t: self.query(
                f"select tableoid::regclass::text, xmin::text, ctid::text from {SCHEMAS[layer]}.{t} order by 1, 2, 3"
            )
            for t in self.tables(layer)
        }

    def snapshots(self, layer: Layer) -> dict[str, int | None]:
        """Table → current snapshot of the Iceberg table."""
        catalog = self.homes.catalog()
        found = {}
        for table in self.tables(layer):
            current = catalog.load_table(f"{layer}.{table}").current_snapshot()
            found[table] = current.snapshot_id if current else None
        return found

    def lake(self, layer: Layer, table: str) -> pa.Table:
        """What readers of the lake see of a table."""
        return self.homes.catalog().load_table(f"{layer}.{table}").scan().to_arrow()

    def served(self) -> dict[str, Any]:
        """All that readers of both homes see, to be compared before and after."""
        return {layer: (self.checksums(layer), self.snapshots(layer)) for layer in LAYERS}

    def ledger(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table of ``ops``, and the relations of the stage."""
        tables = [
            t for (t,) in self.query("select tablename from pg_tables where schemaname = 'ops' order by 1")
        ]
        found = {t: self.query(f"select t::text from ops.{t} as t order by 1") for t in tables}
        staged = (
            "select c.relname, c.relfilenode from pg_class as c where c.relnamespace = 'stage'::regnamespace"
        )
        return found | {"stage": self.query(f"{staged} order by 1")}

    def objects(self) -> set[str]:
        """The names of all objects of the lake that are in the bucket."""
        pages = self.homes.s3_client().get_paginator("list_objects_v2")
        listed = pages.paginate(Bucket=self.homes.bucket, Prefix="lake/")
        return {f"s3://{self.homes.bucket}/{o['Key']}" for page in listed for o in page.get("Contents", [])}

    def environment(self) -> dict[str, str]:
        """The variables that give another process these homes and this project."""
        return os.environ | {
            "LAKEHOUSE_PG_DSN": self.homes.engine.url.set(drivername="postgresql").render_as_string(
                hide_password=False
            ),
            "LAKEHOUSE_S3_ENDPOINT": self.homes.s3.endpoint,
            "LAKEHOUSE_BUCKET": self.homes.bucket,
            "LAKEHOUSE_ACCESS_KEY": self.homes.s3.access_key,
            "LAKEHOUSE_SECRET_KEY": self.homes.s3.secret_key,
            "LAKEHOUSE_PROJECT": str(self.project.root),
        }

    def start(self, script: str, *arguments: str) -> subprocess.Popen[str]:
        """Start Python in a process of its own, with these homes as its settings."""
        return subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def process(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python in a process of its own, with these homes as its settings."""
        return subprocess.run(
            [sys.executable, "-c", script, *arguments],
            env=self.environment(),
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
