"""`status`: services, layers, freshness."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from lakehouse.stack.state import StackHome, StackState

#: The newest publish of every table; rows of it and what it changed.
_TABLES = """
SELECT p.layer, p.source, p.table_name, p.partition_key::text AS partition_key,
       p.read_rows, p.published_rows, p.quarantined_rows, p.duplicate_rows, p.verdict,
       p.published_at, round(extract(epoch FROM clock_timestamp() - p.published_at))::bigint AS age_seconds
FROM ops.last_publish AS p
ORDER BY array_position(ARRAY['bronze', 'silver', 'gold'], p.layer), p.source, p.table_name
"""

#: What is not done; what needs a person comes first.
_OPEN = """
SELECT o.status, o.source, o.layer, o.partition_key::text AS partition_key,
       round(extract(epoch FROM clock_timestamp() - o.since))::bigint AS age_seconds,
       split_part(o.message, E'\\n', 1) AS message
FROM ops.open_partition AS o
ORDER BY array_position(ARRAY['blocked', 'failed', 'overtaken', 'working', 'pending'], o.status),
         o.source, o.partition_key, o.layer
"""
#: A person reads no more of them; `--json` has all.
_SHOWN = 30


@dataclass(frozen=True)
class Service:
    """One server of the stack, as a person sees it."""

    name: str
    state: str
    address: str
    detail: str


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(
    json: Annotated[bool, typer.Option("--json", help="For scripts; fails when a service is down.")] = False,
) -> None:
    """Show the services, what is not done, and per table the last publish, its rows and how old it is.

    Not done is what a gate has blocked, what has failed, is at work, or waits. The exit code is 1 when not
    every service is up.

    Example: `lakehouse status --json`
    """
    from json import dumps

    from lakehouse.cli.context import stack_state

    state = stack_state()
    found, tables, waiting = services(state), last_publishes(), open_partitions()
    if json:
        told = {"services": [asdict(s) for s in found], "open": waiting, "tables": tables}
        typer.echo(dumps(told, default=str, indent=2))
    else:
        from lakehouse.cli.grid import output_console

        console = output_console()
        _print_services(console, found)
        _print_tables(console, tables)
        _print_open(console, waiting)
    if any(service.state not in ("RUNNING", "given") for service in found):
        raise typer.Exit(1)


def services(state: StackState) -> list[Service]:
    """What the supervisor says, and the store given from outside."""
    from lakehouse.stack.laptop import airflow_url
    from lakehouse.stack.state import StackHome
    from lakehouse.stack.supervisor import Supervisor

    addresses = {
        "postgres": f"127.0.0.1:{state.ports['postgres']}",
        "s3": f"{state.store.url} ({state.store.kind})",
        "airflow-api-server": airflow_url(state),
    }
    home = StackHome.locate()
    statuses = Supervisor(home, state).statuses()
    if not statuses:
        return _without_supervisor(home, state, addresses)
    given = state.store.kind == "endpoint"
    return [
        Service(
            found.name,
            "given" if given and found.name == "s3" else found.state,
            addresses.get(found.name, ""),
            found.detail,
        )
        for found in statuses
    ]


def _without_supervisor(home: StackHome, state: StackState, addresses: dict[str, str]) -> list[Service]:
    """Servers outlive a supervisor that was killed. On the ports of a stack that is down somebody else may answer."""
    from lakehouse.stack import processes
    from lakehouse.stack.network import is_answering
    from lakehouse.stack.postgres import place_for

    left = bool(processes.of_stack(home.root)) or processes.postmaster(place_for(home.root).data) is not None
    ports = {"postgres": "postgres", "s3": "s3", "airflow-api-server": "airflow"}
    return [
        Service(name, "ORPHANED", address, "its supervisor is gone; `lakehouse up` takes over")
        if left and is_answering(state.ports[ports[name]])
        else Service(name, "STOPPED", address, "`lakehouse up` starts it")
        for name, address in addresses.items()
    ]


def last_publishes() -> list[dict[str, Any]]:
    """The newest publish of every table; empty when the warehouse does not answer or is empty."""
    return _asked(_TABLES)


def open_partitions() -> list[dict[str, Any]]:
    """Every partition and layer that is not done, with the first line of what is known about it."""
    return _asked(_OPEN)


def _asked(query: str) -> list[dict[str, Any]]:
    from lakehouse.cli.sql import query_as_analyst
    from lakehouse.errors import LakehouseError

    try:
        result = query_as_analyst(query)
    except LakehouseError:
        return []
    return [dict(zip(result.columns, row, strict=True)) for row in result.rows]


def _print_services(console: Console, found: list[Service]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("service", "state", "address", "up for"):
        table.add_column(heading, no_wrap=heading != "up for")
    for service in found:
        color = "green" if service.state in ("RUNNING", "given") else "red"
        # The supervisor says `pid 4711, uptime 0:32:03` of what runs, and why of what does not.
        detail = service.detail.rpartition("uptime ")[2]
        table.add_row(service.name, f"[{color}]{service.state}", service.address, detail)
    console.print(table)


def _print_tables(console: Console, tables: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.table import Table

    from lakehouse.contract.model import SCHEMAS

    if not tables:
        console.print("Nothing has been published yet: `lakehouse land olist`, then `lakehouse run olist`.")
        return
    # Most days nothing was refused or came twice: a column of zeros says nothing.
    rows = {"rows": "published_rows", "refused": "quarantined_rows", "duplicates": "duplicate_rows"}
    rows = {name: field for name, field in rows.items() if name == "rows" or any(t[field] for t in tables)}
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("layer and table", overflow="fold")
    for heading in ("partition", "verdict"):
        table.add_column(heading, no_wrap=True)
    for heading in (*rows, "age"):
        table.add_column(heading, justify="right", no_wrap=True)
    previous = ""
    for entry in tables:
        if entry["layer"] != previous:
            previous = entry["layer"]
            table.add_row(f"[bold]{previous}[/bold], schema {SCHEMAS[entry['layer']]}")
        table.add_row(
            f"  {entry['table_name']}",
            entry["partition_key"],
            _verdict(entry["verdict"]),
            *(_count(entry[field]) for field in rows.values()),
            age(entry["age_seconds"]),
        )
    console.print(table)


def _print_open(console: Console, waiting: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    if not waiting:
        return
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("not done", "layer", "partition", "for", "message"):
        table.add_column(heading, no_wrap=heading != "message")
    for entry in waiting[:_SHOWN]:
        color = {"blocked": "red", "failed": "red", "overtaken": "yellow"}.get(entry["status"], "dim")
        table.add_row(
            f"[{color}]{entry['status']}",
            f"{entry['source']} {entry['layer']}",
            entry["partition_key"],
            age(entry["age_seconds"]),
            Text(entry["message"] or ""),
        )
    console.print(table)
    if len(waiting) > _SHOWN:
        console.print(f"… and {len(waiting) - _SHOWN} more: `lakehouse status --json`.")


def _verdict(verdict: str | None) -> str:
    colors = {"passed": "green", "warned": "yellow"}
    return f"[{colors.get(verdict or '', 'red')}]{verdict or ''}"


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def age(seconds: int) -> str:
    """``45 s``, ``12 min``, ``3 h``, ``5 d``."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
