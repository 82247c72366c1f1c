"""Sessions read lake files from this machine's cache: the same rows, and the store is not asked again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from lakehouse.engine.session import open_session
from lakehouse.home import lake

from ..support.lakehouse import Lakehouse
from ..support.olist import NEXT_DAY, small_shop

pytestmark = pytest.mark.servers


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that sessions use."""
    monkeypatch.setenv("LAKEHOUSE_CACHE_FOLDER", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def orders(loaded: Lakehouse) -> Iterator[str]:
    """A lake file that may be deleted: other lakehouses have it too, so it comes back."""
    uri = loaded.value(
        "select uri from ops.lake_file where layer = 'silver' and table_name = 'olist_orders' "
        "and kind = 'changed' and status = 'live'"
    )
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    client = loaded.homes.s3_client()
    content = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    yield uri
    client.put_object(Bucket=bucket, Key=key, Body=content)


def order_ids(lakehouse: Lakehouse, uri: str) -> list[tuple[str]]:
    """What a session finds in a file of orders."""
    with open_session(lakehouse.homes) as session:
        session.files("ods.olist_orders", [uri], {"order_id": "text"})
        return session.rows("select order_id from ods.olist_orders order by 1")


def test_a_file_is_fetched_once(loaded: Lakehouse, orders: str, folder: Path) -> None:
    first = order_ids(loaded, orders)
    bucket, _, key = orders.removeprefix("s3://").partition("/")
    loaded.homes.s3_client().delete_object(Bucket=bucket, Key=key)
    assert first and order_ids(loaded, orders) == first
    [copy] = folder.glob("??/*")
    copy.write_bytes(copy.read_bytes()[:-100])
    with pytest.raises(ClientError):  # what is not whole is worth nothing, and the store has it no more
        order_ids(loaded, orders)


def test_what_leaves_the_lake_leaves_the_cache(loaded: Lakehouse, orders: str, folder: Path) -> None:
    order_ids(loaded, orders)
    assert list(folder.glob("??/*"))
    lake.delete_objects(loaded.homes, [orders])
    assert not list(folder.glob("??/*"))


def test_a_delivery_comes_out_the_same_with_a_cache(
    loaded: Lakehouse, undisturbed: Lakehouse, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = small_shop()
    delivery.rows("orders")[0]["order_status"] = "canceled"
    delivery.rows("products")[0]["product_photos_qty"] = "7"
    loaded.load(delivery, NEXT_DAY)
    assert list(folder.glob("??/*"))
    monkeypatch.delenv("LAKEHOUSE_CACHE_FOLDER")
    undisturbed.load(delivery, NEXT_DAY)
    for layer in ("silver", "gold"):
        assert loaded.checksums(layer) == undisturbed.checksums(layer)
