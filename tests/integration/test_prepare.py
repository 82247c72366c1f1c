"""Preparing the homes waits for nobody where nothing is to be created, and says so where it has to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest

from lakehouse.contract import Project
from lakehouse.errors import LakehouseError
from lakehouse.home import warehouse
from lakehouse.home.homes import Homes

from ..support.lakehouse import Lakehouse, copy_project
from ..support.olist import NEXT_DAY, small_shop

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warehouse, "_PATIENCE_S", 1)


@contextmanager
def reader_of_everything(lakehouse: Lakehouse) -> Iterator[None]:
    """An open transaction that has read every table, partition and view of the warehouse."""
    with lakehouse.homes.engine.connect() as conn:
        relations = conn.exec_driver_sql(
            "select c.oid::regclass::text from pg_class as c where c.relkind in ('r', 'p', 'v') "
            "and c.relnamespace::regnamespace::text in ('raw', 'ods', 'gold', 'masked', 'ops', 'public')"
        ).scalars()
        names = list(relations)
        assert len(names) > 80
        conn.exec_driver_sql(f"lock table {', '.join(names)} in access share mode")
        yield
        conn.rollback()


def edited(folder: Path, *changes: tuple[str, str, str]) -> Project:
    """A copy of the project with text replaced in some files."""

    def edit(root: Path) -> None:
        for name, old, new in changes:
            path = root / name
            text = path.read_text(encoding="utf-8")
            assert old in text, (name, old)
            path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return copy_project(folder, edit)


NEW_COLUMN = """\
      - name: rating_share
        logicalType: number
        physicalType: numeric(5,4)
        description: Share of good ratings.
slaProperties:
"""


def test_what_creates_nothing_waits_for_nobody(loaded: Lakehouse, tmp_path: Path) -> None:
    """Descriptions, rules and queries change; a reader has every table open."""
    project = edited(
        tmp_path,
        ("contracts/olist/sellers.yaml", "description: ", "description: Changed. "),
        ("contracts/gold/dim_seller.yaml", "description: City as", "description: Changed. City as"),
        (
            "contracts/olist/order_payments.yaml",
            "quarantineTolerance, value: 0.001",
            "quarantineTolerance, value: 0.5",
        ),
        ("sql/gold/dim_seller.sql", "--", "-- Changed."),
    )
    with reader_of_everything(loaded):
        assert warehouse.prepare(loaded.homes, project)
        assert not warehouse.prepare(loaded.homes, project)
        # And again with what was there before.
        assert warehouse.prepare(loaded.homes, loaded.project)
        assert warehouse.prepare(loaded.homes, project)
    comment = "select col_description('gold.dim_seller'::regclass, attnum) from pg_attribute " \
        "where attrelid = 'gold.dim_seller'::regclass and attname = 'city'"  # fmt: skip
    assert loaded.value(comment).startswith("Changed. City")


def test_a_lock_that_is_not_free_is_told_and_nothing_has_changed(loaded: Lakehouse, tmp_path: Path) -> None:
    project = edited(tmp_path, ("contracts/olist/sellers.yaml", "slaProperties:\n", NEW_COLUMN))
    columns = loaded.columns("ods.olist_sellers")
    with (
        reader_of_everything(loaded),
        pytest.raises(LakehouseError, match="Another session has a table of the warehouse locked") as caught,
    ):
        warehouse.prepare(loaded.homes, project)
    assert "pg_stat_activity" in caught.value.hint
    assert loaded.columns("ods.olist_sellers") == columns
    assert warehouse.prepare(loaded.homes, project)
    assert loaded.columns("ods.olist_sellers") == [*columns, "rating_share"]
    assert "rating_share" in loaded.lake("silver", "olist_sellers").schema.names


def test_somebody_who_is_preparing_is_told_too(loaded: Lakehouse, tmp_path: Path) -> None:
    project = edited(tmp_path, ("contracts/olist/sellers.yaml", "description: ", "description: Changed. "))
    with loaded.homes.engine.begin() as conn:
        warehouse.lock(conn, "tables")
        with pytest.raises(
            LakehouseError, match="tables has been locked by another session for more than 1 s"
        ):
            warehouse.prepare(loaded.homes, project)
    assert warehouse.prepare(loaded.homes, project)


def test_a_publish_that_has_to_swap_a_table_somebody_reads_is_told_and_can_be_repeated(
    loaded: Lakehouse,
) -> None:
    delivery = small_shop()
    for row in delivery.rows("sellers"):
        row["seller_city"] = "campinas"
    loaded.load(delivery, NEXT_DAY, "bronze")
    loaded.prepare("silver", NEXT_DAY)
    assert loaded.staged("silver", "olist_sellers", NEXT_DAY).placement == "attach"
    before = loaded.served()
    with psycopg2.connect(loaded.analyst_dsn) as analyst, analyst.cursor() as cursor:
        cursor.execute("select count(*) from ods.olist_sellers")
        with pytest.raises(LakehouseError, match="Another session has a table of the warehouse locked"):
            loaded.publish("silver", NEXT_DAY)
        assert loaded.served() == before
        analyst.rollback()
        assert (
            loaded.publish("silver", NEXT_DAY)["rows_written"] == 6
        )  # two sellers; of each, a state that ends and one that begins


def test_a_layer_that_another_run_publishes_is_told(loaded: Lakehouse) -> None:
    loaded.load(small_shop(5).only_orders(5), NEXT_DAY, "bronze")
    loaded.prepare("silver", NEXT_DAY)
    with loaded.homes.engine.begin() as conn:
        warehouse.lock(conn, "olist", "silver")
        with pytest.raises(LakehouseError, match="olist silver has been locked by another session"):
            loaded.publish("silver", NEXT_DAY)
        # Other layers have locks of their own.
        assert loaded.plan("gold", NEXT_DAY) == ()
    assert loaded.publish("silver", NEXT_DAY)["rows_written"] > 0


@pytest.mark.parametrize(
    "ledger",
    [
        "create table ops.publish (publish_id bigint, batch_id uuid)",
        "create table ops.publish (publish_id bigint, run_id bigint); "
        "create table ops.pinned_batch (run_id bigint, batch_id uuid, is_new boolean)",
    ],
)
def test_a_warehouse_of_an_older_version_is_refused_with_what_to_do(homes: Homes, ledger: str) -> None:
    with homes.engine.begin() as conn:
        conn.exec_driver_sql(f"create schema ops; {ledger}")
    with pytest.raises(LakehouseError, match="older version") as caught:
        warehouse.prepare(homes, Project.load())
    assert "make clean" in caught.value.hint
