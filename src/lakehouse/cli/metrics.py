"""`metrics`: the system's figures for Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lakehouse.monitor.exporter import Exporter

#: The port that Prometheus' registry of ports keeps for exporters of this kind.
PORT = 9464


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(metrics)


def metrics(
    once: Annotated[
        bool, typer.Option("--once", help="Print them and end, in Prometheus' text format.")
    ] = False,
    listen: Annotated[
        str,
        typer.Option("--listen", help="Address to listen on; another one than loopback opens it to others."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on.")] = PORT,
    disk: Annotated[
        list[Path] | None,
        typer.Option(
            "--disk", help="A folder whose disk is looked at; again for more. [default: the stack's]"
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print them and end, as JSON.")] = False,
) -> None:
    """Serve the system's figures to Prometheus, on this machine only, until Ctrl-C.

    Freshness, what is not done, rows by what became of them, seconds of steps, sizes, sessions, disks: read at each
    scrape as `lakehouse_monitor`, which sees nothing else. Rules for alerts and a dashboard are in `deploy/monitoring`.

    Example: `lakehouse metrics --once | grep lakehouse_open_partitions`
    """
    from json import dumps

    exporter = _exporter(disk)
    if json:
        found = [
            {"name": sample.name, "labels": sample.labels, "value": sample.value}
            for metric in exporter.collect()
            for sample in metric.samples
        ]
        typer.echo(dumps(found, indent=2))
    elif once:
        typer.echo(exporter.text(), nl=False)
    else:
        _serve(exporter, port, listen)


def _exporter(disks: list[Path] | None) -> Exporter:
    import os

    from sqlalchemy.engine import make_url

    from lakehouse.cli.context import settings
    from lakehouse.errors import LakehouseError
    from lakehouse.home.homes import open_engine
    from lakehouse.home.settings import Settings
    from lakehouse.monitor.exporter import Exporter
    from lakehouse.stack import health
    from lakehouse.stack.state import StackHome

    # Who only looks at figures is told no other login.
    known = Settings() if os.environ.get("LAKEHOUSE_MONITOR_DSN") else settings()
    dsn = known.monitor_dsn.get_secret_value()
    if not dsn:
        raise LakehouseError(
            "No login for monitoring is configured (LAKEHOUSE_MONITOR_DSN is empty).",
            '`lakehouse up` makes one, and `eval "$(lakehouse env)"` names it.',
        )
    url = _airflow_url()
    return Exporter(
        open_engine(make_url(dsn), "lakehouse-metrics"),
        known.s3_endpoint,
        tuple(disks or [StackHome.locate().root]),
        (lambda: health.airflow(url)) if url else None,
    )


def _airflow_url() -> str:
    """Where Airflow's API is: the environment's, else the stack's; empty when there is none."""
    import os

    from lakehouse.stack import state
    from lakehouse.stack.laptop import airflow_url

    given = os.environ.get("LAKEHOUSE_AIRFLOW_URL") or os.environ.get("AIRFLOW_URL")
    if given:
        return given
    found = state.load(state.StackHome.locate())
    return airflow_url(found) if found else ""


def _serve(exporter: Exporter, port: int, listen: str) -> None:
    import signal
    import threading

    from lakehouse.errors import LakehouseError

    try:
        stop = exporter.serve(port, listen)
    except OSError as error:
        raise LakehouseError(
            f"Nothing can listen on {listen}:{port}: {error.strerror}.", "Choose another one with --port."
        ) from error
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    typer.echo(f"http://{listen}:{port}/metrics", err=True)
    try:
        ended.wait()
    finally:
        stop()
