"""Maintenance removes what nobody needs, and nothing else: whatever runs, dies or is asked for again meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lakehouse.contract.model import DeliveryKind
from lakehouse.errors import LakehouseError
from lakehouse.home import expiry, iceberg, warehouse
from lakehouse.home.pages import LocalPages
from lakehouse.home.settings import Keep
from lakehouse.layer import flow, maintenance, retention

from ..support.lakehouse import Lakehouse, copy_project
from ..support.olist import DAY, Delivery, ident, small_shop
from .test_avazu_flow import FIRST, SECOND, avazu
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

__all__ = ["avazu", "one_table", "sellers"]

pytestmark = pytest.mark.servers


def grow_old(lakehouse: Lakehouse, days: int, *keys: str) -> None:
    """Let deliveries have landed some days earlier."""
    lakehouse.execute(
        "update ops.batch set landed_at = landed_at - make_interval(days => :d) "
        "where partition_key = any(cast(:k as date[]))",
        d=days,
        k=list(keys),
    )


def retire_all(lakehouse: Lakehouse) -> set[tuple[str, str]]:
    """Retire what is outdated; (table, date) of each batch."""
    now = datetime.now(UTC)
    with lakehouse.homes.engine.connect() as conn:
        found = retention.deliveries(conn, lakehouse.project, now)
    gone = set()
    for batches in found:
        first = batches[0]
        done = retention.retire(lakehouse.homes, lakehouse.project, first.source, first.partition_key, now)
        assert not done.held_by
        gone |= {(o.table, o.partition_key) for o in done.batches}
    return gone


def assert_homes_agree(lakehouse: Lakehouse) -> None:
    for layer, schema in (("bronze", "raw"), ("silver", "ods")):
        for table in lakehouse.tables(layer):  # type: ignore[arg-type]
            in_lake = lakehouse.lake(layer, table).num_rows  # type: ignore[arg-type]
            assert lakehouse.value(f"select count(*) from {schema}.{table}") == in_lake
    assert_iceberg_agrees(lakehouse)


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


def test_a_day_of_events_past_its_retention_leaves_every_layer_and_stays_away(avazu: Lakehouse) -> None:
    for key in (FIRST, SECOND):
        avazu.run(key)
    rows = avazu.value("select count(*) from ods.avazu_impressions where _partition_key = :d", d=FIRST)
    kept = avazu.query("select xmin::text, id from ods.avazu_impressions where _partition_key = :d", d=SECOND)
    grow_old(avazu, 80, FIRST, SECOND)
    assert retire_all(avazu) == set()
    grow_old(avazu, 10, FIRST)
    assert retire_all(avazu) == {("avazu_impressions", FIRST)}
    assert_homes_agree(avazu)
    dates = "select distinct _partition_key::text from ods.avazu_impressions"
    assert avazu.query(dates) == [(SECOND,)]
    assert avazu.value("select count(distinct _batch_id) from raw.avazu_impressions") == 1
    now = avazu.query("select xmin::text, id from ods.avazu_impressions where _partition_key = :d", d=SECOND)
    assert now == kept
    told = "select layer, deleted_rows, verdict from ops.publish where mode = 'retire' order by 1"
    assert avazu.query(told) == [("bronze", rows, "passed"), ("silver", rows, "passed")]
    # Gold is made of what silver has, and follows when it is woken.
    assert avazu.query("select layer, partition_key::text from ops.open_partition") == [("gold", FIRST)]
    avazu.run_layer("gold", FIRST)
    assert avazu.query("select hour_date::text from gold.ctr_daily") == [(SECOND,)]
    # Replays, and judging everything anew, do not bring it back.
    served = avazu.checksums("silver"), avazu.checksums("gold")
    avazu.run(FIRST)
    flow.plan(avazu.homes, avazu.project, "avazu", "bronze", FIRST, "partition")
    for layer in ("silver", "gold"):
        flow.plan(avazu.homes, avazu.project, "avazu", layer, SECOND, "everything")
        for step in (avazu.stage, avazu.gate, avazu.publish):
            step(layer, SECOND)
    assert (avazu.checksums("silver"), avazu.checksums("gold")) == served
    assert retire_all(avazu) == set()
    assert_homes_agree(avazu)


def job(lakehouse: Lakehouse, *, apply: bool = True, days: float = 0) -> maintenance.Job:
    """Maintenance some days from now, by the usual limits."""
    now = datetime.now(UTC) + timedelta(days=days)
    return maintenance.Job(lakehouse.homes, lakehouse.project, Keep(), now, apply)


def assert_all_went_well(outcomes: list[maintenance.Outcome]) -> None:
    assert [o for o in outcomes if o.state in ("failed", "held off")] == []


def full(*numbers: int, city: str = "sao paulo") -> Delivery:
    """A complete delivery of geolocation, which keeps no history: one reading of some zip codes each."""
    delivery = seller()
    row = small_shop().rows("geolocation")[0]
    delivery.tables["geolocation"] = [
        row | {"geolocation_zip_code_prefix": f"{n:05d}", "geolocation_city": city} for n in numbers
    ]
    return delivery


def only(alone: Lakehouse, table: str, folder: Path) -> Lakehouse:
    """A lakehouse with one landed table of Olist, and no gold."""

    def edit(root: Path) -> None:
        for path in (root / "contracts").glob("*/*.yaml"):
            if (path.parent.name, path.stem) != ("olist", table):
                path.unlink()
        for path in (root / "sql/gold").glob("*.sql"):
            path.unlink()

    made = replace(alone, project=copy_project(folder, edit))
    warehouse.prepare(made.homes, made.project)
    return made


@pytest.fixture
def places(alone: Lakehouse, tmp_path_factory: pytest.TempPathFactory) -> Lakehouse:
    """A table that keeps no history."""
    return only(alone, "geolocation", tmp_path_factory.mktemp("places"))


def test_what_a_newer_complete_delivery_says_again_is_retired_and_nothing_else(places: Lakehouse) -> None:
    """The newest complete delivery past retention stays: to it falls back whatever is withdrawn later."""

    def load(number: int, *zips: int, kind: DeliveryKind = "full") -> None:
        places.land(full(*zips), day(number), kind=kind)
        places.run(day(number), "silver")

    load(0, 1, 2)
    load(1, 3, kind="increment")
    load(2, 1, 2, 3)
    load(3, 4, kind="increment")
    load(4, 1, 2, 3, 4, 5)
    load(5, 1, 2, 3, 4)
    # A mended delivery: the one it supersedes is not needed.
    load(5, 1, 2, 3, 4, 6)
    assert retire_all(places) == set()
    grow_old(places, 800, *(day(n) for n in (0, 1, 2, 3)))
    served = places.checksums("silver")
    rows = places.row_versions("silver")
    assert {key for _, key in retire_all(places)} == {day(0), day(1)}
    superseded = (
        "select partition_key::text from ops.batch where superseded_by is not null and retired_at is not null"
    )
    assert places.query(superseded) == []
    grow_old(places, 800, day(5))
    # By now the mended delivery of day 5 is the newest complete one.
    assert {key for _, key in retire_all(places)} == {day(2), day(3), day(5)}
    assert places.query(superseded) == [(day(5),)]
    assert_homes_agree(places)
    assert places.row_versions("silver") == rows
    # Whatever is asked for, silver is as it was.
    places.plan("silver", day(5))
    flow.plan(places.homes, places.project, "olist", "silver", day(5), "everything")
    for step in (places.stage, places.gate, places.publish):
        step("silver", day(5))
    assert places.checksums("silver") == served
    # Something comes late, older than all that is kept: it is overruled, as it would have been.
    load(1, 3, 9, kind="increment")
    assert places.checksums("silver") == served
    # What had been superseded and retired comes back: it is read anew.
    load(5, 1, 2, 3, 4)
    assert places.value("select count(*) from ods.olist_geolocation") == 4
    assert_homes_agree(places)


def test_a_history_is_not_retained_away_under_silver(sellers: Lakehouse) -> None:
    for number in range(3):
        sellers.load(seller(1, 2, city=f"cidade {number}"), day(number), "silver")
    grow_old(sellers, 5000, *(day(n) for n in range(3)))
    assert retire_all(sellers) == set()


def test_a_load_in_flight_is_not_touched_and_publishes_afterwards(sellers: Lakehouse) -> None:
    for number in range(5):
        sellers.load(seller(number, 9, city=f"cidade {number}"), day(number))
    sellers.land(seller(8, city="natal"), day(6))
    for layer in ("bronze", "silver", "gold"):
        sellers.plan(layer, day(6))
        staged = registry(sellers, "staged")
        assert_all_went_well(maintenance.maintain(job(sellers, days=60)))
        assert registry(sellers, "staged") == staged
        sellers.stage(layer, day(6))
        assert_all_went_well(maintenance.maintain(job(sellers, days=60)))
        sellers.gate(layer, day(6))
        assert_all_went_well(maintenance.maintain(job(sellers, days=60)))
        sellers.publish(layer, day(6))
    assert sellers.value("select count(*) from ods.olist_sellers where city = 'natal'") == 1
    assert sellers.value("select count(*) from gold.dim_seller where city = 'natal'") == 1
    assert_all_went_well(maintenance.maintain(job(sellers, days=60)))
    assert_nothing_is_left_over(sellers)
    assert_homes_agree(sellers)
    # The five small files of silver and gold became one; the delivery in flight brought another.
    files = live_files(sellers)
    assert {len(files[layer, table]) for layer in ("silver", "gold") for table in sellers.tables(layer)} == {
        2
    }
    # Gold is asked to look at silver again, and finds nothing to do.
    versions = sellers.row_versions("gold")
    sellers.run_layer("gold", day(6))
    assert sellers.row_versions("gold") == versions
    assert sellers.query("select * from ops.open_partition") == []


def test_masked_copies_are_maintained_with_their_tables(
    alone: Lakehouse, tmp_path_factory: pytest.TempPathFactory
) -> None:
    customers = only(alone, "customers", tmp_path_factory.mktemp("customers"))
    for number in range(4):
        delivery = small_shop()
        row = delivery.rows("customers")[0]
        delivery.tables["customers"] = [row | {"customer_id": ident("customer", number)}]
        customers.land(delivery, day(number))
        customers.run(day(number), "silver")
    assert_all_went_well(maintenance.maintain(job(customers, days=60)))
    assert len(live_files(customers)["silver", "olist_customers"]) == 1
    assert_homes_agree(customers)
    assert_nothing_is_left_over(customers)
    masked = customers.homes.catalog().load_table("masked.olist_customers")
    assert len(masked.snapshots()) == 1
    assert masked.scan().to_arrow()["zip_code_prefix"].to_pylist() == ["***"] * 4


def test_publishes_that_change_nothing_take_no_snapshot_from_readers(
    places: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(iceberg, "KEEP_SNAPSHOTS", 3)
    for number in range(3):
        places.land(full(1, 2, city=f"cidade {number}"), day(number), kind="full")
        places.run(day(number), "silver")
    for _ in range(5):
        flow.plan(places.homes, places.project, "olist", "silver", day(2), "everything")
        for step in (places.stage, places.gate, places.publish):
            step("silver", day(2))
    table = places.homes.catalog().load_table("silver.olist_geolocation")
    shown = [table.scan(snapshot_id=s.snapshot_id).to_arrow()["city"].to_pylist() for s in table.snapshots()]
    assert sorted(shown) == [[f"cidade {n}"] * 2 for n in range(3)]


def put(lakehouse: Lakehouse, key: str) -> str:
    lakehouse.homes.s3_client().put_object(Bucket=lakehouse.homes.bucket, Key=key, Body=b"nobody's")
    return f"s3://{lakehouse.homes.bucket}/{key}"


def test_orphans_go_when_they_are_old_enough(sellers: Lakehouse) -> None:
    sellers.load(seller(1, 2))
    orphan = put(sellers, "lake/silver/olist_sellers/data/orphan.parquet")
    landed = put(sellers, f"landing/olist/dt={DAY}/leftover.csv")
    put(sellers, "landing/olist/dt=2018-01-01/nobody-knows-yet.csv")
    step = "orphans"
    assert maintenance.run_step(job(sellers), step).state == "nothing"
    planned = maintenance.run_step(job(sellers, days=2, apply=False), step)
    assert (planned.state, planned.objects, planned.bytes) == ("planned", 2, 16)
    assert orphan in sellers.objects()
    with expiry.keeping_objects(sellers.homes):
        assert maintenance.run_step(job(sellers, days=2), step).state == "held off"
    done = maintenance.run_step(job(sellers, days=2), step)
    assert (done.objects, "only who lands" in done.notes[-1]) == (1, True)
    with_key = replace(job(sellers, days=2), landing=sellers.homes)
    assert maintenance.run_step(with_key, step).notes == (landed.split("/", 3)[3],)
    assert maintenance.run_step(with_key, step).state == "nothing"
    assert_nothing_is_left_over(sellers)
    listed = sellers.homes.s3_client().list_objects_v2(Bucket=sellers.homes.bucket, Prefix="landing/")
    assert {o["Key"].rpartition("/")[2] for o in listed["Contents"]} == {
        "_manifest.json",
        "nobody-knows-yet.csv",
        *(c.file_name for c in sellers.project.tables("olist")),
    }
    # What readers need and is not there is told, and what an Iceberg table has is no orphan.
    needed = next(iter(live_files(sellers)["silver", "olist_sellers"]))
    sellers.execute("update ops.lake_file set uri = uri || '.lost' where uri = :u", u=needed)
    failed = maintenance.run_step(job(sellers, days=2), step)
    assert failed.state == "failed"
    assert "an Iceberg table has it" in failed.notes[0] and ".lost is not there" in failed.notes[0]
    assert needed in sellers.objects()


def test_a_plan_changes_nothing_and_is_what_is_done_then(sellers: Lakehouse) -> None:
    for number in range(5):
        sellers.load(seller(number, 9, city=f"cidade {number}"), day(number))
    sellers.land(seller(1, city="belem"), day(0))
    sellers.run(day(0))
    grow_old(sellers, 5000, *(day(n) for n in range(5)))
    put(sellers, "lake/gold/dim_seller/data/orphan.parquet")
    before = sellers.ledger(), sellers.objects(), sellers.served()
    plan = maintenance.maintain(job(sellers, apply=False, days=60))
    assert (sellers.ledger(), sellers.objects(), sellers.served()) == before
    assert_all_went_well(plan)
    planned = {o.step: o for o in plan}
    assert (planned["retention"].objects, planned["retention"].rows) == (1, 2)
    assert planned["compact"].objects >= 12 and planned["snapshots"].objects > 20
    assert planned["snapshots"].bytes > 0 and planned["orphans"].objects == 1
    done = {o.step: o for o in maintenance.maintain(job(sellers, days=60))}
    assert_all_went_well(list(done.values()))
    for step in ("retention", "compact", "orphans"):
        assert (done[step].objects, done[step].rows) == (planned[step].objects, planned[step].rows)
    assert_homes_agree(sellers)
    assert_nothing_is_left_over(sellers)
    # Again there is nothing to do, but for what the run itself has replaced.
    again = {o.step: o.state for o in maintenance.maintain(job(sellers, days=120))}
    assert {step for step, state in again.items() if state == "done"} <= {"snapshots", "warehouse"}


KILLED = """
import os, signal, sys
from datetime import UTC, datetime, timedelta
from sqlalchemy import event
from sqlalchemy.engine import Engine
from lakehouse.contract import Project
from lakehouse.home.homes import Homes
from lakehouse.home.settings import Keep
from lakehouse.home import lake
from lakehouse.layer import maintenance

