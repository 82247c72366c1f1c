"""Invariant 5: the event tells what was committed; a missed one is caught up with, a repeated one does nothing."""

from __future__ import annotations

import pytest

from lakehouse.errors import LakehouseError, StaleStage

from ..support.lakehouse import Lakehouse
from ..support.olist import DAY, NEXT_DAY, small_shop

pytestmark = pytest.mark.servers
THIRD_DAY = "2018-03-03"


def test_the_event_carries_partition_batches_rows_and_verdict(lakehouse: Lakehouse) -> None:
    events = lakehouse.load(small_shop(), upto="silver")
    batches = [b for (b,) in lakehouse.query("select batch_id::text from ops.batch order by 1")]
    rows = {
        c.table: lakehouse.value(f"select count(*) from raw.{c.table}")
        for c in lakehouse.project.tables("olist")
    }
    for layer in ("bronze", "silver"):
        event = events[layer]
        assert event["partition_key"] == DAY
        assert event["batch_ids"] == batches and len(batches) == 9
        assert event["row_counts"] == rows
        assert event["rows_written"] == sum(rows.values())
        assert event["verdict"] in ("passed", "warned")
    # Told again, nothing is done, and the same is told.
    again = lakehouse.run_layer("silver")
    assert again == events["silver"] | {"rows_written": 0}


def test_gold_tells_its_tables(loaded: Lakehouse) -> None:
    event = loaded.run_layer("gold")
    assert event["row_counts"]["fact_order"] == 4
    assert set(event["row_counts"]) == set(loaded.tables("gold"))
    assert event["rows_written"] == 0


def test_a_missed_event_is_caught_up_with_by_the_next_run(loaded: Lakehouse) -> None:
    whole = small_shop(6)
    loaded.load(whole.only_orders(5), NEXT_DAY, "bronze")
    # Nobody runs silver for that day; the next day's run takes both up.
    loaded.load(whole.only_orders(6), THIRD_DAY, "bronze")
    event = loaded.run_layer("silver", THIRD_DAY)
    assert event["partition_key"] == THIRD_DAY
    taken = loaded.query(
        "select distinct partition_key::text, run_partition_key::text, status from ops.publish "
        "where layer = 'silver' and partition_key > :d order by 1",
        d=DAY,
    )
    assert taken == [(NEXT_DAY, THIRD_DAY, "published"), (THIRD_DAY, THIRD_DAY, "published")]
    assert loaded.value("select count(*) from ods.olist_orders") == 6
    read = dict(
        loaded.query(
            "select partition_key::text, read_rows from ops.publish "
            "where layer = 'silver' and table_name = 'olist_orders' and partition_key > :d",
            d=DAY,
        )
    )
    assert read == {NEXT_DAY: 1, THIRD_DAY: 1}
    # The event that comes too late after all finds nothing to do.
    assert loaded.plan("silver", NEXT_DAY) == ()
    assert loaded.run_layer("silver", NEXT_DAY)["rows_written"] == 0
    # Gold has missed both events; one run takes both up.
    gold = loaded.run_layer("gold", THIRD_DAY)
    assert gold["rows_written"] > 0
    assert loaded.value("select count(*) from gold.fact_order") == 6
    assert loaded.plan("gold", NEXT_DAY) == ()


def test_an_older_run_leaves_newer_deliveries_alone(loaded: Lakehouse) -> None:
    loaded.load(small_shop(5).only_orders(5), THIRD_DAY, "bronze")
    assert loaded.plan("silver", NEXT_DAY) == ()


def test_a_day_without_a_delivery_is_told(loaded: Lakehouse) -> None:
    with pytest.raises(LakehouseError, match=r"no delivery of olist for 2018-03-03") as caught:
        loaded.plan("bronze", THIRD_DAY)
    assert "lakehouse land olist --date 2018-03-03" in caught.value.hint


def test_two_partitions_do_not_publish_each_others_stage(loaded: Lakehouse) -> None:
    whole = small_shop(6)
    loaded.land(whole.only_orders(5), NEXT_DAY)
    loaded.land(whole.only_orders(6), THIRD_DAY)
    loaded.plan("bronze", NEXT_DAY)
    loaded.stage("bronze", NEXT_DAY)
    # Another run takes the layer over.
    loaded.plan("bronze", THIRD_DAY)
    for step in (loaded.stage, loaded.publish):
        with pytest.raises(StaleStage, match="is being made for 2018-03-03, not for 2018-03-02"):
            step("bronze", NEXT_DAY)


def test_a_run_that_was_overtaken_is_told_so_and_not_that_all_is_done(loaded: Lakehouse) -> None:
    whole = small_shop(6)
    loaded.land(whole.only_orders(5), NEXT_DAY)
    loaded.land(whole.only_orders(6), THIRD_DAY)
    loaded.plan("bronze", NEXT_DAY)
    loaded.stage("bronze", NEXT_DAY)
    loaded.run(THIRD_DAY, "bronze")
    for step in (loaded.gate, loaded.publish):
        with pytest.raises(StaleStage, match="has been made for another partition") as caught:
            step("bronze", NEXT_DAY)
    assert "clear the task `plan` of olist_bronze for 2018-03-02" in caught.value.hint
    assert loaded.run(NEXT_DAY, "bronze")["bronze"]["rows_written"] > 0
    assert loaded.value("select count(*) from raw.olist_orders") == 6


def test_a_run_with_nothing_to_do_does_not_take_another_ones_stage_away(loaded: Lakehouse) -> None:
    loaded.land(small_shop(), DAY)
    loaded.land(small_shop(5).only_orders(5), NEXT_DAY)
    loaded.plan("bronze", NEXT_DAY)
    assert loaded.plan("bronze", DAY) == ()
    loaded.stage("bronze", NEXT_DAY)
    loaded.gate("bronze", NEXT_DAY)
    assert loaded.publish("bronze", NEXT_DAY)["rows_written"] > 0
