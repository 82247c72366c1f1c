"""All SQL can be carried over to Spark, and rules' queries are linted like other SQL."""

from __future__ import annotations

import pytest
import sqlglot
from sqlfluff.core import FluffConfig, Linter

from .golden import project
from .portable import differences, queries, to_spark

QUERIES = queries(project())


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_query_means_the_same_on_spark(name: str) -> None:
    assert differences(QUERIES[name]) == []
    written = to_spark(QUERIES[name])
    assert sqlglot.parse_one(written, dialect="spark")


@pytest.mark.parametrize(
    "sql",
    [
        "extract(isodow from order_date)",
        "extract(epoch from (delivered_at - ordered_at))",
        "cast(delivered_at as date) - order_date",
        "order_date + 1",
        "date_diff('hour', ordered_at, delivered_at)",
        "date_diff('day', ordered_at, delivered_at)",
        "payment_brl / 3",
        "percentile_disc(0.5) within group (order by hours)",
        "quantile_disc(hours, 0.5)",
        "list(hours)[1]",
        "regexp_replace(city, 'a', 'b')",
        "current_date",
        "strptime(day, '%d')",
        "a_function_nobody_knows(city)",
        "distinct on (city) hours",
    ],
)
def test_what_differs_is_refused(sql: str) -> None:
    assert differences(f"select {sql} from t") != []


def test_clauses_that_spark_lacks_are_refused() -> None:
    assert differences("select city from t qualify row_number() over (order by city) = 1") != []


def test_rules_are_linted_like_other_sql() -> None:
    linter = Linter(config=FluffConfig.from_path(str(project().root)))
    found = {
        name: [f"line {v.line_no}: {v.desc()}" for v in linter.lint_string(f"{sql}\n").get_violations()]
        for name, sql in QUERIES.items()
        if name.startswith("rule ")
    }
    assert {name: lines for name, lines in found.items() if lines} == {}
