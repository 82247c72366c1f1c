"""Nothing that is compiled has been edited by hand or left behind, and compiling is a pure function."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import sqlglot

from lakehouse.compile.conform import DIALECTS, conform_sql
from lakehouse.compile.ddl import ods_columns, ods_ddl, raw_ddl
from lakehouse.compile.generate import generated_files, write_all
from lakehouse.compile.gold_tables import gold_columns
from lakehouse.compile.refs import references, rewrite
from lakehouse.compile.schemas import arrow_schema, bronze_schema
from lakehouse.contract import Project
from lakehouse.errors import ContractError

PROJECT = Project.load()


def test_the_committed_files_are_what_the_contracts_say() -> None:
    assert write_all(PROJECT, check=True) == [], "run `make generate`"


def test_compiling_twice_gives_the_same_bytes() -> None:
    assert generated_files(Project.load()) == generated_files(PROJECT)


@pytest.fixture
def copied(tmp_path: Path) -> Project:
    for part in ("contracts", "sql", "great_expectations", "docs"):
        shutil.copytree(PROJECT.root / part, tmp_path / part, ignore=shutil.ignore_patterns("uncommitted"))
    return Project.load(tmp_path)


def test_drift_is_named_and_generating_mends_it(copied: Project) -> None:
    edited, lost = copied.root / "sql/ods/olist_orders.sql", copied.root / "sql/raw/olist_orders.sql"
    surplus = copied.root / "sql/ods/olist_gone.sql"
    edited.write_text(edited.read_text(encoding="utf-8") + "-- by hand\n", encoding="utf-8")
    lost.unlink()
    surplus.write_text("select 1", encoding="utf-8")
    expected = sorted(str(p.relative_to(copied.root)) for p in (edited, lost, surplus))
    assert write_all(copied, check=True) == expected
    assert surplus.exists(), "a check changes nothing"
    assert write_all(copied) == expected
    assert write_all(copied, check=True) == []
    assert lost.exists() and not surplus.exists()


@pytest.mark.parametrize("table", sorted(PROJECT.contracts))
def test_every_home_has_the_same_columns_in_the_same_order(table: str) -> None:
    contract = PROJECT.contracts[table]
    ods = [c.name for c in contract.columns]
    assert list(ods_columns(contract))[: len(ods)] == ods
    assert arrow_schema(ods_columns(contract)).names == list(ods_columns(contract))
    raw = bronze_schema(contract).names
    assert raw == [c.raw_name for c in contract.columns] + [
        "_batch_id", "_source_key", "_source_hash", "_source_line", "_ingested_at"
    ]  # fmt: skip
    for dialect in DIALECTS:
        query = sqlglot.parse_one(conform_sql(contract, dialect), dialect=dialect)
        assert query.named_selects == [*ods, "_batch_id", "_source_line", "_delivery", "_reasons", "_rank"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("table", sorted(PROJECT.contracts))
def test_ddl_is_safe_to_repeat(table: str) -> None:
    contract = PROJECT.contracts[table]
    for ddl in (raw_ddl(contract), ods_ddl(contract)):
        statements = [line for line in ddl.splitlines() if line.startswith(("create", "alter"))]
        assert statements
        assert all("if not exists" in line for line in statements)


@pytest.mark.parametrize("table", sorted(PROJECT.gold))
def test_every_gold_column_has_a_type_that_the_lake_knows(table: str) -> None:
    model = PROJECT.gold[table]
    columns = gold_columns(model)
    assert list(columns) == list(model.columns)
    assert arrow_schema(columns).names == list(columns)


def test_names_are_resolved_wherever_a_query_reads() -> None:
    query = """
        with staged as (select * from ods.olist_orders as o where exists (select 1 from gold.dim_date d))
        select * from staged join affected.order_date using (order_date)
        join lateral (select * from changed.olist_orders c where c.order_id = staged.order_id) x on true
        union all select * from delivery
    """
    assert references(query) == {
        "ods.olist_orders", "gold.dim_date", "affected.order_date", "changed.olist_orders", "delivery"
    }  # fmt: skip
    written = rewrite(query, lambda name: f"stage.{name.replace('.', '__')}")
    assert references(written) == frozenset()
    assert "stage.ods__olist_orders AS o" in written
    # A relation that had no alias is still known by its name.
    assert "stage.affected__order_date AS order_date" in written
    assert "FROM staged" in written, "the query's own relation is left alone"
    inlined = rewrite(
        "select delivery.partition_key from delivery", lambda _: "(select date '2018-03-01' as partition_key)"
    )
    assert "AS delivery" in inlined


def test_a_query_that_is_not_sql_is_told() -> None:
    with pytest.raises(ContractError, match="Not one SQL statement"):
        references("select from where")
