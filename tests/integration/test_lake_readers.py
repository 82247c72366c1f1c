"""Invariant 10 in the lake: readers see no personal data, and each key of the store does its own work only."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError
from pyiceberg.exceptions import NoSuchTableError

from lakehouse.compile.policies import policies
from lakehouse.home import masked, warehouse
from lakehouse.home.homes import S3Access
from lakehouse.home.reader import open_lake
from lakehouse.home.settings import Settings
from lakehouse.layer import flow
from lakehouse.stack import s3
from lakehouse.stack.s3 import S3Server

from ..support.lakehouse import Lakehouse, copy_project
from ..support.olist import DAY, NEXT_DAY, small_shop

pytestmark = pytest.mark.servers

_SECRET = "secret-of-the-test"
_KEYS = ("landing", "pipeline", "reader")


@dataclass
class Keys:
    """A lakehouse and its three keys."""

    root: Lakehouse

    def of(self, key: str) -> Lakehouse:
        """The same lakehouse as the holder of a key reaches it."""
        access = S3Access(self.root.homes.s3.endpoint, f"test-{key}", _SECRET)
        return replace(self.root, homes=replace(self.root.homes, s3=access))

    @property
    def settings(self) -> Settings:
        return Settings.model_validate(
            {
                "analyst_dsn": self.root.analyst_dsn,
                "s3_endpoint": self.root.homes.s3.endpoint,
                "bucket": self.root.homes.bucket,
                "reader_access_key": "test-reader",
                "reader_secret_key": _SECRET,
            }
        )


@pytest.fixture
def keys(loaded: Lakehouse, s3_server: S3Server) -> Keys:
    allowed = policies(loaded.project, loaded.homes.bucket)
    s3.set_users(s3_server, {f"test-{key}": (_SECRET, allowed[key]) for key in _KEYS})
    return Keys(loaded)


def in_lake(lakehouse: Lakehouse, identifier: str) -> pa.Table:
    return lakehouse.homes.catalog().load_table(identifier).scan().to_arrow()


def rows_of(lakehouse: Lakehouse, table: str) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The masked table in the lake, and in the warehouse."""
    found = in_lake(lakehouse, f"masked.{table}")
    names = [n for n in found.schema.names if n not in ("_batch_id",)]
    lake_rows = [tuple(row[n] for n in names) for row in found.to_pylist()]
    warehouse_rows = lakehouse.query(f"select {', '.join(names)} from masked.{table}")
    return sorted(lake_rows, key=repr), sorted(warehouse_rows, key=repr)


def assert_masked_homes_agree(lakehouse: Lakehouse) -> None:
    tables = masked.personal_tables(lakehouse.project)
    assert set(tables) == {"olist_customers", "olist_order_reviews", "dim_customer"}
    for table, (layer, _, personal) in tables.items():
        lake_rows, warehouse_rows = rows_of(lakehouse, table)
        assert lake_rows == warehouse_rows, table
        assert len(lake_rows) == in_lake(lakehouse, f"{layer}.{table}").num_rows > 0
        shown = in_lake(lakehouse, f"masked.{table}").select(sorted(personal)).to_pylist()
        assert {value for row in shown for value in row.values()} <= {masked.MASK, None}


def test_the_masked_copy_follows_every_publish(loaded: Lakehouse) -> None:
    """Rows come, change and go; files are replaced, and rows are carried to new ones."""
    assert_masked_homes_agree(loaded)
    for day, orders in ((NEXT_DAY, 5), ("2018-10-19", 3)):
        delivery = small_shop(orders)
        for row in delivery.rows("customers")[:1]:
            row["customer_city"] = f"cidade de {day}"
        loaded.load(delivery, day)
        assert_masked_homes_agree(loaded)
    loaded.land(small_shop(2), DAY)  # supersedes what came first
    loaded.run(DAY)
    assert_masked_homes_agree(loaded)


