"""Copies of lake files on this machine: whole or not at all, bounded, for several processes, worthless to lose."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lakehouse.home import cache
from lakehouse.home.cache import FileCache

URI = "s3://lakehouse/lake/silver/olist_orders/data/1.parquet"


@pytest.fixture
def kept(tmp_path: Path) -> FileCache:
    """A cache that holds one file."""
    found = FileCache(tmp_path / "cache", 1 << 20)
    fetched = tmp_path / "fetched"
    fetched.write_bytes(b"as written")
    found.keep(URI, fetched)
    fetched.unlink()
    return found


def copies(folder: Path) -> list[Path]:
    """All copies in a cache."""
    return sorted((folder / "cache").glob("??/*"))


def test_what_was_fetched_once_is_there_for_the_next(kept: FileCache, tmp_path: Path) -> None:
    assert kept.take(URI, tmp_path / "mine")
    assert (tmp_path / "mine").read_bytes() == b"as written"
    assert not kept.take(URI.replace("1.parquet", "2.parquet"), tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("broken", [b"as writ", b"", b"as WRITTEN", b"as written and more"])
def test_a_copy_that_is_not_what_was_fetched_is_deleted(
    kept: FileCache, tmp_path: Path, broken: bytes
) -> None:
    [copy] = copies(tmp_path)
    copy.write_bytes(broken)
    assert not kept.take(URI, tmp_path / "mine")
    assert not (tmp_path / "mine").exists()
    assert copies(tmp_path) == []


def test_a_copy_that_is_deleted_stays_with_whoever_has_it(kept: FileCache, tmp_path: Path) -> None:
    assert kept.take(URI, tmp_path / "mine")
    kept.forget(URI)
    assert (tmp_path / "mine").read_bytes() == b"as written"
    assert not kept.take(URI, tmp_path / "again")


def test_losing_the_folder_costs_a_fetch_only(kept: FileCache, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "cache")
    assert not kept.take(URI, tmp_path / "mine")
    (tmp_path / "mine").write_bytes(b"fetched again")
    kept.keep(URI, tmp_path / "mine")  # nowhere to keep it: nothing happens
    after = FileCache(tmp_path / "cache", 1 << 20)
    after.keep(URI, tmp_path / "mine")
    assert after.take(URI, tmp_path / "next")


def test_a_folder_of_another_disk_or_nobodys_is_no_error(tmp_path: Path) -> None:
    found = FileCache(tmp_path / "cache", 1 << 20)
    (tmp_path / "cache").rmdir()
    (tmp_path / "cache").write_text("a file in the way")
    (tmp_path / "mine").write_bytes(b"fetched")
    found.keep(URI, tmp_path / "mine")
    assert not found.take(URI, tmp_path / "other")


def test_what_was_read_longest_ago_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_LOOK_S", 0)
    found = FileCache(tmp_path / "cache", 1000)
    for number in range(30):
        fetched = tmp_path / f"{number}"
        fetched.write_bytes(b"x" * 100)
        os.utime(fetched, (time.time() - 1000 + number, time.time() - 1000 + number))
        found.keep(f"{URI}{number}", fetched)
        assert sum(c.stat().st_size for c in copies(tmp_path)) <= 1000
        if number >= 2:
            assert found.take(f"{URI}2", tmp_path / f"again{number}")
    assert not found.take(f"{URI}3", tmp_path / "gone")
    assert found.take(f"{URI}29", tmp_path / "newest")


def test_what_nobody_reads_does_not_stay_for_ever(
    kept: FileCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_LOOK_S", 0)
    [copy] = copies(tmp_path)
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(copy, (two_days_ago, two_days_ago))
    (tmp_path / "new").write_bytes(b"new")
    kept.keep(f"{URI}2", tmp_path / "new")
    assert not kept.take(URI, tmp_path / "mine")
    assert kept.take(f"{URI}2", tmp_path / "other")


#: Keep, take and forget the same files as others do, in a cache that is too small for all of them.
USE = """
import sys
from pathlib import Path
from lakehouse.home import cache

cache._LOOK_S = 0
folder, worker = Path(sys.argv[1]), int(sys.argv[2])
found, taken = cache.FileCache(folder / "cache", 40_000), 0
for turn in range(150):
    number = turn % 7
    mine = folder / f"{worker}-{turn}"
    content = f"{number}".encode() * (1000 + 1500 * number)
    if found.take(f"s3://{number}", mine):
        taken += 1
        assert mine.read_bytes() == content
    else:
        mine.write_bytes(content)
        found.keep(f"s3://{number}", mine)
    mine.unlink()
    if turn % 10 == worker:
        found.forget(f"s3://{number}")
assert taken
"""


def test_several_processes_at_once_never_see_part_of_a_file(tmp_path: Path) -> None:
    workers = [subprocess.Popen([sys.executable, "-c", USE, str(tmp_path), str(n)]) for n in range(3)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert [p for p in (tmp_path / "cache").iterdir() if p.name.startswith(".")] == []


def test_nothing_is_kept_where_no_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAKEHOUSE_CACHE_FOLDER", raising=False)
    assert cache.local_cache() is None
    monkeypatch.setenv("LAKEHOUSE_CACHE_FOLDER", str(tmp_path / "cache"))
    assert cache.local_cache() is not None
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
