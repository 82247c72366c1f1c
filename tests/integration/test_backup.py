"""A lakehouse is backed up while it works, is lost, is restored, and goes on as if nothing had been."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest

from lakehouse.backup.keep import tidy, verify
from lakehouse.backup.places import Bucket, Folder
from lakehouse.backup.records import backups, object_name, read_sums
from lakehouse.contract import Project
from lakehouse.contract.model import LAYERS, SCHEMAS
from lakehouse.errors import LakehouseError
from lakehouse.home import expiry, iceberg, lake, warehouse
from lakehouse.home.homes import Homes
from lakehouse.home.settings import Settings
from lakehouse.stack import postgres
from lakehouse.stack.postgres import ANALYST, LOADER, PostgresServer
from lakehouse.stack.s3 import S3Server

from ..conftest import empty_and_delete
from ..support.lakehouse import Lakehouse
from ..support.olist import DAY, NEXT_DAY, Delivery, small_shop
from .backup_support import Backed, Eventful, copied
from .stack_support import Notes

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def first(
    pg_server: PostgresServer,
    s3_server: S3Server,
    flow_project: Project,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Backed]:
    """`small_shop()` up to gold, and one backup of it."""
    name, folder = f"backed-{uuid.uuid4().hex[:12]}", tmp_path_factory.mktemp("backed")
    database = name.replace("-", "_")
    postgres.create_database(pg_server, database, LOADER)
    settings = {
        "pg_dsn": pg_server.dsn(LOADER, database),
        "s3_endpoint": s3_server.endpoint,
        "bucket": name,
        "access_key": s3_server.access_key,
        "secret_key": s3_server.secret_key,
    }
    homes = Homes.open(Settings.model_validate(settings))
    homes.ensure_bucket()
    house = Lakehouse(homes, flow_project, folder / "files", analyst_dsn=pg_server.dsn(ANALYST, database))
    house.load(small_shop())
    (folder / "docs/validations").mkdir(parents=True)
    (folder / "docs/validations/a.html").write_text("a page")
    made = Backed(house, pg_server, Folder(folder / "backups"), Folder(folder / "docs"))
    made.backup()
    yield made
    homes.engine.dispose()
    postgres.drop_database(pg_server, database)
    empty_and_delete(homes)


@pytest.fixture
def backed(first: Backed, tmp_path: Path) -> Iterator[Backed]:
    """The lakehouse as it was at its first backup, whatever a test before has done to it."""
    yield replace(first, place=copied(first.place, tmp_path / "backups"))
    first.destroy()
    first.restore()


def changed_shop() -> Delivery:
    """The shop a day later: an order was canceled, and one is new."""
    shop = small_shop(5)
    shop.order(1)["order_status"] = "canceled"
    return shop


def test_what_was_lost_is_restored_and_takes_the_next_delivery(backed: Backed) -> None:
    house, made = backed.house, backups(backed.place)[0]
    before, objects, gold = house.served(), house.objects(), house.checksums("gold")
    house.load(changed_shop(), NEXT_DAY)
    after = {layer: house.checksums(layer) for layer in LAYERS}
    assert after["gold"] != gold

    backed.destroy()
    backed.restore(made)
    assert house.served() == before
    assert house.checksums("gold") == gold
    assert house.objects() == objects
    assert (backed.pages.root / "validations/a.html").read_text() == "a page"
    assert not warehouse.prepare(house.homes, house.project), "nothing is left to be made"
    for layer in LAYERS:
        for table in house.tables(layer):
            served = house.value(f"select count(*) from {SCHEMAS[layer]}.{table}")
            assert house.lake(layer, table).num_rows == served

    house.load(changed_shop(), NEXT_DAY)
    assert {layer: house.checksums(layer) for layer in LAYERS} == after


def test_a_deployment_that_the_environment_names_is_restored(backed: Backed, tmp_path: Path) -> None:
    pages, home = tmp_path / "docs", tmp_path / "none"
    named = {"LAKEHOUSE_HOME": str(home), "LAKEHOUSE_DATA_DOCS": str(pages)}
    script = (
        f"import os; os.environ |= {named!r};"
        f"from lakehouse.cli.main import app; app(['restore', {str(backed.place.root)!r}, '--json'])"
    )
    gold = backed.house.checksums("gold")
    refused = json.loads(backed.house.process(script).stdout)
    assert "is not empty" in refused["error"]["message"]
    backed.destroy()
    done = backed.house.process(script)
    assert done.returncode == 0, done.stderr
    [made] = backups(backed.place)
    told = {"backup": made.id, "copied_count": made.object_count, "copied_bytes": made.object_bytes}
    assert json.loads(done.stdout) == told
    assert backed.house.checksums("gold") == gold
    assert (pages / "validations/a.html").read_text() == "a page"
    assert not home.exists(), "no stack of a laptop was started"


def test_rights_are_restored_too(backed: Backed) -> None:
    backed.destroy()
    backed.restore()
    connection = psycopg2.connect(backed.house.analyst_dsn)
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from gold.kpi_daily")
        assert cursor.fetchone() != (0,)
        cursor.execute("select city from masked.olist_customers limit 1")
        assert cursor.fetchone() == ("***",)
        for closed in ("select city from ods.olist_customers", "select * from raw.olist_orders"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(closed)
            connection.rollback()
    connection.close()


def test_a_publish_and_a_sweep_in_flight_change_nothing_of_a_backup(
    backed: Backed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(iceberg, "KEEP_SNAPSHOTS", 1)  # what a publish replaces goes soon
    house = backed.house
    house.land(changed_shop(), NEXT_DAY)
    house.prepare("bronze", NEXT_DAY)  # at work, audited: staged in both homes
    before, registered = house.served(), registry(house)

    def work() -> None:
        house.publish("bronze", NEXT_DAY)
        house.run_layer("silver", NEXT_DAY)
        house.run_layer("gold", NEXT_DAY)
        for layer in LAYERS:
            assert expiry.sweep(house.homes, layer, house.tables(layer), keep=1) == 0
        assert registered <= house.objects()

    made = backed.backup(Eventful(backed.place.root, after_dump=work))
    after = {layer: house.checksums(layer) for layer in LAYERS}
    named = {f"s3://{house.homes.bucket}/{object_name(n)}" for n in read_sums(backed.place, made)}
    assert registered <= named
    # Left alone, the same sweep deletes what the backup was copying.
    for layer in LAYERS:
        expiry.sweep(house.homes, layer, house.tables(layer), keep=1)
    assert registered - house.objects()

    backed.destroy()
    backed.restore(made)
    assert house.served() == before
    assert house.value("select count(*) from ops.run where status in ('planned', 'audited')") == 0
    assert registry(house) == house.objects()
    house.run(NEXT_DAY)
    assert {layer: house.checksums(layer) for layer in LAYERS} == after


def registry(house: Lakehouse) -> set[str]:
    """What the ledger says that is in the lake, but for what is being staged."""
    return {uri for (uri,) in house.query("select uri from ops.lake_file where status <> 'staged'")}


def test_a_second_backup_copies_what_is_new_and_an_old_one_keeps_what_it_needs(backed: Backed) -> None:
    (old,) = backups(backed.place)
    masked = backed.house.value("select count(*) from ops.lake_file where kind = 'masked'")
    # Where the lakehouse itself was restored, these and the page may have other tokens; nothing else is copied again.
    assert backed.backup().copied_count <= masked + 1
    house, before = backed.house, backed.house.served()
    orders = f"landing/olist/dt={DAY}/olist_orders_dataset.csv"
    landed = store_bytes(house, orders)
    house.land(changed_shop())  # the same date: its landed files are replaced
    new = backed.backup()
    assert 0 < new.copied_count < new.object_count
    assert tidy(house.homes, backed.place, 2, lambda _: None) == [old.id]
    older, newer = backups(backed.place)
    assert newer == new
    verify(backed.place, older, Notes())
    backed.destroy()
    backed.restore(older)
    assert house.served() == before
    assert store_bytes(house, orders) == landed

    pool = set(backed.place.list("objects/"))
    assert tidy(house.homes, backed.place, 1, lambda _: None) == [older.id]
    assert set(backed.place.list("objects/")) == set(read_sums(backed.place, new)) < pool
    verify(backed.place, new, Notes())


def store_bytes(house: Lakehouse, key: str) -> bytes:
    return house.homes.s3_client().get_object(Bucket=house.homes.bucket, Key=key)["Body"].read()


def test_an_interrupted_backup_is_none_and_is_continued(backed: Backed, tmp_path: Path) -> None:
    empty = tmp_path / "new"
    with pytest.raises(KeyboardInterrupt):
        backed.backup(Eventful(empty, ctrl_c_after=20))
    place = Folder(empty)
    assert backups(place) == []
    assert not list(empty.rglob("*.part"))
    left = len(place.list("objects/"))
    assert left >= 10
    made = backed.backup(place)
    assert made.copied_count == made.object_count - left
    verify(place, made, Notes())
    assert tidy(backed.homes, place, None, lambda _: None) == []
    assert len(place.list("backups/")) == 3, "the half dump is gone"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in empty.rglob("*")}
    assert modes == {0o600, 0o700}


def test_a_full_disk_leaves_no_backup(backed: Backed, tmp_path: Path) -> None:
    script = (
        "import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"from lakehouse.cli.main import app; app(['backup', {str(tmp_path / 'small')!r}])"
    )
    done = backed.house.process(script)
    assert done.returncode == 1
    assert "lakehouse.dump could not be written" in done.stderr
    assert "run the same command again" in done.stderr
    assert backups(Folder(tmp_path / "small")) == []


def test_a_lost_or_changed_object_is_found(backed: Backed) -> None:
    (made,) = backups(backed.place)
    names = sorted(name for name in read_sums(backed.place, made) if name.endswith(".parquet"))
    changed, lost = backed.place.root / names[0], backed.place.root / names[1]
    data = bytearray(changed.read_bytes())
    data[len(data) // 2] ^= 1
    changed.write_bytes(data)
    with pytest.raises(LakehouseError, match=f"{names[0]} is not what was written"):
        verify(backed.place, made, Notes())
    before = backed.house.served()
    backed.destroy()
    with pytest.raises(LakehouseError, match=f"{names[0]} is not what was written"):
        backed.restore()
    with pytest.raises(LakehouseError, match="is being restored from the backup"):
        warehouse.prepare(backed.homes, backed.house.project)
    data[len(data) // 2] ^= 1
    changed.write_bytes(data)
    backed.restore()
    assert backed.house.served() == before

    lost.unlink()
    with pytest.raises(LakehouseError, match=f"{names[1]} is missing"):
        verify(backed.place, made, Notes())
    backed.destroy()
    with pytest.raises(LakehouseError, match=f"{names[1]} is missing"):
        backed.restore()
    assert backed.house.value("select to_regclass('ops.run') is null"), "nothing was begun"


def test_an_object_that_the_lake_lacks_is_told_and_nothing_is_called_a_backup(backed: Backed) -> None:
    house = backed.house
    uri = house.value("select min(uri) from ops.lake_file where kind = 'changed' and status = 'live'")
    lake.delete_objects(house.homes, [uri])
    with pytest.raises(LakehouseError, match="lacks 1 objects that the ledger names"):
        backed.backup()
    assert len(backups(backed.place)) == 1


def test_a_stack_that_holds_something_is_refused(backed: Backed) -> None:
    house, before = backed.house, backed.house.served()
    with pytest.raises(LakehouseError, match="is not empty: it holds 3 runs in its ledger"):
        backed.restore()
    assert house.served() == before
    with pytest.raises(LakehouseError, match="is of the bucket"):
        replace(backed, house=replace(house, homes=replace(house.homes, bucket="another"))).restore()
    backed.destroy()
    house.land(small_shop())
    with pytest.raises(LakehouseError, match="objects in its bucket, such as landing/"):
        backed.restore()


def test_a_stack_that_was_only_brought_up_is_filled_and_keeps_nothing_of_its_own(backed: Backed) -> None:
    house, before, objects = backed.house, backed.house.served(), backed.house.objects()
    backed.destroy()
    warehouse.prepare(house.homes, house.project)
    assert house.objects()
    backed.restore()
    assert house.served() == before
    assert house.objects() == objects


def test_an_interrupted_restore_is_continued(backed: Backed) -> None:
    before = backed.house.served()
    other = backed.backup()
    (made, _) = backups(backed.place)
    backed.destroy()
    with pytest.raises(KeyboardInterrupt):
        backed.restore(made, Eventful(backed.place.root, ctrl_c_after=20))
    with pytest.raises(LakehouseError, match=f"it holds the half of the backup {made.id}"):
        backed.restore(other)
    # Postgres was half filled when it broke off.
    backed.house.execute("create schema raw")
    backed.house.execute("create table raw.olist_orders (id text)")
    count, _ = backed.restore(made)
    assert 0 < count <= made.object_count - 10
    assert backed.house.served() == before


def test_backups_are_kept_in_a_bucket_too(backed: Backed, s3_server: S3Server) -> None:
    house, before = backed.house, backed.house.served()
    homes = replace(house.homes, bucket=f"{house.homes.bucket}-kept")
    homes.ensure_bucket()
    try:
        place = Bucket(homes.bucket, "lakehouse/", homes.s3)
        made = backed.backup(place)
        assert backed.backup(place).copied_count == 0
        assert tidy(homes, place, 1, lambda _: None) == [made.id]
        verify(place, backups(place)[0], Notes())
        backed.destroy()
        backed.restore(place=place)
        assert house.served() == before
    finally:
        empty_and_delete(homes)


def test_backups_of_another_lakehouse_are_left_alone(backed: Backed) -> None:
    backed.house.execute("update ops.setting set value = gen_random_uuid() where name = 'identity'")
    with pytest.raises(LakehouseError, match="holds backups of another lakehouse"):
        backed.backup()


def test_a_damaged_list_stops_no_new_backup_and_nothing_is_removed(backed: Backed) -> None:
    (old,) = backups(backed.place)
    (backed.place.root / old.path("SHA256SUMS")).write_text("")
    made = backed.backup()
    verify(backed.place, made, Notes())
    pool = backed.place.list("objects/")
    with pytest.raises(LakehouseError, match=f"{old.id} is damaged"):
        tidy(backed.homes, backed.place, 2, lambda _: None)
    assert backed.place.list("objects/") == pool
    assert tidy(backed.homes, backed.place, 1, lambda _: None) == [old.id]


def test_coreutils_check_a_backup(backed: Backed) -> None:
    (made,) = backups(backed.place)
    done = subprocess.run(
        ["sha256sum", "--check", "--quiet", made.path("SHA256SUMS")],
        cwd=backed.place.root,
        env=os.environ,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "")
