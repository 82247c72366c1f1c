"""What a manifest says of a delivery beyond its bytes: full or increment, and whether it may shrink."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lakehouse.cli.run import to_do
from lakehouse.errors import GateFailed, LakehouseError
from lakehouse.landing.manifest import Manifest, list_deliveries, read_manifest, write_manifest

from ..support.lakehouse import Lakehouse
from ..support.olist import DAY, small_shop

pytestmark = pytest.mark.servers
KINDS = "select distinct kind from ops.batch where superseded_by is null"
PENDING = "select count(*) from ops.batch where silver_publish_id is null and superseded_by is null"


def rewritten(lakehouse: Lakehouse, change: Callable[[Manifest], Manifest]) -> None:
    """The manifest as somebody else may write it."""
    client, bucket = lakehouse.homes.s3_client(), lakehouse.homes.bucket
    manifest = read_manifest(client, bucket, lakehouse.source, DAY)
    assert manifest is not None
    write_manifest(client, bucket, change(manifest))


def each_file(**update: Any) -> Callable[[Manifest], Manifest]:
    return lambda m: m.model_copy(update={"files": tuple(f.model_copy(update=update) for f in m.files)})


def selected(lakehouse: Lakehouse) -> list[str]:
    """What a plain `lakehouse run` takes up."""
    landed = list_deliveries(lakehouse.homes.s3_client(), lakehouse.homes.bucket, lakehouse.source)
    return to_do(lakehouse.homes, lakehouse.project, lakehouse.source, landed).keys


def test_the_contract_tells_the_kind_unless_landing_does(lakehouse: Lakehouse) -> None:
    lakehouse.load(small_shop(), upto="bronze")
    assert lakehouse.query(KINDS) == [("increment",)]
    lakehouse.land(small_shop(), kind="full")
    lakehouse.run(upto="bronze")
    assert lakehouse.query(KINDS) == [("full",)]


def test_the_same_bytes_of_another_kind_go_through_silver_again_and_rewrite_nothing(
    loaded: Lakehouse,
) -> None:
    loaded.land(small_shop())
    served = loaded.served()
    loaded.run()
    assert loaded.value(PENDING) == 0

    loaded.land(small_shop(), kind="full")
    assert selected(loaded) == [DAY]
    loaded.prepare("bronze")
    # What is served keeps its kind until the publish.
    assert (loaded.query(KINDS), loaded.value(PENDING)) == ([("increment",)], 0)
    event = loaded.publish("bronze")
    assert (len(event["batch_ids"]), loaded.query(KINDS), loaded.value(PENDING)) == (9, [("full",)], 9)
    assert loaded.value("select count(*) from ops.batch") == 9

    assert loaded.run_layer("silver")["rows_written"] == 0
    assert loaded.value(PENDING) == 0
    after = loaded.served()
    assert after["silver"][0] == served["silver"][0]
    # The same manifest again is nothing new.
    assert loaded.plan("bronze") == ()


def test_a_manifest_without_kinds_is_refused_and_landing_again_mends_it(lakehouse: Lakehouse) -> None:
    lakehouse.land(small_shop())
    rewritten(lakehouse, each_file(kind=None, rows=None))
    with pytest.raises(LakehouseError, match=r"does not say whether .* full or an increment") as caught:
        lakehouse.plan("bronze")
    assert f"lakehouse land olist --date {DAY}" in caught.value.hint
    lakehouse.land(small_shop(), allow_shrink=False)
    lakehouse.run(upto="bronze")
    assert lakehouse.query(KINDS) == [("increment",)]


def test_the_gate_refuses_rows_that_go_until_a_person_allows_it(loaded: Lakehouse) -> None:
    """Also where the manifest was written by others, so that landing could not compare."""
    loaded.land(small_shop().only_orders(1, 2))
    rewritten(loaded, lambda m: each_file(rows=None)(m.model_copy(update={"allow_shrink": False})))
    served = loaded.served()
    with pytest.raises(GateFailed) as caught:
        loaded.prepare("bronze")
    message = str(caught.value)
    assert "olist_orders: hard rule shrinks_within_tolerance is broken by 2 of 4 rows" in message
    assert f"partition_key={DAY}, served_rows=4, delivered_rows=2" in message
    assert "--allow-shrink" in message
    assert loaded.served() == served
    assert selected(loaded) == []

    loaded.land(small_shop().only_orders(1, 2), allow_shrink=True)
    assert selected(loaded) == [DAY]
    loaded.run_layer("bronze")
    assert loaded.query("select distinct allow_shrink from ops.batch where bronze_publish_id is null") == []
    loaded.run("2018-03-01")
    assert loaded.value("select count(*) from ods.olist_orders") == 2


def test_coming_back_to_fewer_rows_is_a_loss_too(loaded: Lakehouse) -> None:
    loaded.load(small_shop(6), upto="bronze")
    loaded.land(small_shop())
    rewritten(loaded, lambda m: m.model_copy(update={"allow_shrink": False}))
    with pytest.raises(GateFailed, match="served_rows=6, delivered_rows=4"):
        loaded.prepare("bronze")
