"""Nothing that is compiled has been edited by hand or left behind, and compiling is a pure function."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from pyiceberg.io.pyarrow import _pyarrow_to_schema_without_ids

from lakehouse.compile.conform import conform_sql
from lakehouse.compile.ddl import TableDdl, gold_columns, gold_ddl, ods_columns, ods_ddl, raw_ddl
from lakehouse.compile.generate import generated_files, write_all
from lakehouse.compile.gold_tables import gold_query
from lakehouse.compile.refs import references
from lakehouse.compile.schemas import bronze_schema, gold_schema, silver_schema, table_schemas
from lakehouse.contract import Project
from lakehouse.errors import ContractError

PROJECT = Project.load()


def test_the_committed_files_are_what_the_contracts_say() -> None:
    assert write_all(PROJECT, check=True) == [], "run `make generate`"


def test_compiling_twice_gives_the_same_bytes() -> None:
    assert generated_files(Project.load()) == generated_files(PROJECT)


@pytest.fixture
def copied(tmp_path: Path) -> Project:
    for part in ("contracts", "policies", "sql", "great_expectations", "docs"):
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
    assert silver_schema(contract).names == list(ods_columns(contract))
    raw = bronze_schema(contract).names
    assert raw == [c.raw_name for c in contract.columns] + [
        "_batch_id", "_source_key", "_source_hash", "_source_line", "_ingested_at"
    ]  # fmt: skip
    landed = [f"{name} text" for name in raw if not name.startswith("_")]
    with duckdb.connect() as duck:
        technical = "_batch_id text, _source_line bigint, _delivery date"
        duck.execute(f"create table raw_input ({', '.join(landed)}, {technical})")
        columns = duck.sql(conform_sql(contract)).columns
    assert columns == [*ods, "_batch_id", "_source_line", "_delivery", "_reasons", "_rank", "_repeats"]


@pytest.mark.parametrize("table", sorted(PROJECT.gold))
def test_a_computed_table_has_the_columns_of_its_contract(table: str) -> None:
    model = PROJECT.gold[table]
    wanted = [*(c.name for c in model.columns), "_publish_id"]
    assert gold_schema(model).names == list(gold_columns(model)) == wanted


ALL_DDL = [
    *(raw_ddl(c) for c in PROJECT.contracts.values()),
    *(ods_ddl(t) for t in PROJECT.silver.values()),
    *(gold_ddl(m) for m in PROJECT.gold.values()),
]


@pytest.mark.parametrize("ddl", ALL_DDL, ids=lambda ddl: ddl.relation)
def test_ddl_is_safe_to_repeat_and_complete(ddl: TableDdl) -> None:
    statements = [line for line in ddl.text.splitlines() if line.startswith(("create", "alter"))]
    assert len(statements) == 1 + len(ddl.indexes)
    assert all("if not exists" in line for line in statements)
    assert ddl.required <= ddl.columns.keys()
    # Postgres wants the partition column in the primary key, and cuts names at 63 bytes.
    assert ddl.partition_column in (ddl.key or ddl.columns)
    assert all(len(name) < 64 for name in (*ddl.indexes, f"{ddl.table}__data"))
    assert len(ddl.comments) == 1 + len(ddl.columns)


@pytest.mark.parametrize("ddl", ALL_DDL, ids=lambda ddl: ddl.relation)
def test_a_stage_gets_every_constraint_and_index_of_its_parent(ddl: TableDdl) -> None:
    alter, *indexes = ddl.for_stage("stage.x", "'2018-01-01'")
    assert {n for n in ddl.columns if f"alter column {n} set not null" in alter} == ddl.required
    assert (f"add primary key ({', '.join(ddl.key)})" in alter) == bool(ddl.key)
    assert f"add check ({ddl.partition_column} = '2018-01-01')" in alter
    assert "add check" not in ddl.for_stage("stage.x")[0]
    made = [re.sub(r"index if not exists \w+ on \S+", "index on stage.x", i) for i in ddl.indexes.values()]
    assert indexes == made


def test_the_lake_knows_what_is_always_given_and_what_columns_mean() -> None:
    schemas = table_schemas(PROJECT)
    assert len(schemas) == len(PROJECT.contracts) + len(PROJECT.silver) + len(PROJECT.gold)
    orders = schemas["silver.olist_orders"]
    assert not orders.field("order_id").nullable and orders.field("order_approved_at").nullable
    assert not orders.field("_publish_id").nullable
    bronze = schemas["bronze.olist_orders"]
    assert bronze.field("order_id").nullable, "a contract may gain columns after a batch has landed"
    assert not bronze.field("_batch_id").nullable
    history = schemas["silver.olist_products_history"]
    assert [history.field(n).nullable for n in ("product_id", "valid_from", "is_deleted")] == [False] * 3
    assert history.field("_batch_id").nullable, "that a row is gone was said in no line"
    for schema in schemas.values():
        assert all(field.metadata and field.metadata[b"doc"] for field in schema)
    # Iceberg takes both over.
    iceberg = {f.name: f for f in _pyarrow_to_schema_without_ids(schemas["gold.fact_order"]).fields}
    days = iceberg["delay_days"]
    assert (days.required, days.doc) == (False, PROJECT.gold["fact_order"].column("delay_days").description)
    assert iceberg["order_id"].required


def test_references_are_found_wherever_a_query_reads() -> None:
    query = """
        with staged as (select * from ods.olist_orders as o where exists (select 1 from gold.dim_date d))
        select * from staged join affected.order_date using (order_date)
        join lateral (select * from changed.olist_orders c where c.order_id = staged.order_id) x on true
    """
    assert references(query) == {
        "ods.olist_orders", "gold.dim_date", "affected.order_date", "changed.olist_orders"
    }  # fmt: skip


def test_a_written_select_is_cast_to_its_contract() -> None:
    model = replace(PROJECT.gold["ctr_daily"], sql="select 1 as a -- no line break after this")
    query = gold_query(model)
    assert query.startswith("select\n    cast(q.hour_date as date) as hour_date,\n")
    assert "cast(q.ctr_rate as double precision) as ctr_rate\nfrom (" in query
    assert "\n) as q" in query, "a comment at the end of the SELECT does not swallow the bracket"


def test_a_query_that_is_not_sql_is_told() -> None:
    with pytest.raises(ContractError, match="Not one SQL statement"):
        references("select from where")
