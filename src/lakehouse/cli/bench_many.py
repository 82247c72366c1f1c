"""What a tiny delivery costs on top of a long history, beside the same one on top of a short history.

A busy machine makes both slower alike, so at each checkpoint the two are measured alternately and only their ratio
counts. The young stack is made anew for each checkpoint, in a database and a bucket of its own on the same servers.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from json import dumps
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from sqlalchemy import event, func, select, table, text

from lakehouse.cli.bench_steps import (
    Figures,
    make_ready,
    open_homes,
    run_layers,
    seconds,
    write_changed_orders,
)
from lakehouse.contract import GoldModel, Project
from lakehouse.home.homes import Homes
from lakehouse.landing.deliver import land
from lakehouse.layer.gold import Gold

#: Deliveries on the young stack before it is measured, and measured pairs at a checkpoint.
YOUNG, PAIRS = 6, 4
#: The dates of deliveries begin here.
_FIRST = date(2018, 10, 17)
_STATUSES = ("shipped", "invoiced", "processing", "approved")
_NUMBERS = ("1", "2", "3", "4")
#: What a narrow project has: a table with history, and one it points to; the column that changes.
_NARROW = {"olist_product_category_translation": "", "olist_products": "product_photos_qty"}
_SHOWN = 8

_ROWS_READ = """
select schemaname || '.' || relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
from pg_stat_all_tables where schemaname in ('ops', 'public', 'pg_catalog')
"""
_OPS_TABLES = "select tablename from pg_tables where schemaname = 'ops' order by 1"


@dataclass
class Stack:
    """A database and a bucket with the deliveries they have had, and what their statements cost."""

    homes: Homes
    project: Project
    #: Statement, without the numbers in it, to how often it ran and its seconds.
    statements: Counter[str] = field(default_factory=Counter)
    spent: Counter[str] = field(default_factory=Counter)

    @classmethod
    def start(cls, settings: dict[str, str], project: Project, folder: Path) -> Stack:
        """Deliver the whole folder to an empty database."""
        stack = cls(open_homes(settings), project)
        stack._count_statements()
        make_ready(stack.homes, stack.project)
        land(stack.homes, stack.project, "olist", folder, _FIRST.isoformat())
        run_layers(stack.homes, stack.project, "olist", _FIRST.isoformat())
        return stack

    def deliver(self, folder: Path, number: int) -> Figures:
        """Land and run the delivery of a number: seconds by layer, wall and CPU of all processes."""
        day = (_FIRST + timedelta(days=number + 1)).isoformat()
        with tempfile.TemporaryDirectory() as work:
            _write(self.project, folder, Path(work), number)
            cpu, wall = _cpu_seconds(), time.monotonic()
            land(self.homes, self.project, "olist", Path(work), day)
        landed = time.monotonic() - wall
        figures = run_layers(self.homes, self.project, "olist", day)
        return figures | {
            "landing": landed,
            "compute": seconds(figures),
            "wall": time.monotonic() - wall,
            "cpu": _cpu_seconds() - cpu,
        }

    def rows_read(self) -> Counter[str]:
        """Rows that Postgres has read so far, by table of the ledger and of the system's catalog."""
        self.homes.engine.dispose()  # sessions tell what they did when they end
        time.sleep(0.3)
        with self.homes.engine.connect() as conn:
            return Counter(dict(conn.execute(text(_ROWS_READ)).all()))

    def size(self) -> dict[str, int]:
        """Rows of the ledger's tables, objects in the bucket by layer, megabytes of the database."""
        with self.homes.engine.connect() as conn:
            tables = conn.execute(text(_OPS_TABLES)).scalars().all()
            found = {
                f"ops.{t}, rows": conn.execute(
                    select(func.count()).select_from(table(t, schema="ops"))
                ).scalar_one()
                for t in tables
            }
            found["database, MB"] = conn.execute(
                text("select pg_database_size(current_database()) / 1048576")
            ).scalar_one()
        pages = self.homes.s3_client().get_paginator("list_objects_v2").paginate(Bucket=self.homes.bucket)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        found |= Counter(f"{'/'.join(key.split('/')[:2])}, objects" for key in keys)
        return found

    def _count_statements(self) -> None:
        def before(_c: Any, _cursor: Any, _s: str, _p: Any, context: Any, _m: bool) -> None:
            context.bench_started = time.perf_counter()

        def after(_c: Any, _cursor: Any, statement: str, _p: Any, context: Any, _m: bool) -> None:
            name = re.sub(r"\s+", " ", re.sub(r"\b[0-9a-f]*\d[0-9a-f]*\b", "#", statement))
            self.statements[name] += 1
            self.spent[name] += time.perf_counter() - context.bench_started

        event.listen(self.homes.engine, "before_cursor_execute", before)
        event.listen(self.homes.engine, "after_cursor_execute", after)


def narrow_project() -> Project:
    """Two landed tables, one with history, and what is computed from them alone.

    A delivery costs a fifth of one with all tables, and a table's past is as long.
    """
    project = Project.load()
    gold = {t: m for t, m in project.gold.items() if m.source == "olist" and _reads_only(project, m)}
    return replace(project, contracts={t: project.contracts[t] for t in _NARROW}, gold=gold)


