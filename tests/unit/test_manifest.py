"""The manifest's format, and what makes two deliveries the same."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from pydantic import ValidationError

from lakehouse.errors import LakehouseError
from lakehouse.landing.manifest import Manifest, ManifestFile, checked_partition_key, manifest_key

FOLDER = "landing/olist/dt=2018-10-17"
ORDERS = ManifestFile(
    table="orders", key=f"{FOLDER}/o.csv", bytes=3, sha256="a" * 64, rows=1, kind="increment"
)
ITEMS = ManifestFile(
    table="order_items", key=f"{FOLDER}/i.csv", bytes=4, sha256="b" * 64, rows=2, kind="increment"
)


def test_the_format_is_the_agreed_one_and_sorted() -> None:
    written = json.loads(Manifest.of("olist", "2018-10-17", [ORDERS, ITEMS]).model_dump_json())
    assert list(written) == ["source", "partition_key", "landed_at", "allow_shrink", "files"]
    assert written["landed_at"].endswith("Z")
    assert [f["table"] for f in written["files"]] == ["order_items", "orders"]
    assert written["files"][1] == {
        "table": "orders",
        "key": ORDERS.key,
        "bytes": 3,
        "sha256": "a" * 64,
        "rows": 1,
        "kind": "increment",
    }


def test_the_same_bytes_are_the_same_delivery_whenever_they_land() -> None:
    first = Manifest.of("olist", "2018-10-17", [ORDERS, ITEMS])
    later = first.model_copy(update={"landed_at": first.landed_at + timedelta(days=1)})
    changed = Manifest.of("olist", "2018-10-17", [ORDERS, ITEMS.model_copy(update={"sha256": "c" * 64})])
    assert first.holds(later)
    assert not first.holds(changed)


def test_another_kind_is_another_delivery_and_a_permission_to_shrink_stays() -> None:
    first = Manifest.of("olist", "2018-10-17", [ORDERS])
    assert not first.holds(Manifest.of("olist", "2018-10-17", [ORDERS.model_copy(update={"kind": "full"})]))
    allowed = Manifest.of("olist", "2018-10-17", [ORDERS], allow_shrink=True)
    assert not first.holds(allowed)
    assert allowed.holds(first)


def test_a_manifest_of_an_older_version_is_read() -> None:
    manifest = Manifest.of("olist", "2018-10-17", [ORDERS])
    older = manifest.model_dump(mode="json", exclude={"allow_shrink": True, "files": {0: {"rows", "kind"}}})
    read = Manifest.model_validate(older)
    assert (read.allow_shrink, read.files[0].kind, read.files[0].rows) == (False, None, None)
    assert not read.holds(manifest)


def test_unknown_keys_and_broken_checksums_are_refused() -> None:
    text = Manifest.of("olist", "2018-10-17", [ORDERS]).model_dump_json()
    with pytest.raises(ValidationError, match="extra"):
        Manifest.model_validate_json(text.replace('"source"', '"surprise":1,"source"', 1))
    with pytest.raises(ValidationError, match="sha256"):
        Manifest.model_validate_json(text.replace("a" * 64, "a" * 63))


@pytest.mark.parametrize(
    "key",
    [
        "lake/silver/olist_customers/data/x.parquet",
        "landing/avazu/dt=2018-10-17/o.csv",
        "landing/olist/dt=2018-10-18/o.csv",
        f"{FOLDER}/../../../lake/x",
        f"{FOLDER}/./x",
        f"{FOLDER}/",
        f"{FOLDER}//x",
        f"/{FOLDER}/o.csv",
        "",
    ],
)
def test_a_manifest_names_files_of_its_own_delivery_only(key: str) -> None:
    """Whoever may land must not make the pipeline read what they may not."""
    with pytest.raises(ValidationError, match="outside of the delivery"):
        Manifest.of("olist", "2018-10-17", [ORDERS.model_copy(update={"key": key})])


def test_a_file_is_found_by_its_table() -> None:
    manifest = Manifest.of("olist", "2018-10-17", [ORDERS])
    assert manifest.file("orders") == ORDERS
    assert manifest.file("order_items") is None
    assert manifest_key("olist", "2018-10-17") == "landing/olist/dt=2018-10-17/_manifest.json"


@pytest.mark.parametrize(
    "text",
    [
        "2018-13-01",
        "20181017",
        "2018-1-7",
        "yesterday",
        "2018-10-17T00:00:00",
        "",
        "2018-10-17/../../lake",
        "2018-10-17'; drop table ops.batch; --",
        "\uff12018-10-17",
        "2018-10-17\n",
        "..",
    ],
)
def test_only_plain_dates_are_partition_keys(text: str) -> None:
    with pytest.raises(LakehouseError, match="YYYY-MM-DD"):
        checked_partition_key(text)
    assert checked_partition_key("2018-10-17") == "2018-10-17"
