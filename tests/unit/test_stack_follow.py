"""What the command line reads out of Airflow's answers."""

from __future__ import annotations

from decimal import Decimal
from json import dumps

import pytest

from lakehouse.cli.follow import last_error
from lakehouse.cli.progress import seconds
from lakehouse.cli.sql import _json_value
from lakehouse.cli.status import age


def test_last_error_is_the_exception_of_the_task() -> None:
    entries = [
        {"event": "started", "level": "info"},
        {
            "event": "Task failed with exception",
            "level": "error",
            "error_detail": [{"exc_type": "GateFailed", "exc_value": "olist_orders: rule x: 3 of 10 rows"}],
        },
        {"event": "Process exited", "level": "warning"},
    ]
    assert last_error(entries) == "GateFailed: olist_orders: rule x: 3 of 10 rows"


def test_last_error_without_an_exception_is_the_last_error_line_or_the_last_lines() -> None:
    assert last_error([{"event": "a", "level": "error"}, {"event": "b", "level": "info"}]) == "a"
    assert last_error([{"event": "a"}, {"event": "b"}]) == "a\nb"


@pytest.mark.parametrize(
    ("value", "text"), [(Decimal("16008872.12"), "16008872.12"), (Decimal("18446744073709551615"), None)]
)
def test_numbers_stay_numbers_in_json_where_nothing_is_lost(value: Decimal, text: str | None) -> None:
    assert dumps(_json_value(value)) == (text or f'"{value}"')


def test_durations_for_people() -> None:
    assert (seconds(0.84), seconds(125)) == ("0.8 s", "2 min 05 s")
    assert (age(45), age(720), age(3 * 3600), age(5 * 86400)) == ("45 s", "12 min", "3 h", "5 d")
