"""Maintenance removes what nobody needs, and nothing else: whatever runs, dies or is asked for again meanwhile."""

from __future__ import annotations

from lakehouse.home import expiry

from ..support.lakehouse import Lakehouse
from .test_lake_registry import (
    assert_iceberg_agrees,
    assert_nothing_is_left_over,
    day,
    live_files,
    one_table,
    registry,
    seller,
    sellers,
)

__all__ = ["one_table", "sellers"]


def test_old_snapshots_expire_and_their_objects_go(sellers: Lakehouse) -> None:
    for number in range(3):
        sellers.load(seller(1, 2, city=f"cidade {number}"), day(number))
    tables = {layer: sellers.tables(layer) for layer in ("bronze", "silver", "gold")}
    served = sellers.checksums("gold")
    with expiry.keeping_objects(sellers.homes):
        assert expiry.sweep(sellers.homes, "gold", tables["gold"], keep=1) == 0
    counted = expiry.expire_snapshots(sellers.homes, "olist", "silver", "olist_sellers", dry_run=True)
    assert counted == 2
    for layer, names in tables.items():
        for table in names:
            expiry.expire_snapshots(sellers.homes, "olist", layer, table)
        expiry.sweep(sellers.homes, layer, names, keep=1)
    assert expiry.expire_snapshots(sellers.homes, "olist", "silver", "olist_sellers") == 0
    assert len(sellers.homes.catalog().load_table("silver.olist_sellers").snapshots()) == 1
    assert registry(sellers, "replaced") == set()
    assert_nothing_is_left_over(sellers)
    assert_iceberg_agrees(sellers)
    assert sellers.checksums("gold") == served
    # The next delivery goes on from there.
    sellers.load(seller(1, 3, city="natal"), day(4))
    assert_iceberg_agrees(sellers)
    assert len(live_files(sellers)["silver", "olist_sellers"]) == 2
