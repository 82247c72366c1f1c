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
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from lakehouse.cli.progress import RichReporter

#: What the full Olist dump should stay below on two cores.
TARGETS = {
    "compute, landing to gold": 15.0,
    "replay, compute": 30.0,
    "through Airflow": 90.0,
    "replay through Airflow": 30.0,
    "peak memory of a task, MB": 500.0,
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(bench)


def bench(
    folder: Annotated[
        Path | None, typer.Option("--from", help="Olist files. Default: `data/raw/olist`, else a sample.")
    ] = None,
    airflow: Annotated[
        bool, typer.Option(help="Also measure through Airflow, on a stack of its own.")
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
) -> None:
    """Measure Olist from landed files to gold, with gates, beside pandas `read_csv` + `to_sql`.

    Uses servers of its own, on free ports and in a temporary folder; the running stack is not touched.
    Machines are noisy: compare the ratios, not the seconds.

    Example: `lakehouse bench --json`
    """
    from json import dumps

    from rich.console import Console

    from lakehouse.cli.progress import RichReporter

    with RichReporter() as reporter:
        folder = folder or _files(reporter)
        figures = _compute_figures(folder, reporter)
        if airflow:
            figures |= _airflow_figures(folder, reporter)
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


def _compute_figures(folder: Path, reporter: RichReporter) -> dict[str, float]:
    from datetime import date

    from lakehouse.cli import bench_steps

    with _servers() as database:
        one, two, plain = database("compute"), database("tasks"), database("plain")
        with reporter.step("Baseline: pandas read_csv + to_sql"):
            baseline = bench_steps.in_own_process(bench_steps.baseline, plain, "olist", folder)
        with reporter.step("Landing"):
            landed = bench_steps.in_own_process(bench_steps.land, one, "olist", folder)
        key = date.fromordinal(int(landed.figures["partition"])).isoformat()
        with reporter.step("Bronze, silver, gold in one process"):
            computed = bench_steps.in_own_process(bench_steps.compute, one, "olist", key)
        with reporter.step("The same delivery again"):
            replayed = bench_steps.in_own_process(bench_steps.compute, one, "olist", key)
        with reporter.step("Every task in a process of its own"):
            bench_steps.in_own_process(bench_steps.land, two, "olist", folder)
            tasks = bench_steps.steps(two, "olist", key)
    other = ("rows written", bench_steps.SETUP)
    layers = {n: s for n, s in computed.figures.items() if n not in other}
    heaviest = max(tasks, key=lambda name: tasks[name].peak_rss_mb)
    return {
        "rows read": landed.figures["rows"],
        "baseline, pandas": baseline.figures["pandas"],
        "baseline peak memory, MB": baseline.peak_rss_mb,
        "landing (checks, checksums, upload)": landed.figures["landing"],
        **layers,
        "compute, landing to gold": sum(layers.values()),
        "rows written": computed.figures["rows written"],
        bench_steps.SETUP: computed.figures[bench_steps.SETUP],
        "replay, compute": sum(s for n, s in replayed.figures.items() if n not in other),
        "replay, rows written": replayed.figures["rows written"],
        "peak memory of a task, MB": tasks[heaviest].peak_rss_mb,
        f"  heaviest: {heaviest}, seconds": tasks[heaviest].figures["seconds"],
    }


@contextmanager
def _servers() -> Iterator[Callable[[str], dict[str, str]]]:
    """Postgres (durable, as in the stack) and MinIO of our own; yields a maker of empty databases."""
    from lakehouse.stack import postgres, s3

    folder = Path(tempfile.mkdtemp(prefix="lakehouse-bench-"))
    folder.chmod(0o711)  # Postgres may run under another account
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
            }

        try:
            yield database
        finally:
            store.stop()
    finally:
        server.stop()
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

    table = Table(title="Olist, landed files to gold, with gates")
    for heading in ("what", "measured", "of the baseline", "target"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    baseline = figures["baseline, pandas"]
    for name, value in figures.items():
        counts = "rows" in name or "MB" in name
        target = TARGETS.get(name)
        verdict = "" if target is None else f"≤ {target:g} {'✓' if value <= target else '✗'}"
        ratio = "" if counts else f"{value / baseline:.2f}"
        table.add_row(name, f"{value:,.0f}" if counts else f"{value:.1f} s", ratio, verdict)
    return table
