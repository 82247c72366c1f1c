"""Tables of the command line on a narrow terminal: names may break, figures and dates do not."""

from __future__ import annotations

import io
from datetime import UTC, datetime

from rich.console import Console

from lakehouse.cli.follow import Outcome
from lakehouse.cli.run_summary import Finding, Summary, TableSummary, print_summary
from lakehouse.cli.status import _print_tables

LONG = "olist_product_category_translation"


def narrow() -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, width=80), stream


def test_status_shows_figures_whole_and_no_column_of_zeros() -> None:
    console, stream = narrow()
    entry = {
        "layer": "silver", "source": "olist", "table_name": LONG, "partition_key": "2018-10-17", "verdict": "warned",
        "read_rows": 123_456_789, "published_rows": 123_456_789, "quarantined_rows": 0, "duplicate_rows": 1_234,
        "published_at": datetime(2018, 10, 17, tzinfo=UTC), "age_seconds": 720,
    }  # fmt: skip
    _print_tables(console, [entry])
    shown = stream.getvalue()
    for whole in ("2018-10-17", "warned", "123,456,789", "1,234", "12 min", "duplicates"):
        assert whole in shown
    assert "refused" not in shown


def test_a_summary_shows_what_changed_and_counts_the_rest() -> None:
    console, stream = narrow()
    tables = [
        TableSummary("silver", LONG, 3, 123_456_789, 1_000, 461, "blocked", 12.34),
        TableSummary("silver", "olist_orders", 3, 10, 0, 0, "passed", 1.0),
        TableSummary("silver", "olist_sellers", 3, 10, 0, 0, "passed"),
    ]
    found = Finding(
        "silver", "2018-10-17", "blocked", "olist silver: blocked", ["461 of 461 rows"], ["lakehouse sql"]
    )
    outcome = Outcome(["2018-10-17"], [], {}, [], {"silver": 99.5}, {})
    print_summary(Summary(tables, [found], "http://127.0.0.1:8080/dags/olist_silver"), outcome, console)
    shown = stream.getvalue()
    for whole in (
        "123,456,809",
        "123,456,789",
        "1,000",
        "461",
        "blocked",
        "12.3",
        "99.5",
        "2 more, unchanged",
    ):
        assert whole in shown
    assert "olist_orders" not in shown
    assert (
        shown.index("olist silver: blocked") < shown.index("461 of 461 rows") < shown.index("→ lakehouse sql")
    )
    assert "http://127.0.0.1:8080/dags/olist_silver" in shown