def _reads_only(project: Project, model: GoldModel) -> bool:
    """Whether a computed table, and what makes it stale, reads tables of the narrow project only."""
    there = {kept for table in _NARROW for kept in project.staged_with(table)}
    named = {name.partition(".")[2] for name in Gold().reads(project, model.table)}
    points = {reference.table for _, reference in model.references}
    return bool(named) and named <= there and not points


def _write(project: Project, folder: Path, into: Path, number: int) -> None:
    """The files of the delivery of a number: up to three rows of it are not what the one before said."""
    if "olist_orders" in project.contracts:
        write_changed_orders(folder, into, 1 + number % 3, _STATUSES[number % len(_STATUSES)])
        return
    import polars as pl

    for landed, column in _NARROW.items():
        name = project.contracts[landed].file_name
        rows = pl.read_csv(folder / name, infer_schema=False).tail(1 + number % 3)
        if column:
            rows = rows.with_columns(pl.lit(_NUMBERS[number % len(_NUMBERS)]).alias(column))
        rows.write_csv(into / name)


def many_deliveries(
    old: dict[str, str],
    young: Sequence[dict[str, str]],
    folder: Path,
    count: int,
    narrow: bool,
    progress: Path | None,
) -> Figures:
    """So many tiny deliveries on top of a folder's files, a day each, compared with a young stack on the way.

    ``old`` and ``young`` are settings of empty databases: one checkpoint for each young one, the first early, the last
    after ``count`` deliveries. ``progress``: a file that gets a line of JSON for each delivery and each checkpoint.
    """
    project = narrow_project() if narrow else Project.load()
    stack, figures, number = Stack.start(old, project, folder), Figures(), 0
    at = [count // 20, *(count * (k + 1) // (len(young) - 1) for k in range(len(young) - 1))]
    checkpoints = list(zip(at, young, strict=True))
    while checkpoints:
        made = stack.deliver(folder, number)
        number += 1
        _note(progress, {"delivery": number, "rss_mb": psutil.Process().memory_info().rss >> 20} | made)
        if number >= checkpoints[0][0]:
            compared = _compare(stack, checkpoints.pop(0)[1], folder, number)
            number += PAIRS
            _note(progress, {"checkpoint": number} | compared)
            figures |= {
                f"CPU s, delivery {number}": compared["old"]["cpu"],
                f"CPU s, delivery {number} to {YOUNG + PAIRS}th": compared["ratio"]["cpu"],
                f"wall, delivery {number} to {YOUNG + PAIRS}th": compared["ratio"]["wall"],
            }
            figures["last to 10th"] = compared["ratio"]["cpu"]
    return figures | {name: float(n) for name, n in stack.size().items()}


def _compare(stack: Stack, settings: dict[str, str], folder: Path, number: int) -> dict[str, Any]:
    """The next deliveries of a stack, each beside the same one on a young stack: medians, ratios, what reads more."""
    young = Stack.start(settings, stack.project, folder)
    for before in range(max(number - YOUNG, 0), number):
        young.deliver(folder, before)
    both = (stack, young)
    read = [s.rows_read() for s in both]
    ran = [s.statements.copy() for s in both]
    spent = [s.spent.copy() for s in both]
    pairs = []
    for turn in range(PAIRS):
        # Whoever comes second finds what both share warm, so they take turns at that too.
        order = both if turn % 2 else both[::-1]
        made = {id(s): s.deliver(folder, number + turn) for s in order}
        pairs.append((made[id(stack)], made[id(young)]))
    more_read = [(s.rows_read() - read[i]) for i, s in enumerate(both)]
    found = {
        "old": {name: median(o[name] for o, _ in pairs) for name in pairs[0][0]},
        "young": {name: median(y[name] for _, y in pairs) for name in pairs[0][1]},
        "ratio": {
            name: median(o[name] / y[name] for o, y in pairs)
            for name in ("cpu", "wall", "compute", "landing")
        },
        "pairs_cpu": [(round(o["cpu"], 2), round(y["cpu"], 2)) for o, y in pairs],
        "rows read more": _most(more_read[0], more_read[1]),
        "statements more": _most(*((s.statements - ran[i]) for i, s in enumerate(both))),
        "statement seconds more": _most(*((s.spent - spent[i]) for i, s in enumerate(both))),
        "statements": [sum((s.statements - ran[i]).values()) / PAIRS for i, s in enumerate(both)],
        "size": stack.size(),
    }
    young.homes.engine.dispose()
    return found


def _most(old: Counter[str], young: Counter[str]) -> dict[str, list[float]]:
    """What grew most: name to old and young, for each delivery."""
    grown = sorted(old, key=lambda name: young[name] - old[name])[:_SHOWN]
    return {n[:300]: [round(old[n] / PAIRS, 4), round(young[n] / PAIRS, 4)] for n in grown}


def _cpu_seconds() -> float:
    """User and system seconds of this process and of the servers beside it, of ended ones too."""
    total = 0.0
    for process in psutil.Process(os.getppid()).children(recursive=True):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:  # its parent has its seconds now
            continue
    return total


def _note(progress: Path | None, line: dict[str, Any]) -> None:
    if progress:
        with progress.open("a") as file:
            file.write(dumps(line) + "\n")
