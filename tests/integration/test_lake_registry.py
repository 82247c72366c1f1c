"""The registry of lake files is the truth: whatever dies, no object is unknown, and none outlives its use by much."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from lakehouse.compile.schemas import table_schemas
from lakehouse.contract import Project
from lakehouse.home import iceberg, masked, warehouse
from lakehouse.layer import stage
from lakehouse.layer.inputs import Inputs
from lakehouse.layer.ledger import latest_run

from ..support.lakehouse import Lakehouse, copy_project
from ..support.olist import DAY, NEXT_DAY, Delivery, ident, small_shop
from .test_invariant_no_partial_data import be_killed

pytestmark = pytest.mark.servers


REFERENCE = """\
        relationships:
          - type: foreignKey
            to: dim_geography.zip_code_prefix
"""


@pytest.fixture(scope="module")
def one_table(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project with one landed and one computed table, so that many deliveries take little time."""

    def edit(root: Path) -> None:
        keep = {"olist": "sellers", "gold": "dim_seller"}
        for path in (root / "contracts").glob("*/*.yaml"):
            if keep.get(path.parent.name) != path.stem:
                path.unlink()
        for path in (root / "sql/gold").glob("*.sql"):
            if path.stem != "dim_seller":
                path.unlink()
        contract = root / "contracts/gold/dim_seller.yaml"
        text = contract.read_text(encoding="utf-8")
        assert REFERENCE in text
        contract.write_text(text.replace(REFERENCE, ""), encoding="utf-8")

    return copy_project(tmp_path_factory.mktemp("one-table"), edit)


@pytest.fixture
def sellers(alone: Lakehouse, one_table: Project) -> Iterator[Lakehouse]:
    made = replace(alone, project=one_table)
    warehouse.prepare(made.homes, made.project)
    yield made


def seller(*numbers: int, city: str = "sao paulo") -> Delivery:
    """A delivery of some sellers."""
    delivery = small_shop()
    first = delivery.rows("sellers")[0]
    delivery.tables["sellers"] = [
        first | {"seller_id": ident("seller", n), "seller_city": city} for n in numbers
    ]
    return delivery


def day(number: int) -> str:
    return f"2018-{3 + number // 28:02d}-{1 + number % 28:02d}"


def registry(lakehouse: Lakehouse, *statuses: str) -> set[str]:
    rows = lakehouse.query("select uri from ops.lake_file where status = any(:s)", s=list(statuses))
    return {uri for (uri,) in rows}


def assert_nothing_is_unknown(lakehouse: Lakehouse) -> None:
    """Every object is in the registry, and everything that the registry shows to readers is there."""
    objects = lakehouse.objects()
    assert objects - registry(lakehouse, "staged", "live", "replaced") == set()
    assert registry(lakehouse, "live", "replaced") - objects == set()


def assert_nothing_is_left_over(lakehouse: Lakehouse) -> None:
    """There is no object but those of tables, and those that were replaced a while ago."""
    assert registry(lakehouse, "staged") == set()
    assert lakehouse.objects() == registry(lakehouse, "live", "replaced")


def live_files(lakehouse: Lakehouse) -> dict[tuple[str, str], set[str]]:
    """(layer, table) → its data files, as the registry has them."""
    found: dict[tuple[str, str], set[str]] = {}
    for layer, table, uri in lakehouse.query(
        "select layer, table_name, uri from ops.lake_file where status = 'live' and kind in ('changed', 'carried')"
    ):
        found.setdefault((layer, table), set()).add(uri)
    return found


def silver_files(lakehouse: Lakehouse) -> set[str]:
    """The data files of the table and of its history, which are replaced together."""
    found = live_files(lakehouse)
    return set[str]().union(*(found["silver", table] for table in lakehouse.tables("silver")))


