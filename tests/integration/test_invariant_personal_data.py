"""Invariant 10: personal data is declared, unreadable to the analyst but masked, and in no quality report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.errors import InsufficientPrivilege
from psycopg2.extensions import connection as Connection

from lakehouse.errors import GateFailed

from ..support.lakehouse import Lakehouse, copy_project
from ..support.olist import NEXT_DAY, small_shop

pytestmark = pytest.mark.servers


@pytest.fixture
def analyst(loaded: Lakehouse) -> Iterator[Connection]:
    connection = psycopg2.connect(loaded.analyst_dsn)
    connection.autocommit = True
    yield connection
    connection.close()


def read(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def published(lakehouse: Lakehouse) -> dict[str, set[str]]:
    """Published relation → its personal columns."""
    tables = {
        f"ods.{c.table}": {column.name for column in c.columns if column.pii == "personal"}
        for c in lakehouse.project.contracts.values()
    }
    return tables | {
        f"gold.{m.table}": {column.name for column in m.columns if column.pii == "personal"}
        for m in lakehouse.project.gold.values()
    }


def test_the_analyst_reads_everything_but_personal_columns(loaded: Lakehouse, analyst: Connection) -> None:
    tables = published(loaded)
    assert tables["ods.olist_customers"] == {"zip_code_prefix", "city"}
    assert tables["ods.olist_order_reviews"] == {"review_comment_title", "review_comment_message"}
    assert tables["gold.dim_customer"] >= {"zip_code_prefix", "city"}
    for relation, personal in tables.items():
        for column in loaded.columns(relation):
            query = f"select {column} from {relation} limit 1"
            if column in personal:
                with pytest.raises(InsufficientPrivilege):
                    read(analyst, query)
            else:
                read(analyst, query)
        if personal:
            with pytest.raises(InsufficientPrivilege):
                read(analyst, f"select * from {relation}")
            # Nor by a condition on the column.
            with pytest.raises(InsufficientPrivilege):
                read(analyst, f"select count(*) from {relation} where {min(personal)} like '0%'")
        else:
            read(analyst, f"select * from {relation} limit 1")


def test_masked_views_show_that_there_is_something_but_not_what(
    loaded: Lakehouse, analyst: Connection
) -> None:
    for relation, personal in published(loaded).items():
        if not personal:
            continue
        table = relation.partition(".")[2]
        rows = read(analyst, f"select {', '.join(sorted(personal))} from masked.{table}")
        assert len(rows) == loaded.value(f"select count(*) from {relation}")
        assert {value for row in rows for value in row} <= {"***", None}
    assert read(analyst, "select count(*) from masked.olist_customers where city is not null") == [(4,)]
    reviews = read(
        analyst,
        "select distinct review_comment_title, review_comment_message, review_score from masked.olist_order_reviews",
    )
    assert reviews == [(None, "***", 5)]


@pytest.mark.parametrize(
    "query",
    [
        "select * from raw.olist_customers",
        "select record from ops.quarantine",
        "select * from ops.agreement",
        "select * from stage.olist_customers__1",
        "update ods.olist_sellers set city = ''",
        "delete from gold.kpi_daily",
        "insert into ops.setting values ('x', 'y')",
        "create table ods.mine (x int)",
        "create table public.mine (x int)",
        "select * from public.iceberg_tables",
        "set role lakehouse_loader",
    ],
)
def test_what_is_not_for_the_analyst_is_refused(loaded: Lakehouse, analyst: Connection, query: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        read(analyst, query)


def test_the_analyst_follows_the_ledger(loaded: Lakehouse, analyst: Connection) -> None:
    assert read(analyst, "select count(*) from ops.batch") == [(9,)]
    assert read(analyst, "select count(*) from ops.last_publish where layer = 'silver'") == [(11,)]
    assert read(analyst, "select count(*) > 100 from ops.quality_result") == [(True,)]


def test_no_report_holds_a_personal_value(loaded: Lakehouse, tmp_path: Path) -> None:
    """Rows with personal values break rules of all kinds; neither message, history nor pages quote them."""
    docs = tmp_path / "data-docs"
    homes = replace(loaded.homes, data_docs=str(docs))
    loaded = replace(loaded, project=copy_project(tmp_path / "project", pages=True), homes=homes)
    delivery = small_shop(5).only_orders(4, 5)
    secrets = ["99999", "cidade secreta", "titulo secreto", "mensagem secreta"]
    for row in delivery.rows("customers"):
        row |= {"customer_zip_code_prefix": secrets[0], "customer_city": secrets[1]}
        row["customer_state"] = "XX"
    for row in delivery.rows("order_reviews"):
        row |= {"review_comment_title": secrets[2], "review_comment_message": secrets[3]}
        row["order_id"] = "0" * 32
    loaded.load(delivery, NEXT_DAY, "bronze")
    loaded.plan("silver", NEXT_DAY)
    loaded.stage("silver", NEXT_DAY)
    with pytest.raises(GateFailed) as caught:
        loaded.gate("silver", NEXT_DAY)
    reports = [
        str(caught.value),
        str(loaded.query("select * from ops.quality_result")),
        str(loaded.query("select * from ops.publish")),
        str(loaded.query("select * from ops.run")),
        *(p.read_text(encoding="utf-8") for p in pages(docs)),
    ]
    assert len(reports) > 10
    assert [s for s in secrets for text in reports if s in text] == []


def pages(folder: Path) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if p.suffix in (".html", ".json"))
