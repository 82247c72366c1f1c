"""What is not done: as the ledger tells it, as a plain `lakehouse run` takes it up, as a layer is woken for it."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest

from lakehouse.cli.run import Selection, to_do
from lakehouse.contract.model import Layer
from lakehouse.errors import GateFailed, StaleStage
from lakehouse.landing.manifest import list_deliveries
from lakehouse.layer.ledger import note_failure
from lakehouse.layer.turns import ask_for_turn, to_wake

from ..support.lakehouse import Lakehouse
from ..support.olist import DAY, NEXT_DAY, Delivery, ident, small_shop

pytestmark = pytest.mark.servers
THIRD_DAY = "2018-03-03"


def open_partitions(house: Lakehouse) -> list[tuple[Any, ...]]:
    return house.query("select layer, partition_key::text, status from ops.open_partition order by 2, 1")


def selected(house: Lakehouse) -> Selection:
    """What a plain `lakehouse run` would take."""
    homes = house.homes
    return to_do(homes, house.project, "olist", list_deliveries(homes.s3_client(), homes.bucket, "olist"))


def woken(house: Lakehouse, layer: Layer) -> str | None:
    with house.homes.engine.connect() as conn:
        return to_wake(conn, "olist", layer)


def a_minute_passes(house: Lakehouse) -> None:
    house.execute("update ops.publish set published_at = published_at - interval '1 minute'")
    house.execute("update ops.run set planned_at = planned_at - interval '1 minute'")


def spoilt(shop: Delivery) -> Delivery:
    """An order that was approved before it was placed, which breaks a hard rule of silver."""
    shop.order(1)["order_approved_at"] = "2017-01-01 00:00:00"
    return shop


def block(house: Lakehouse, day: str = NEXT_DAY) -> None:
    house.load(spoilt(small_shop(5)), day, "bronze")
    with pytest.raises(GateFailed):
        house.prepare("silver", day)


def test_what_is_in_gold_is_not_open_and_nothing_is_woken(loaded: Lakehouse) -> None:
    a_minute_passes(loaded)
    assert open_partitions(loaded) == []
    assert woken(loaded, "silver") is None
    assert woken(loaded, "gold") is None


def test_a_partition_waits_for_the_layer_that_has_missed_it_and_is_woken_after_a_minute(
    loaded: Lakehouse,
) -> None:
    whole = small_shop(6)
    loaded.load(whole.only_orders(6), THIRD_DAY, "bronze")
    loaded.load(whole.only_orders(5), NEXT_DAY, "bronze")
    assert open_partitions(loaded) == [("silver", NEXT_DAY, "pending"), ("silver", THIRD_DAY, "pending")]
    assert woken(loaded, "silver") is None  # its own event is on the way
    a_minute_passes(loaded)
    assert woken(loaded, "silver") == NEXT_DAY
    loaded.run_layer("silver", NEXT_DAY)
    assert open_partitions(loaded) == [("gold", NEXT_DAY, "pending"), ("silver", THIRD_DAY, "pending")]
    loaded.run_layer("silver", THIRD_DAY)
    a_minute_passes(loaded)
    assert (woken(loaded, "silver"), woken(loaded, "gold")) == (None, THIRD_DAY)
    loaded.run_layer("gold", THIRD_DAY)
    assert open_partitions(loaded) == []


def test_what_has_begun_is_at_work_while_its_run_has_the_turn_and_has_failed_otherwise(
    loaded: Lakehouse,
) -> None:
    loaded.load(small_shop(5).only_orders(5), NEXT_DAY, "bronze")
    loaded.plan("silver", NEXT_DAY)
    a_minute_passes(loaded)
    with loaded.homes.engine.begin() as conn:
        ask_for_turn(conn, "olist", "silver", "a-run", NEXT_DAY, {"a-run"}.__contains__)
    assert open_partitions(loaded) == [("silver", NEXT_DAY, "working")]
    with loaded.homes.engine.begin() as conn:
        note_failure(conn, "olist", "silver", NEXT_DAY, "the store was down\nfor long")
    loaded.execute("delete from ops.turn")
    assert open_partitions(loaded) == [("silver", NEXT_DAY, "failed")]
    assert woken(loaded, "silver") is None  # somebody has to look
    with psycopg2.connect(loaded.analyst_dsn) as analyst, analyst.cursor() as cursor:
        cursor.execute("select message from ops.open_partition")
        assert cursor.fetchall() == [("the store was down\nfor long",)]


def test_a_blocked_partition_is_left_alone_until_it_is_delivered_anew(loaded: Lakehouse) -> None:
    block(loaded)
    a_minute_passes(loaded)
    assert open_partitions(loaded) == [("silver", NEXT_DAY, "blocked")]
    assert "approval_follows_purchase" in loaded.value("select message from ops.open_partition")
    assert woken(loaded, "silver") is None
    assert selected(loaded) == Selection([], {NEXT_DAY: "silver"})
    assert f"{NEXT_DAY} (silver)" in selected(loaded).notes("olist")[0]
    loaded.land(small_shop(5), NEXT_DAY)
    assert selected(loaded) == Selection([NEXT_DAY])
    loaded.run_layer("bronze", NEXT_DAY)
    a_minute_passes(loaded)
    # Superseded, what was blocked is settled; the new batch waits like any other.
    assert open_partitions(loaded) == [("silver", NEXT_DAY, "pending")]
    assert woken(loaded, "silver") == NEXT_DAY
    assert selected(loaded) == Selection([NEXT_DAY])
    for layer in ("silver", "gold"):
        loaded.run_layer(layer, NEXT_DAY)
    assert open_partitions(loaded) == []
    assert selected(loaded) == Selection([])


def test_a_delivery_is_new_until_bronze_serves_these_bytes(loaded: Lakehouse) -> None:
    assert selected(loaded) == Selection([])
    loaded.land(small_shop(), DAY)
    assert selected(loaded) == Selection([])
    loaded.land(small_shop(5), NEXT_DAY)
    assert selected(loaded) == Selection([NEXT_DAY])
    loaded.plan("bronze", NEXT_DAY)
    assert open_partitions(loaded) == [("bronze", NEXT_DAY, "failed")]
    assert selected(loaded) == Selection([NEXT_DAY])
    loaded.run(NEXT_DAY)
    assert selected(loaded) == Selection([])
    loaded.land(small_shop(6), NEXT_DAY)
    assert selected(loaded) == Selection([NEXT_DAY])
    # Back to what was served before: superseded, so it is to be served again.
    loaded.run(NEXT_DAY)
    loaded.land(small_shop(5), NEXT_DAY)
    assert selected(loaded) == Selection([NEXT_DAY])


def test_a_run_with_nothing_left_to_do_is_not_red_because_others_did_it(loaded: Lakehouse) -> None:
    whole = small_shop(6)
    loaded.load(whole.only_orders(5), NEXT_DAY, "silver")
    loaded.prepare("gold", NEXT_DAY)
    loaded.load(whole.only_orders(6), THIRD_DAY)
    with pytest.raises(StaleStage, match="published by another run"):
        loaded.publish("gold", NEXT_DAY)
    assert open_partitions(loaded) == []
    # Told again (by an event, or because somebody clears its plan) it finds nothing, and says so.
    assert loaded.plan("gold", NEXT_DAY) == ()
    assert loaded.publish("gold", NEXT_DAY)["rows_written"] == 0
    assert loaded.value("select count(*) from gold.fact_order") == 6


def test_a_blocked_run_is_settled_when_its_plan_finds_nothing_left(loaded: Lakehouse) -> None:
    block(loaded)
    loaded.execute(
        "update ops.batch set silver_publish_id = bronze_publish_id where partition_key = :d", d=NEXT_DAY
    )
    assert loaded.plan("silver", NEXT_DAY) == ()
    assert loaded.publish("silver", NEXT_DAY)["rows_written"] == 0
    assert ident("order", 1) in loaded.value(
        "select string_agg(message, '') from ops.run where verdict = 'blocked'"
    )