def assert_iceberg_agrees(lakehouse: Lakehouse) -> None:
    """The tables of the lake consist of the live files, and of the metadata that the registry has as live."""
    catalog, files = lakehouse.homes.catalog(), live_files(lakehouse)
    metadata = set()
    tables = [tuple(identifier.split(".")) for identifier in table_schemas(lakehouse.project)]
    copies = {t: layer for t, (layer, *_) in masked.personal_tables(lakehouse.project).items()}
    for namespace, table in [*tables, *(("masked", table) for table in copies)]:
        loaded = catalog.load_table(f"{namespace}.{table}")
        named = {task.file.file_path for task in loaded.scan().plan_files()}
        if namespace == "masked":
            originals = files.get((copies[table], table), set())
            assert named == {masked.twin(lakehouse.homes, copies[table], uri) for uri in originals}
            assert named <= registry(lakehouse, "live")
        else:
            assert named == files.get((namespace, table), set())
        metadata.add(loaded.metadata_location)
        if current := loaded.current_snapshot():
            metadata |= {current.manifest_list, *(m.manifest_path for m in current.manifests(loaded.io))}
    live = "select uri from ops.lake_file where status = 'live' and kind = 'metadata'"
    assert {uri for (uri,) in lakehouse.query(live)} == metadata


def test_preparing_and_loading_leave_nothing_that_is_unknown(alone: Lakehouse) -> None:
    warehouse.prepare(alone.homes, alone.project)
    assert_nothing_is_unknown(alone)
    alone.load(small_shop())
    delivery = small_shop(5).only_orders(3, 5)
    delivery.order(3)["order_status"] = "shipped"
    alone.load(delivery, NEXT_DAY)
    assert_nothing_is_unknown(alone)
    assert_nothing_is_left_over(alone)
    assert_iceberg_agrees(alone)


def test_whatever_kills_a_run_every_object_is_known_and_the_next_publish_tidies_up(
    sellers: Lakehouse,
) -> None:
    sellers.load(seller(1, 2))
    sellers.load(seller(2, 3, city="campinas"), NEXT_DAY, "bronze")
    for layer in ("silver", "gold"):
        sellers.plan(layer, NEXT_DAY)
        table = sellers.tables(layer)[0]
        be_killed(sellers, "stage", layer, "insert into ops.lake_file", table)
        be_killed(sellers, "stage", layer, "insert into ops.agreement", table)
        assert_nothing_is_unknown(sellers)
        assert registry(sellers, "staged")
        sellers.stage(layer, NEXT_DAY)
        sellers.gate(layer, NEXT_DAY)
        for at in ("update iceberg_tables", "commit"):
            before = registry(sellers, "staged")
            be_killed(sellers, "publish", layer, at)
            assert_nothing_is_unknown(sellers)
            # Manifest, manifest list and metadata.
            assert len(registry(sellers, "staged") - before) >= 3
        # Killed after the COMMIT, while it tidies up.
        run = sellers.process(KILLED_WHILE_SWEEPING, layer, NEXT_DAY)
        assert run.returncode == -signal.SIGKILL, run.stderr
        assert registry(sellers, "live", "replaced") <= sellers.objects()
        assert sellers.objects() <= registry(sellers, "staged", "live", "replaced")
        event = sellers.publish(layer, NEXT_DAY)
        assert set(event["row_counts"]) == set(sellers.tables(layer))
        # Of the history: the state of seller 2 that ended, and two that began.
        assert layer != "silver" or event["row_counts"] == {table: 2, f"{table}_history": 3}
    sellers.load(seller(4), day(5))
    assert_nothing_is_left_over(sellers)
    assert_iceberg_agrees(sellers)
    assert sellers.value("select count(*) from ods.olist_sellers") == 4


KILLED_WHILE_SWEEPING = """
import os, signal, sys
from lakehouse.contract import Project
from lakehouse.home import lake
from lakehouse.home.homes import Homes
from lakehouse.layer import flow

delete = lake.delete_objects

def delete_and_die(homes, uris):
    delete(homes, uris)
    os.kill(os.getpid(), signal.SIGKILL)

lake.delete_objects = delete_and_die
flow.publish(Homes.open(), Project.load(), "olist", *sys.argv[1:])
"""