def test_a_publish_that_was_killed_after_its_masked_files_completes(
    loaded: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded.load(small_shop(5), NEXT_DAY, "bronze")
    loaded.prepare("silver", NEXT_DAY)
    before = in_lake(loaded, "masked.olist_customers").num_rows
    with monkeypatch.context() as patched:

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(flow, "_publish", killed)
        with pytest.raises(KeyboardInterrupt):
            loaded.publish("silver", NEXT_DAY)
    assert in_lake(loaded, "masked.olist_customers").num_rows == before, "nobody sees what is not published"
    loaded.publish("silver", NEXT_DAY)
    loaded.run_layer("gold", NEXT_DAY)
    assert_masked_homes_agree(loaded)


def test_a_reader_sees_open_and_masked_tables_and_no_others(keys: Keys) -> None:
    lake = open_lake(keys.settings)
    shown = {f"{n}.{t}" for (n,) in lake.list_namespaces() for _, t in lake.list_tables(n)}
    assert {"gold.fact_order", "gold.kpi_daily", "silver.olist_orders", "masked.dim_customer"} <= shown
    closed = {"silver.olist_customers", "silver.olist_order_reviews", "gold.dim_customer"}
    assert not closed & shown
    assert not {name for name in shown if name.startswith("bronze.")}
    for name in sorted(shown):
        lake.load_table(name).scan().to_arrow()
    for name in (*closed, "bronze.olist_customers"):
        with pytest.raises(NoSuchTableError):
            lake.load_table(name)
    with pytest.raises(Exception, match=r"permission denied|cannot execute"):
        lake.drop_table("gold.fact_order")


def test_no_object_that_a_reader_may_fetch_holds_a_personal_value(keys: Keys) -> None:
    """Not the catalog but the store is asked, object by object, whatever names it has."""
    lakehouse, secrets = keys.root, {"99999", "cidade secreta", "titulo secreto", "mensagem secreta"}
    delivery = small_shop(5)
    for row in delivery.rows("customers"):
        row |= {"customer_zip_code_prefix": "99999", "customer_city": "cidade secreta"}
    for row in delivery.rows("order_reviews"):
        row |= {"review_comment_title": "titulo secreto", "review_comment_message": "mensagem secreta"}
    lakehouse.load(delivery, NEXT_DAY)
    reader = keys.of("reader")
    readable = closed = 0
    for uri, table in lakehouse.query("select uri, table_name from ops.lake_file where status <> 'staged'"):
        body = fetched(reader, uri)
        if body is None:
            closed += 1
            continue
        readable += 1
        rows = pq.read_table(pa.BufferReader(body)).to_pylist() if uri.endswith(".parquet") else []
        seen = str(rows) + body.decode("latin-1")
        # Which places there are is no secret; who lives there is.
        hidden = secrets - {"99999", "cidade secreta"} if table == "dim_geography" else secrets
        # Five digits may be part of some longer number.
        assert not [s for s in hidden if re.search(rf"(?<![\d.]){s}(?!\d)", seen)], uri
    assert readable > 50
    assert closed > 50


def fetched(lakehouse: Lakehouse, uri: str) -> bytes | None:
    """An object's bytes; None where the key may not have them."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        return lakehouse.homes.s3_client().get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied"
        return None


@pytest.mark.parametrize(
    ("key", "attempts"),
    [
        ("reader", ["list:", "list:lake/", "get:landing/olist/dt=2018-10-17/manifest.json", "get:lake/bronze/x",
                    "get:lake/silver/olist_customers/data/x", "get:lake/silver/olist_customers/metadata/x",
                    "get:lake/gold/dim_customer/data/x", "put:lake/gold/fact_order/data/x", "put:x",
                    "delete:lake/gold/fact_order/data/x", "put:landing/x", "get:lake/gold/table_of_tomorrow/data/x",
                    "get:lake/gold/fact_order/../dim_customer/data/x"]),
        ("landing", ["list:", "list:lake/", "get:lake/gold/fact_order/data/x", "put:lake/x", "delete:lake/x", "put:x"]),
        ("pipeline", ["put:landing/x", "delete:landing/x", "put:x", "delete:x", "bucket:new"]),
    ],
)  # fmt: skip
def test_what_a_key_is_not_for_is_refused(keys: Keys, key: str, attempts: list[str]) -> None:
    client, bucket = keys.of(key).homes.s3_client(), keys.root.homes.bucket
    do: dict[str, Callable[[str], object]] = {
        "list": lambda at: client.list_objects_v2(Bucket=bucket, Prefix=at),
        "get": lambda at: client.get_object(Bucket=bucket, Key=at),
        "put": lambda at: client.put_object(Bucket=bucket, Key=at, Body=b"x"),
        "delete": lambda at: client.delete_object(Bucket=bucket, Key=at),
        "bucket": lambda at: client.create_bucket(Bucket=f"test-{at}"),
    }
    for attempt in attempts:
        action, _, at = attempt.partition(":")
        with pytest.raises(ClientError) as refused:
            do[action](at)
        code = refused.value.response["Error"]["Code"]
        assert code == "AccessDenied" or code.startswith("XMinioInvalid"), attempt


def test_files_travel_from_landing_to_gold_with_a_key_for_each(keys: Keys) -> None:
    keys.of("landing").land(small_shop(5), NEXT_DAY)
    keys.of("pipeline").run(NEXT_DAY)
    assert_masked_homes_agree(keys.root)
    assert open_lake(keys.settings).load_table("gold.fact_order").scan().to_arrow().num_rows == 5


#: What is personal has to say what becomes of it when a person is erased.
_ERASED = "          - {property: erasedAs, value: SP}"


def test_a_column_that_becomes_personal_leaves_the_masked_copy_and_the_readers_tables(
    alone: Lakehouse, tmp_path: Path
) -> None:
    def classify(folder: Path) -> None:
        for table, column in (("customers", "state"), ("sellers", "city")):
            path = folder / f"contracts/olist/{table}.yaml"
            head, rest = path.read_text().split(f"      - name: {column}\n", 1)
            rest = rest.replace("value: customer_state}", "value: customer_state}\n" + _ERASED, 1)
            path.write_text(f"{head}      - name: {column}\n        classification: personal\n{rest}")

    warehouse.prepare(alone.homes, alone.project)
    alone.load(small_shop())
    before = {uri for uri in alone.objects() if "/lake/masked/olist_customers/" in uri}
    assert before
    changed = replace(alone, project=copy_project(tmp_path / "project", classify))
    assert warehouse.prepare(changed.homes, changed.project)
    assert set(in_lake(changed, "masked.olist_customers")["state"].to_pylist()) == {masked.MASK}
    assert "olist_sellers" not in str(policies(changed.project)["reader"])
    assert {name for name in before & alone.objects() if name.endswith(".avro")} == set()
    changed.load(small_shop(5), NEXT_DAY)
    for table in ("olist_customers", "olist_sellers", "olist_sellers_history"):
        lake_rows, warehouse_rows = rows_of(changed, table)
        assert lake_rows == warehouse_rows
    registered = {uri for (uri,) in changed.query("select uri from ops.lake_file")}
    assert changed.objects() <= registered, "every object is known"
