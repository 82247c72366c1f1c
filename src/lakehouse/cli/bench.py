"""`bench`: how fast, how much memory, against a baseline in the same run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from lakehouse.cli.progress import RichReporter

BASELINE = "baseline, pandas"
#: What the full Olist dump should stay below on two cores: seconds, or a multiple of the baseline (x).
TARGETS: dict[str, tuple[float, str]] = {
    "compute, landing to gold": (1.1, "x"),
    "through Airflow": (3.2, "x"),
    "150 changed orders, compute": (3.0, " s"),
    "replay through Airflow": (30.0, " s"),
    "peak memory of a task, MB": (500.0, ""),
    "last to 10th": (1.2, ""),
    "a day of events, landing to gold": (35.0, " s"),
    "a day of events, peak memory, MB": (2048.0, ""),
}
#: Enough for a difference to show, few enough to wait for. 4 million impressions are a day of Avazu.
_DELIVERIES, _IMPRESSIONS = 1_000, 4_000_000


#: How often `many` makes a young stack and compares.
_CHECKPOINTS = 11


class Part(StrEnum):
    """What can be measured."""

    OLIST = "olist"
    AIRFLOW = "airflow"
    MANY = "many"
    AVAZU = "avazu"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(bench)


def bench(
    parts: Annotated[
        list[Part] | None, typer.Argument(help="Default: `olist airflow`. `many` takes over an hour.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--from", help="Olist files. Default: `data/raw/olist`, else a sample.")
    ] = None,
    deliveries: Annotated[int, typer.Option(help="`many`: how many tiny deliveries.", min=20)] = _DELIVERIES,
    rows: Annotated[int, typer.Option(help="`avazu`: impressions of the day.")] = _IMPRESSIONS,
    narrow: Annotated[
        bool, typer.Option(help="`many`: of two landed tables and what is computed from them alone.")
    ] = False,
    progress: Annotated[
        Path | None,
        typer.Option(help="`many`: a file that gets a line of JSON for each delivery and comparison."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
) -> None:
    """Measure from landed files to gold, with gates, beside pandas `read_csv` + `to_sql`.

    `olist`: the whole dump, a replay, 150 changed orders, memory by task. `airflow`: the dump through a stack of
    its own. `many`: tiny deliveries, an old stack beside a young one. `avazu`: one day of made-up impressions.

    Uses servers of its own, on free ports and in a temporary folder; the running stack is not touched.
    Machines are noisy: compare the ratios, not the seconds.

    Example: `lakehouse bench olist --json`
    """
    from json import dumps

    from rich.console import Console

    from lakehouse.cli.progress import RichReporter

    wanted = parts or [Part.OLIST, Part.AIRFLOW]
    figures: dict[str, float] = {}
    with RichReporter() as reporter:
        olist = folder or (_files(reporter) if wanted != [Part.AVAZU] else Path())
        if Part.OLIST in wanted or Part.AIRFLOW in wanted:
            figures |= _baseline_figures(olist, reporter)
        if Part.OLIST in wanted:
            figures |= _compute_figures(olist, reporter)
        if Part.AIRFLOW in wanted:
            figures |= _airflow_figures(olist, reporter)
        if Part.MANY in wanted:
            figures |= _many_figures(olist, deliveries, narrow, progress, reporter)
        if Part.AVAZU in wanted:
            figures |= _event_figures(rows, reporter)
    if json:
        typer.echo(dumps(figures, indent=2))
    else:
        Console().print(_table(figures))


def _files(reporter: RichReporter) -> Path:
    from lakehouse.contract import Project
    from lakehouse.landing.sample_olist import write_sample

    root = Project.load().root
    folder = root / "data" / "raw" / "olist"
    if list(folder.glob("*.csv")):
        return folder
    sample = root / "data" / "raw" / "sample" / "olist"
    reporter.warn(f"There are no files in {folder}: measuring a small sample.")
    write_sample(sample)
    return sample


def _baseline_figures(folder: Path, reporter: RichReporter) -> dict[str, float]:
    from lakehouse.cli import bench_steps

    with _servers() as database, reporter.step("Baseline: pandas read_csv + to_sql"):
        baseline = bench_steps.in_own_process(bench_steps.baseline, database("plain"), "olist", folder)
    return {
        BASELINE: baseline.figures["pandas"],
        "baseline peak memory, MB": baseline.peak_rss_mb,
    }


def _compute_figures(folder: Path, reporter: RichReporter) -> dict[str, float]:
    from datetime import date

    from lakehouse.cli import bench_steps

    with _servers() as database:
        one, two = database("compute"), database("tasks")
        with reporter.step("Landing"):
            landed = bench_steps.in_own_process(bench_steps.land, one, "olist", folder)
        key = date.fromordinal(int(landed.figures["partition"])).isoformat()
        with reporter.step("Bronze, silver, gold in one process"):
            computed = bench_steps.in_own_process(bench_steps.compute, one, "olist", key)
        with reporter.step("The same delivery again"):
            replayed = bench_steps.in_own_process(bench_steps.compute, one, "olist", key)
        with reporter.step("150 changed orders on top"):
            changed = bench_steps.in_own_process(bench_steps.changed_orders, one, folder, key)
        with reporter.step("Every task in a process of its own"):
            bench_steps.in_own_process(bench_steps.land, two, "olist", folder)
            tasks = bench_steps.steps(two, "olist", key)
    heaviest = max(tasks, key=lambda name: tasks[name].peak_rss_mb)
    return {
        "rows read": landed.figures["rows"],
        "landing (checks, checksums, upload)": landed.figures["landing"],
        **computed.figures,
        "compute, landing to gold": bench_steps.seconds(computed.figures),
        "replay, compute": bench_steps.seconds(replayed.figures),
        "replay, rows written": replayed.figures["rows written"],
        "150 changed orders, compute": changed.figures["seconds"],
        "150 changed orders, rows written in silver": changed.figures["rows written in silver"],
        "peak memory of a task, MB": tasks[heaviest].peak_rss_mb,
        f"  heaviest: {heaviest}, seconds": tasks[heaviest].figures["seconds"],
    }


def _many_figures(
    folder: Path, deliveries: int, narrow: bool, progress: Path | None, reporter: RichReporter
) -> dict[str, float]:
    from lakehouse.cli import bench_many, bench_steps

    with _servers() as database, reporter.step(f"{deliveries} tiny deliveries, all layers"):
        young = [database(f"young{k}") for k in range(_CHECKPOINTS)]
        work = bench_many.many_deliveries
        return bench_steps.in_own_process(
            work, database("many"), young, folder, deliveries, narrow, progress
        ).figures


def _event_figures(rows: int, reporter: RichReporter) -> dict[str, float]:
    from datetime import date

    from lakehouse.cli import bench_steps

    with tempfile.TemporaryDirectory() as name, _servers() as database:
        folder, events = Path(name), database("events")
        with reporter.step(f"Making {rows:,} impressions"):
            bench_steps.in_own_process(bench_steps.write_impressions, folder, rows)
        with reporter.step("Landing"):
            landed = bench_steps.in_own_process(bench_steps.land, events, "avazu", folder)
        key = date.fromordinal(int(landed.figures["partition"])).isoformat()
        with reporter.step("Bronze, silver, gold in one process"):
            computed = bench_steps.in_own_process(bench_steps.compute, events, "avazu", key)
    spent = landed.figures["landing"] + bench_steps.seconds(computed.figures)
    return {
        "events, rows": landed.figures["rows"],
        "events, landing": landed.figures["landing"],
        **{f"events, {name}": value for name, value in computed.figures.items()},
        "a day of events, landing to gold": spent,
        "a day of events, peak memory, MB": max(landed.peak_rss_mb, computed.peak_rss_mb),
    }


@contextmanager
def _servers() -> Iterator[Callable[[str], dict[str, str]]]:
    """Postgres (durable), MinIO and a cache of lake files, as a stack has; yields a maker of empty databases."""
    from lakehouse.stack import postgres, s3

    folder = Path(tempfile.mkdtemp(prefix="lakehouse-bench-"))
    folder.chmod(0o711)  # Postgres may run under another account
    os.environ["LAKEHOUSE_CACHE_FOLDER"] = str(folder / "cache")  # for the processes that are measured
    server = postgres.start_postgres(folder, throwaway=False)
    try:
        store = s3.start_s3(folder)

        def database(name: str) -> dict[str, str]:
            postgres.create_database(server, name, postgres.LOADER)
            return {
                "pg_dsn": server.dsn(postgres.LOADER, name),
                "s3_endpoint": store.endpoint,
                "bucket": f"bench-{name}",
                "access_key": store.access_key,
                "secret_key": store.secret_key,
                "data_docs": str(folder / "data-docs" / name),
            }

        try:
            yield database
        finally:
            store.stop()
    finally:
        server.stop()
        del os.environ["LAKEHOUSE_CACHE_FOLDER"]
        shutil.rmtree(folder, ignore_errors=True)


def _airflow_figures(folder: Path, reporter: RichReporter) -> dict[str, float]:
    """Wall time of the same delivery through a real Airflow, first and again."""
    home = Path(tempfile.mkdtemp(prefix="lakehouse-bench-stack-"))
    home.chmod(0o711)
    figures = {}
    try:
        with reporter.step("Starting a stack of its own"):
            _lakehouse(home, "up")
        _lakehouse(home, "land", "olist", "--from", str(folder))
        with reporter.step("Through Airflow"):
            figures["through Airflow"] = _timed(home, "run", "olist")
        key = _lakehouse(
            home,
            "sql",
            "select max(partition_key) from ops.last_publish where layer = 'gold'",
            "--format",
            "csv",
        ).split()[-1]
        with reporter.step("Through Airflow, the same delivery again"):
            figures["replay through Airflow"] = _timed(home, "run", "olist", "--from", key)
    finally:
        _lakehouse(home, "down")
        shutil.rmtree(home, ignore_errors=True)
    return figures


def _timed(home: Path, *command: str) -> float:
    started = time.monotonic()
    _lakehouse(home, *command)
    return time.monotonic() - started


def _lakehouse(home: Path, *command: str) -> str:
    from lakehouse.errors import LakehouseError

    done = subprocess.run(
        [sys.executable, "-m", "lakehouse.cli.main", *command],
        env={**os.environ, "LAKEHOUSE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LakehouseError(
            f"`lakehouse {' '.join(command)}` failed: {done.stderr[-2000:]}", "Run it by itself."
        )
    return done.stdout


def _table(figures: dict[str, float]) -> Table:
    from rich.table import Table

    table = Table(title="Landed files to gold, with gates")
    for heading in ("what", "measured", "of the baseline", "target"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    baseline = figures.get(BASELINE)
    for name, value in figures.items():
        counts = "rows" in name or "MB" in name
        share = value / baseline if baseline else None
        ratio = "" if counts or share is None or name == "last to 10th" else f"{share:.2f}"
        shown = f"{value:,.0f}" if counts else f"{value:.2f}" if name == "last to 10th" else f"{value:.1f} s"
        table.add_row(name, shown, ratio, _verdict(name, value, share))
    return table


def _verdict(name: str, value: float, share: float | None) -> str:
    if name not in TARGETS:
        return ""
    limit, unit = TARGETS[name]
    reached = share if unit == "x" else value
    return "" if reached is None else f"≤ {limit:g}{unit} {'✓' if reached <= limit else '✗'}"