def test_two_publishes_that_were_prepared_on_the_same_table_both_count(sellers: Lakehouse) -> None:
    """Both have written a commit that begins where the first load ends; who comes second writes another one."""
    sellers.load(seller(1), upto="bronze")
    days = [day(1), day(2)]
    for number, key in enumerate(days, start=2):
        sellers.land(seller(number), key)
        sellers.prepare("bronze", key)
    waiting = (
        "select count(*) from pg_locks where locktype = 'advisory' and not granted "
        "and database = (select oid from pg_database where datname = current_database())"
    )
    with sellers.homes.engine.connect() as conn, ThreadPoolExecutor(2) as both:
        warehouse.lock(conn, "olist", "bronze")
        publishing = [both.submit(sellers.publish, "bronze", key) for key in days]
        deadline = time.monotonic() + 40
        while sellers.value(waiting) < 2:
            assert time.monotonic() < deadline and not any(p.done() for p in publishing)
            time.sleep(0.05)
        prepared = "select count(*) from ops.lake_file where status = 'staged' and kind = 'metadata'"
        # Manifest, manifest list and metadata, for each.
        assert sellers.query(f"{prepared} group by publish_id") == [(3,), (3,)]
        conn.rollback()
        events = [p.result() for p in publishing]
    assert [e["row_counts"] for e in events] == [{"olist_sellers": 1}] * 2
    assert sellers.value("select count(*) from raw.olist_sellers") == 3
    found = sellers.lake("bronze", "olist_sellers").sort_by("seller_id")
    assert found["seller_id"].to_pylist() == sorted(ident("seller", n) for n in (1, 2, 3))
    table = sellers.homes.catalog().load_table("bronze.olist_sellers")
    told = [s.summary and s.summary["lakehouse.partition-key"] for s in table.snapshots()]
    assert sorted(map(str, told)) == [DAY, *days]
    assert_nothing_is_left_over(sellers)
    assert_iceberg_agrees(sellers)


def test_the_tidying_up_that_was_missed_is_made_up_for(sellers: Lakehouse) -> None:
    """Rejected by the gate, planned again, given up: what was staged goes with the next publish."""
    sellers.load(seller(1, 2))
    sellers.load(seller(3), NEXT_DAY, "bronze")
    for _ in range(2):
        sellers.prepare("silver", NEXT_DAY)
    assert len(registry(sellers, "staged")) >= 2
    sellers.publish("silver", NEXT_DAY)
    assert_nothing_is_left_over(sellers)