step, at, times = sys.argv[1], sys.argv[2], int(sys.argv[3])

def hit(*_):
    global times
    times -= 1
    if times == 0:
        os.kill(os.getpid(), signal.SIGKILL)

if at == "commit":
    event.listen(Engine, "commit", hit)
elif at == "delete":
    delete = lake.delete_objects
    lake.delete_objects = lambda homes, uris: (delete(homes, uris), hit())
else:
    event.listen(Engine, "before_cursor_execute", lambda c, cur, sql, *r: hit() if at in sql.lower() else None)
now = datetime.now(UTC) + timedelta(days=60)
maintenance.run_step(maintenance.Job(Homes.open(), Project.load(), Keep(), now, True), step)
"""


def test_killed_in_the_middle_it_is_repeated_and_nothing_is_left(sellers: Lakehouse) -> None:
    for number in range(5):
        sellers.load(seller(number, 9, city=f"cidade {number}"), day(number))
    sellers.land(seller(1, city="belem"), day(0))
    sellers.run(day(0))
    grow_old(sellers, 5000, *(day(n) for n in range(5)))
    served = sellers.checksums("silver"), sellers.checksums("gold")
    for step, at, times in (
        ("retention", "update ops.batch", 1),
        ("compact", "update iceberg_tables", 2),
        ("snapshots", "update iceberg_tables", 2),
        ("snapshots", "delete", 2),
    ):
        run = sellers.process(KILLED, step, at, str(times))
        assert run.returncode == -signal.SIGKILL, (step, at, run.stderr)
        assert (sellers.checksums("silver"), sellers.checksums("gold")) == served
        assert registry(sellers, "live") <= sellers.objects()
        assert sellers.objects() <= registry(sellers, "staged", "live", "replaced")
    assert_all_went_well(maintenance.maintain(job(sellers, days=60)))
    assert_nothing_is_left_over(sellers)
    assert_homes_agree(sellers)
    sellers.load(seller(7, city="natal"), day(8))
    assert_nothing_is_left_over(sellers)


def test_the_ledger_forgets_what_is_long_ago_and_loads_go_on(sellers: Lakehouse) -> None:
    for number in range(3):
        for _ in range(2):  # the first attempt is given up
            if number:
                sellers.prepare("silver", day(number))
            sellers.land(seller(number, 9, city=f"cidade {number}"), day(number))
            sellers.run_layer("bronze", day(number))
        sellers.run(day(number))
    kept = "select (select count(*) from ops.batch), (select count(*) from ops.publish where status = 'published')"
    before = sellers.query(kept)
    done = maintenance.run_step(job(sellers, days=500), "ledger")
    assert done.state == "done"
    assert {note.split(":")[0] for note in done.notes} >= {
        "ops.pinned_table",
        "ops.quality_result",
        "ops.report",
    }
    assert sellers.query(kept) == before
    assert maintenance.run_step(job(sellers, days=500), "ledger").state == "nothing"
    # Late, and again: what is pinned and seen is known still.
    sellers.load(seller(1, 2, city="natal"), day(1))
    sellers.run(day(1))
    assert sellers.query("select * from ops.open_partition") == []
    assert_homes_agree(sellers)


def test_old_logs_and_stray_pages_go(sellers: Lakehouse, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    old, fresh = logs / "dag_id=a/run_id=b/attempt=1.log", logs / "dag_id=c/attempt=1.log"
    for path, age in ((old, 40), (fresh, 1)):
        path.parent.mkdir(parents=True)
        path.write_text("done")
        os.utime(path, times=(time.time() - age * 86400,) * 2)
    made = replace(job(sellers), logs=(LocalPages(logs),))
    assert (maintenance.run_step(made, "logs").objects, fresh.exists(), old.parent.exists()) == (
        1,
        True,
        False,
    )


def test_one_step_that_fails_stops_no_other(sellers: Lakehouse) -> None:
    def refuses(_before: datetime, _apply: bool) -> int:
        raise LakehouseError("Airflow's database does not answer.", "Look at it.")

    done = maintenance.maintain(replace(job(sellers), airflow=refuses), ["airflow", "ledger"])
    assert [(o.step, o.state) for o in done] == [("ledger", "nothing"), ("airflow", "failed")]
    assert done[1].notes == ("Airflow's database does not answer. Look at it.",)


def test_the_command_shows_a_plan_and_its_exit_code_tells_of_failures(
    sellers: Lakehouse, tmp_path: Path
) -> None:
    sellers.load(seller(1, 2))
    sellers.load(seller(1, 2, city="natal"), day(1))

    def command(*arguments: str, **variables: str) -> tuple[int, dict[str, Any]]:
        environment = sellers.environment() | {"LAKEHOUSE_HOME": str(tmp_path), **variables}
        done = subprocess.run(
            [sys.executable, "-m", "lakehouse.cli.main", "maintain", "--json", *arguments],
            env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout)

    objects = sellers.objects()
    code, plan = command(LAKEHOUSE_KEEP_SNAPSHOT_DAYS="0")
    assert (code, plan["applied"], [s["step"] for s in plan["steps"]]) == (0, False, list(maintenance.STEPS))
    planned = {s["step"]: s for s in plan["steps"]}
    assert planned["snapshots"]["state"] == "planned" and planned["airflow"]["state"] == "skipped"
    assert sellers.objects() == objects
    code, done = command("--apply", "--step", "snapshots", LAKEHOUSE_KEEP_SNAPSHOT_DAYS="0")
    assert (code, [(s["step"], s["state"]) for s in done["steps"]]) == (0, [("snapshots", "done")])
    assert len(sellers.objects()) < len(objects)
    code, refused = command("--step", "everything")
    assert code == 1 and "retention, compact" in refused["error"]["hint"]
    sellers.execute("update ops.lake_file set recorded_at = recorded_at - interval '2 days'")
    needed = next(iter(live_files(sellers)["gold", "dim_seller"]))
    bucket, key = needed.removeprefix("s3://").split("/", 1)
    sellers.homes.s3_client().delete_object(Bucket=bucket, Key=key)
    code, failed = command("--step", "orphans", "--step", "ledger")
    assert (code, [s["state"] for s in failed["steps"]]) == (1, ["failed", "nothing"])
