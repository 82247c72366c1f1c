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
    landed = {
        c.table: lakehouse.value(f"select count(*) from raw.{c.table}")
        for c in lakehouse.project.tables("olist")
    }
    # What has been said once of a product or seller is a state of its history, too.
    said = {t: landed[t.removesuffix("_history")] for t in lakehouse.tables("silver")}
    assert len(said) == len(landed) + 2
    for layer, rows in (("bronze", landed), ("silver", said)):
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
        "select distinct b.partition_key::text, r.partition_key::text, p.status from ops.accounted "
        "inner join ops.publish as p using (publish_id) inner join ops.run as r using (run_id) "
        "inner join ops.batch as b using (batch_id) where p.layer = 'silver' and b.partition_key > :d order by 1",
        d=DAY,
    )
    assert taken == [(NEXT_DAY, THIRD_DAY, "published"), (THIRD_DAY, THIRD_DAY, "published")]
    assert loaded.value("select count(*) from ods.olist_orders") == 6
    read = dict(
        loaded.query(
            "select b.partition_key::text, a.read_rows from ops.accounted as a inner join ops.publish as p "
            "using (publish_id) inner join ops.batch as b using (batch_id) "
            "where p.layer = 'silver' and b.table_name = 'olist_orders' and b.partition_key > :d",
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


def test_two_partitions_stage_side_by_side_and_publish_their_own(loaded: Lakehouse) -> None:
    whole = small_shop(6)
    loaded.land(whole.only_orders(5), NEXT_DAY)
    loaded.land(whole.only_orders(6), THIRD_DAY)
    for day in (NEXT_DAY, THIRD_DAY):
        loaded.plan("bronze", day)
    for day in (THIRD_DAY, NEXT_DAY):
        loaded.stage("bronze", day)
    for day in (NEXT_DAY, THIRD_DAY):
        loaded.gate("bronze", day)
    before = loaded.served()
    for day in (THIRD_DAY, NEXT_DAY):
        event = loaded.publish("bronze", day)
        mine = loaded.query("select batch_id::text from ops.batch where partition_key = :d order by 1", d=day)
        assert event["batch_ids"] == [b for (b,) in mine] and len(mine) == 9
        assert event["row_counts"]["olist_orders"] == 1
    assert loaded.value("select count(*) from raw.olist_orders") == 6
    after = loaded.served()
    assert (after["silver"], after["gold"]) == (before["silver"], before["gold"])


def test_a_run_that_was_overtaken_is_told_so_and_not_that_all_is_done(loaded: Lakehouse) -> None:
    whole = small_shop(6)
    loaded.load(whole.only_orders(5), NEXT_DAY, "bronze")
    loaded.plan("silver", NEXT_DAY)
    loaded.stage("silver", NEXT_DAY)
    loaded.load(whole.only_orders(6), THIRD_DAY, "bronze")
    # It takes up what the first run has staged, too.
    loaded.run_layer("silver", THIRD_DAY)
    served = loaded.served()
    loaded.gate("silver", NEXT_DAY)
    with pytest.raises(StaleStage, match="was published by another run since these rows were staged"):
        loaded.publish("silver", NEXT_DAY)
    for step in (loaded.stage, loaded.gate, loaded.publish):
        with pytest.raises(
            StaleStage, match="another run has published since this one was planned"
        ) as caught:
            step("silver", NEXT_DAY)
        assert "Clear the task `plan` and those after it in olist_silver" in caught.value.hint
    assert loaded.served() == served
    # Planned again it finds nothing left to do, and is not red because of the other run.
    assert loaded.run_layer("silver", NEXT_DAY)["rows_written"] == 0
    assert loaded.served() == served
    assert loaded.value("select count(*) from ods.olist_orders") == 6


def test_a_run_with_nothing_to_do_does_not_take_another_ones_stage_away(loaded: Lakehouse) -> None:
    loaded.land(small_shop(), DAY)
    loaded.land(small_shop(5).only_orders(5), NEXT_DAY)
    loaded.plan("bronze", NEXT_DAY)
    assert loaded.plan("bronze", DAY) == ()
    loaded.stage("bronze", NEXT_DAY)
    loaded.gate("bronze", NEXT_DAY)
    assert loaded.publish("bronze", NEXT_DAY)["rows_written"] > 0