def test_replaced_files_stay_as_long_as_snapshots_show_them(
    sellers: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(iceberg, "KEEP_SNAPSHOTS", 3)
    everybody = range(1, 5)
    states: list[set[str]] = []
    for number in range(8):
        sellers.load(seller(*everybody, city=f"cidade {number}"), day(number))
        states.append(live_files(sellers)["silver", "olist_sellers"])
        table = sellers.homes.catalog().load_table("silver.olist_sellers")
        assert len(table.snapshots()) == min(number + 1, 3)
        # All that can be travelled back to can be read.
        for back, snapshot in enumerate(
            sorted(table.snapshots(), key=lambda s: s.sequence_number or 0, reverse=True)
        ):
            cities = table.scan(snapshot_id=snapshot.snapshot_id).to_arrow()["city"].to_pylist()
            assert set(cities) == {f"cidade {number - back}"}
        assert_nothing_is_unknown(sellers)
    objects = sellers.objects()
    assert [state <= objects for state in states] == [False] * 4 + [True] * 4
    assert_nothing_is_left_over(sellers)


def test_files_that_an_open_run_has_pinned_are_not_deleted(
    sellers: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(iceberg, "KEEP_SNAPSHOTS", 1)
    sellers.load(seller(1, 2))
    sellers.load(seller(1, 2, city="campinas"), day(1), "silver")
    sellers.plan("gold", day(1))
    pinned = silver_files(sellers)
    for number in range(2, 7):
        sellers.load(seller(1, 2, city=f"cidade {number}"), day(number), "silver")
    assert pinned <= sellers.objects()
    assert pinned <= registry(sellers, "replaced")
    for step in (sellers.stage, sellers.gate, sellers.publish):
        step("gold", day(1))
    assert sellers.query("select distinct city from gold.dim_seller where is_current") == [("campinas",)]
    # The next run of gold compares with them; after it nobody needs them.
    sellers.run_layer("gold", day(6))
    assert sellers.query("select distinct city from gold.dim_seller where is_current") == [("cidade 6",)]
    sellers.load(seller(1, 2, city="natal"), day(7))
    sellers.load(seller(1, 2, city="belem"), day(8))
    assert not pinned & sellers.objects()
    assert_nothing_is_left_over(sellers)


def test_files_that_gold_has_seen_are_not_deleted_while_it_is_paused(
    sellers: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often silver publishes meanwhile: what gold has seen last is what changes are found by."""
    monkeypatch.setattr(iceberg, "KEEP_SNAPSHOTS", 1)
    sellers.load(seller(1, 2, 3))
    seen = silver_files(sellers)
    for number in range(1, 6):
        sellers.load(seller(1, 2, city=f"cidade {number}"), day(number), "silver")
    # Seller 3 is taken back by a correction of the first delivery.
    sellers.load(seller(1, 2), DAY, "silver")
    assert seen <= sellers.objects()
    sellers.plan("gold", day(6))
    with sellers.homes.engine.connect() as conn:
        run = latest_run(conn, "olist", "gold", day(6))
        assert run is not None
        inputs = Inputs(conn, sellers.project, run)
        before = [f.uri for table in sellers.tables("silver") for f in inputs.before("silver", table)]
    assert set(before) == seen
    for step in (sellers.stage, sellers.gate, sellers.publish):
        step("gold", day(6))
    assert_nothing_is_unknown(sellers)


#: A few more than the snapshots and versions of metadata that are kept.
DELIVERIES = 24


def bounded(lakehouse: Lakehouse) -> dict[str, int]:
    """What must not grow with the number of deliveries."""
    catalog = lakehouse.homes.catalog()
    found = {}
    for layer, table in (("silver", "olist_sellers"), ("gold", "dim_seller"), ("bronze", "olist_sellers")):
        loaded = catalog.load_table(f"{layer}.{table}")
        current = loaded.current_snapshot()
        assert current is not None
        found[f"{layer} files"] = len(live_files(lakehouse)[layer, table])
        found[f"{layer} manifests"] = len(current.manifests(loaded.io))
        found[f"{layer} snapshots"] = len(loaded.snapshots())
        found[f"{layer} metadata"] = len(loaded.metadata.metadata_log)
    return found


def test_many_tiny_deliveries_leave_few_files(sellers: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stage._SMALL_FILES < 50
    # Sooner than in earnest, so that fewer deliveries show it.
    monkeypatch.setattr(stage, "_SMALL_FILES", 8)
    most: dict[str, int] = {}
    for number in range(DELIVERIES):
        sellers.load(seller(number), day(number))
        if number > DELIVERIES // 2:
            most = {name: max(n, most.get(name, 0)) for name, n in bounded(sellers).items()}
    for layer in ("silver", "gold"):
        assert most[f"{layer} files"] <= 8
    for layer in ("bronze", "silver", "gold"):
        assert most[f"{layer} manifests"] <= 8
        assert most[f"{layer} snapshots"] == iceberg.KEEP_SNAPSHOTS
        assert most[f"{layer} metadata"] <= iceberg.KEEP_SNAPSHOTS
    # Files of bronze are what was landed; they are kept as they are.
    assert most["bronze files"] == DELIVERIES
    assert sellers.value("select count(*) from ods.olist_sellers") == DELIVERIES
    for layer, table in (("silver", "olist_sellers"), ("gold", "dim_seller")):
        assert sellers.lake(layer, table).num_rows == DELIVERIES  # type: ignore[arg-type]
    assert_nothing_is_left_over(sellers)
    assert_iceberg_agrees(sellers)
    # Without merging, each delivery leaves a file.
    monkeypatch.setattr(stage, "_SMALL_FILES", 10_000)
    before = bounded(sellers)["silver files"]
    for number in range(DELIVERIES, DELIVERIES + 3):
        sellers.load(seller(number), day(number), "silver")
    assert bounded(sellers)["silver files"] == before + 3
