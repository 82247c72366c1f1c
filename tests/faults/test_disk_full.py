"""No space left: on the machine of a task, under Postgres, under MinIO. Nothing is published; with space it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from lakehouse.engine.session import EngineSettings, open_session
from lakehouse.errors import DiskFull
from lakehouse.home.homes import Homes
from lakehouse.home.trouble import explained

from ..support.aftermath import Rows
from ..support.disk import SmallDisk
from .conftest import Victim

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(1800)]


def test_what_a_session_spills_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, homes: Homes
) -> None:
    little = EngineSettings(threads=1, memory="40MB")
    rows = "select i, md5(i::text) as a, md5((i + 1)::text) as b from range(1000000) as r(i) order by a"
    with SmallDisk.mounted(tmp_path / "spill", megabytes=8) as disk:
        monkeypatch.setattr("tempfile.tempdir", str(disk.folder))
        if disk.problem:
            pytest.skip(f"NOT TESTED: a full disk. Mounting a small one needs root: {disk.problem}")
        with pytest.raises(DiskFull, match=f"disk of this machine is full: .* below {disk.folder}") as told:
            open_and_compute(homes, little, rows)
        assert "TMPDIR" in told.value.hint
        assert list(disk.folder.iterdir()) == []
        assert open_and_compute(homes, little, "select * from range(10)") == 10


def open_and_compute(homes: Homes, settings: EngineSettings, query: str) -> int:
    with explained(homes), open_session(None, settings) as session:
        return session.table("made", query)


def test_no_space_for_what_a_task_fetches(victim: Victim, tmp_path: Path, undisturbed: Rows) -> None:
    victim.layer("bronze")
    victim.do("plan", "silver")
    served = victim.seen()
    with SmallDisk.mounted(tmp_path / "little", megabytes=1) as disk:
        victim.scratch, roomy = disk.folder, victim.scratch
        with disk.full():
            told = victim.fails("stage", "silver", "olist_orders")
        full = f"DiskFull: The disk of this machine is full: what a task fetches and spills is below {disk.folder}"
        assert full in told
        assert "→ Free space there" in told
        assert victim.seen() == served
        victim.do("stage", "silver", "olist_orders")
        assert list(disk.folder.iterdir()) == []
    victim.scratch = roomy
    victim.finish("stage", "silver")
    victim.assert_healed(undisturbed)


def test_no_space_under_postgres(victim: Victim, pg_disk: SmallDisk, undisturbed: Rows) -> None:
    victim.do("plan", "bronze")
    served = victim.seen()
    with pg_disk.full():
        told = victim.fails("stage", "bronze", "olist_orders")
    assert "DiskFull: The disk of the warehouse (Postgres at 127.0.0.1:" in told
    assert "→ Free space on the disk that holds its data" in told
    assert victim.seen() == served
    victim.finish("stage", "bronze")
    victim.assert_healed(undisturbed)


def test_no_space_under_minio(victim: Victim, store_disk: SmallDisk, undisturbed: Rows) -> None:
    victim.do("plan", "bronze")
    served = victim.seen()
    with store_disk.full():
        told = victim.fails("stage", "bronze", "olist_orders")
    assert "DiskFull: The disk of the object store at http://127.0.0.1:" in told
    assert "→ Free space on the disk that holds its data" in told
    wait_until_it_takes_objects(victim.lakehouse.homes)
    victim.stage("bronze")
    victim.do("gate", "bronze")
    with store_disk.full():
        told = victim.fails("publish", "bronze")
    assert "DiskFull: The disk of the object store" in told
    assert victim.seen() == served
    wait_until_it_takes_objects(victim.lakehouse.homes)
    victim.finish("publish", "bronze")
    victim.assert_healed(undisturbed)


def wait_until_it_takes_objects(homes: Homes) -> None:
    """MinIO asks its disk for the free space once a second."""
    client = homes.s3_client()
    refused = retry_if_exception_type(ClientError)
    for attempt in Retrying(retry=refused, stop=stop_after_delay(30), wait=wait_fixed(0.2), reraise=True):
        with attempt:
            client.put_object(Bucket=homes.bucket, Key="probe", Body=b"there is space")
            client.delete_object(Bucket=homes.bucket, Key="probe")
