"""`demo`: everything once, from files to answers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from lakehouse.cli.progress import RichReporter

#: What a person would ask first. Months with orders on fewer than 28 days are not complete.
QUERIES = {
    "Orders, payments and lateness, by month": """
SELECT to_char(order_date, 'YYYY-MM') AS month, sum(order_count) AS orders, sum(payment_brl) AS payments_brl,
       round(100.0 * sum(late_order_count) / sum(timed_delivery_order_count), 1) AS late_percent
FROM gold.kpi_daily GROUP BY 1 HAVING count(*) >= 28 ORDER BY 1 DESC LIMIT 6""",
    "What sells": """
SELECT product.category_name_english AS category, count(*) AS items, sum(item.price_brl) AS price_brl
FROM gold.fact_order_item AS item JOIN gold.dim_product AS product USING (product_key)
GROUP BY 1 ORDER BY 3 DESC LIMIT 6""",
    "Clicks per impression, by day": """
SELECT hour_date, impression_count, click_count, round(100 * ctr_rate::numeric, 2) AS ctr_percent
FROM gold.ctr_daily ORDER BY 1 LIMIT 6""",
}
#: Source → a file whose presence says that the user's own files are there.
_OWN_FILES = {"olist": "olist_orders_dataset.csv", "avazu": "train.gz"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Print the site's address, but do not open it.")
    ] = False,
) -> None:
    """Start the stack, land both sources, run them through Airflow and show what came out, as a site too.

    Uses the Kaggle files in `data/raw/` where they are, else writes a deterministic sample of the same shape.
    The stack stays up. Safe to repeat: what is already published is not done again. The site is opened where there
    is a browser, and never in continuous integration.

    Example: `lakehouse demo`
    """
    from lakehouse.cli.context import refuse_mixture
    from lakehouse.cli.land import land_source, summary
    from lakehouse.cli.open import Target, address_of, build_site, show
    from lakehouse.cli.progress import RichReporter, seconds
    from lakehouse.cli.run import report_failures, run_partitions, select
    from lakehouse.cli.stack import bring_up, login_lines

    started = time.monotonic()
    with RichReporter() as reporter:
        folders = {source: own_or_sample_files(source, reporter) for source in _OWN_FILES}
        state = bring_up(reporter)
        refuse_mixture(state)
        for source, folder in folders.items():
            for line in summary(land_source(source, folder, None, reporter)):
                reporter.note(line)
            selected = select(source, None, None)
            for note in selected.notes(source):
                reporter.note(note)
            if not selected.keys:
                continue
            outcome = run_partitions(source, selected.keys, reporter)
            for layer, took in outcome.seconds.items():
                reporter.seconds[f"  {source} {layer} (DAG runs, summed)"] = took
            if outcome.failures:
                report_failures(outcome)
                raise typer.Exit(1)
        with reporter.step("Site"):
            build_site(state)
    _end_screen(reporter, time.monotonic() - started)
    console = reporter.console
    console.rule("Open next", align="left")
    site = address_of(Target.site, state)
    console.print(f"Site        [link]{site}[/link]", highlight=False, soft_wrap=True)
    console.print(login_lines(state), highlight=False)
    console.print(f"Done in {seconds(time.monotonic() - started)}. The stack stays up: `make down` stops it.")
    if not no_open:
        show(site)


def own_or_sample_files(source: str, reporter: RichReporter) -> Path:
    """The user's own files, else a sample written for the purpose.

    Raises:
        LakehouseError: the stack already holds the sample, and now there are real files.
    """
    from lakehouse.contract.project import project_root
    from lakehouse.errors import LakehouseError
    from lakehouse.landing import sample_avazu, sample_olist
    from lakehouse.stack.state import StackHome

    raw = project_root() / "data" / "raw"
    mark = StackHome.locate().root / f"holds-sample-{source}"
    if (raw / source / _OWN_FILES[source]).exists():
        if mark.exists():
            raise LakehouseError(
                f"This stack holds the {source} sample, and data/raw/{source} now holds files of your own; "
                "together they would give wrong totals.",
                "Run `make clean` (it deletes the stack's data), then `make demo` again.",
            )
        return raw / source
    folder = raw / "sample" / source
    with reporter.step(f"Writing a sample of {source}"):
        {"olist": sample_olist, "avazu": sample_avazu}[source].write_sample(folder)
    reporter.note(
        f"There are no files in data/raw/{source}: using a made-up sample. "
        "data/raw/README.md says where to get the real ones."
    )
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return folder


def _end_screen(reporter: RichReporter, total: float) -> None:
    from lakehouse.cli.grid import print_table
    from lakehouse.cli.sql import query_as_analyst

    console = reporter.console
    console.rule("Rows per layer", align="left")
    _print_counts(console)
    console.rule("Seconds per step", align="left")
    _print_seconds(console, reporter.seconds, total)
    for title, query in QUERIES.items():
        console.rule(title, align="left")
        console.print(f"lakehouse sql {_quoted(query)}", style="dim", highlight=False, markup=False)
        print_table(query_as_analyst(query))


def _quoted(query: str) -> str:
    return '"' + " ".join(query.split()) + '"'


def _print_counts(console: Console) -> None:
    from rich import box
    from rich.table import Table

    from lakehouse.cli.context import open_homes
    from lakehouse.cli.counts import LAYER_OF_SCHEMA, table_rows

    homes = open_homes()
    counted = table_rows(homes.engine)
    homes.engine.dispose()
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("table")
    for schema, layer in LAYER_OF_SCHEMA.items():
        table.add_column(f"{layer} / {schema}", justify="right")
    for name in dict.fromkeys(entry.table for entry in counted):
        cells = {entry.layer: f"{entry.rows:,}" for entry in counted if entry.table == name}
        table.add_row(name, *(cells.get(layer, "") for layer in LAYER_OF_SCHEMA.values()))
    sums = dict.fromkeys(LAYER_OF_SCHEMA.values(), 0)
    for entry in counted:
        sums[entry.layer] += entry.rows
    table.add_section()
    table.add_row("[bold]all", *(f"[bold]{rows:,}" for rows in sums.values()))
    console.print(table)


def _print_seconds(console: Console, steps: dict[str, float], total: float) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("step")
    table.add_column("seconds", justify="right")
    for name, took in steps.items():
        table.add_row(name, f"{took:.1f}")
    table.add_section()
    table.add_row("[bold]all (steps may run beside each other)", f"[bold]{total:.1f}")
    console.print(table)
