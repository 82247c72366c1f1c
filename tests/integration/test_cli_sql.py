"""`lakehouse sql` against a real warehouse: what a person reads, whatever was asked."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lakehouse.cli.main import app
from lakehouse.cli.sql import query_as_analyst
from lakehouse.errors import LakehouseError

from ..support.lakehouse import Lakehouse

pytestmark = pytest.mark.servers


@pytest.fixture
def ask(loaded: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> Lakehouse:
    monkeypatch.setenv("LAKEHOUSE_ANALYST_DSN", loaded.analyst_dsn)
    return loaded


def run(*arguments: str, columns: int | None = None, stdin: str | None = None) -> tuple[int, str, str]:
    env = {"COLUMNS": str(columns)} if columns else {}
    done = CliRunner().invoke(app, ["sql", *arguments], env=env, input=stdin)
    return done.exit_code, done.stdout, done.stderr


def refused(query: str) -> LakehouseError:
    with pytest.raises(LakehouseError) as caught:
        query_as_analyst(query)
    return caught.value


def test_a_closed_column_names_the_masked_view(ask: Lakehouse) -> None:
    hint = refused("SELECT customer_id, zip_code_prefix FROM ods.olist_customers").hint
    assert "masked.olist_customers" in hint
    assert "zip_code_prefix" in hint
    assert "customer_id " not in hint
    assert "masked.olist_customers" in refused("SELECT * FROM ods.olist_customers").hint
    assert query_as_analyst("SELECT * FROM masked.olist_customers").rows


def test_a_closed_schema_says_what_is_open(ask: Lakehouse) -> None:
    error = refused("SELECT * FROM raw.olist_orders")
    assert "permission denied" in error.message
    assert "`gold`" in error.hint
    assert "`raw`" not in error.hint


@pytest.mark.parametrize(
    ("query", "nearest"),
    [
        ("SELECT * FROM gold.kpi_dayly", "gold.kpi_daily"),
        ("SELECT * FROM kpi_daily", "gold.kpi_daily"),
        ("SELECT * FROM golden.kpi_daily", "gold.kpi_daily"),
        ("SELECT * FROM ods.orders", "ods.olist_orders"),
        ("SELECT paymentbrl FROM gold.fact_order", "payment_brl"),
        ("SELECT * FROM gold.nothing_like_it", "psql"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(ask: Lakehouse, query: str, nearest: str) -> None:
    assert nearest in refused(query).hint


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM gold.fact_order",
        "-- tidy up\nupdate gold.fact_order set payment_brl = 0",
        "CREATE TABLE gold.mine (a int)",
        "WITH gone AS (DELETE FROM gold.fact_order RETURNING 1) SELECT count(*) FROM gone",
    ],
)
def test_a_write_is_told_that_this_login_only_reads(ask: Lakehouse, query: str) -> None:
    assert "only reads" in refused(query).hint
    assert ask.value("select count(*) from gold.fact_order") == 4


def test_a_syntax_error_shows_the_place(ask: Lakehouse) -> None:
    message = refused("SELECT order_status\nFORM gold.fact_order GRUOP BY 1").message
    shown = message.splitlines()
    line, caret = shown[-2:]
    assert line[caret.index("^") :].startswith("gold.fact_order") or line[caret.index("^") :].startswith(
        "GRUOP"
    )
    assert line.startswith("line 2: ")


def test_what_fits_is_a_table_and_what_does_not_is_one_block_a_row(ask: Lakehouse) -> None:
    query = "SELECT order_id, order_date, payment_brl, 123456789012.25 AS big FROM gold.fact_order ORDER BY 1"
    _, wide, _ = run(query, columns=120)
    _, narrow, _ = run(query, columns=40)
    rows = query_as_analyst(query).rows
    for row in rows:
        (line,) = [line for line in wide.splitlines() if str(row[0]) in line]
        assert all(str(value) in line for value in row if value is not None)
    assert "row 4" in narrow
    assert max(map(len, narrow.splitlines())) <= 40
    assert [line.split() for line in narrow.splitlines() if line.startswith("big")] == [
        ["big", "123456789012.25"]
    ] * 4
    assert all(f"order_date   {row[1]}" in narrow for row in rows)


def test_into_a_pipe_rows_are_one_line_each_however_wide(ask: Lakehouse) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    done = subprocess.run(
        [sys.executable, "-m", "lakehouse.cli.main", "sql", "SELECT repeat('x', 500) AS a, DATE '2018-10-17' AS b"],
        env=environment, capture_output=True, text=True, check=True, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "x" * 500 + "   2018-10-17" in done.stdout


def test_many_rows_are_fetched_in_portions_and_a_terminal_gets_the_first(ask: Lakehouse) -> None:
    query = "SELECT n, n % 2 = 0 AS even FROM generate_series(1, 25000) AS n"
    _, shown, _ = run(query)
    assert "the first 200 rows" in shown
    _, written, _ = run(query, "--format", "csv")
    rows = list(csv.reader(io.StringIO(written)))
    assert (rows[0], len(rows), rows[-1]) == (["n", "even"], 25001, ["25000", "True"])
    _, told, _ = run(query, "--format", "json")
    assert json.loads(told)[-1] == {"n": 25000, "even": True}
    assert json.loads(run("SELECT 1 AS a WHERE false", "--format", "json")[1]) == []


def test_a_file_may_hold_several_statements(ask: Lakehouse, tmp_path: Path) -> None:
    file = tmp_path / "questions.sql"
    file.write_text(
        "-- first; not a statement\nSET search_path = gold;\nSELECT 'a;b' AS text;\nSELECT count(*) FROM fact_order;\n"
    )
    code, shown, _ = run("--file", str(file))
    assert (code, "a;b" in shown, " 4" in shown) == (0, True, True)
    code, _, said = run("--file", str(tmp_path / "nosuch.sql"))
    assert (code, "nosuch.sql cannot be read" in said) == (1, True)
    code, _, said = run("--file", str(file), "--format", "json")
    assert "3 statements" in said + run("--file", str(file), "--format", "json")[1]


def test_standard_input_and_an_empty_query(ask: Lakehouse) -> None:
    assert "42" in run("-", stdin="SELECT 42 AS answer")[1]
    assert "42" in run(stdin="SELECT 42 AS answer")[1]
    code, _, said = run("  -- nothing\n")
    assert (code, "There is no query" in said) == (1, True)


def test_errors_are_json_where_json_was_asked_for(ask: Lakehouse) -> None:
    code, told, _ = run("SELECT * FROM gold.kpi_dayly", "--format", "json")
    assert code == 1
    error = json.loads(told)["error"]
    assert "kpi_dayly" in error["message"]
    assert "gold.kpi_daily" in error["hint"]


def test_without_a_query_psql_opens_and_only_reads(ask: Lakehouse) -> None:
    """On a terminal; what is typed and what it answers go through a pseudo-terminal."""
    script = "\\set\nSELECT current_user;\nCREATE TABLE gold.mine (a int);\n\\q\n"
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "lakehouse.cli.main", "sql"],
        env=os.environ | {"PAGER": "cat", "TERM": "dumb", "PSQL_HISTORY": "/dev/null"},
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    os.write(controller, script.encode())
    answer = b""
    try:
        while chunk := os.read(controller, 65536):
            answer += chunk
    except OSError:  # the other end is closed
        pass
    os.close(controller)
    assert process.wait(60) == 0
    assert b"lakehouse_analyst" in answer
    assert b"read-only transaction" in answer
