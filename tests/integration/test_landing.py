"""Landing on a real object store: complete or invisible, idempotent, superseding, split by day."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse.contract import Project
from lakehouse.errors import FileDefect, LakehouseError
from lakehouse.home.homes import Homes
from lakehouse.landing import sample_avazu, sample_olist
from lakehouse.landing.delimited import read_batches
from lakehouse.landing.deliver import LandingReport, land
from lakehouse.landing.manifest import Manifest, list_partitions, read_manifest
from lakehouse.landing.stream import Digest

pytestmark = pytest.mark.servers
DAY = "2018-10-17"


@pytest.fixture(scope="module")
def project() -> Project:
    return Project.load()


@pytest.fixture
def olist(tmp_path: Path) -> Path:
    sample_olist.write_sample(tmp_path / "olist", orders=500)
    return tmp_path / "olist"


@pytest.fixture
def avazu(tmp_path: Path) -> Path:
    sample_avazu.write_sample(tmp_path / "avazu", rows=3_000)
    return tmp_path / "avazu"


def manifest_of(homes: Homes, source: str = "olist", day: str = DAY) -> Manifest:
    found = read_manifest(homes.s3_client(), homes.bucket, source, day)
    assert found is not None
    return found


def stored(homes: Homes, key: str) -> bytes:
    return homes.s3_client().get_object(Bucket=homes.bucket, Key=key)["Body"].read()


def keys(homes: Homes) -> dict[str, str]:
    listed = homes.s3_client().list_objects_v2(Bucket=homes.bucket).get("Contents", [])
    return {entry["Key"]: entry["LastModified"].isoformat() + entry["ETag"] for entry in listed}


def one(reports: list[LandingReport]) -> LandingReport:
    assert len(reports) == 1
    return reports[0]


def test_the_delivery_is_dated_by_its_last_purchase_and_holds_the_very_bytes(
    homes: Homes, project: Project, olist: Path
) -> None:
    report = one(land(homes, project, "olist", olist))
    assert (report.partition_key, report.action, len(report.uploaded)) == (DAY, "landed", 9)
    manifest = manifest_of(homes)
    assert {f.table for f in manifest.files} == {c.name for c in project.tables("olist")}
    for file in manifest.files:
        contract = project.contracts[f"olist_{file.table}"]
        assert file.key == f"landing/olist/dt={DAY}/{contract.file_name}"
        assert stored(homes, file.key) == (olist / contract.file_name).read_bytes()
        digest = Digest()
        body = homes.s3_client().get_object(Bucket=homes.bucket, Key=file.key)["Body"]
        rows = sum(b.num_rows for b in read_batches(body, contract, file.key, digest))
        assert (digest.sha256, digest.size) == (file.sha256, file.bytes)
        assert rows == next(f.rows for f in report.files if f.table == file.table)


def test_the_same_bytes_again_change_nothing(homes: Homes, project: Project, olist: Path) -> None:
    land(homes, project, "olist", olist)
    before = keys(homes)
    report = one(land(homes, project, "olist", olist))
    assert (report.action, report.uploaded) == ("already landed", ())
    assert keys(homes) == before


def test_other_bytes_supersede_and_only_changed_files_travel(
    homes: Homes, project: Project, olist: Path
) -> None:
    land(homes, project, "olist", olist)
    first = manifest_of(homes)
    sellers = olist / "olist_sellers_dataset.csv"
    sellers.write_bytes(sellers.read_bytes() + b"f" * 32 + b",01000,sao paulo,SP\n")
    report = one(land(homes, project, "olist", olist))
    assert (report.action, report.uploaded) == ("superseded", (sellers.name,))
    second = manifest_of(homes)
    changed = [a.table for a, b in zip(first.files, second.files, strict=True) if a.sha256 != b.sha256]
    assert changed == ["sellers"]
    assert second.file("sellers").bytes == sellers.stat().st_size  # type: ignore[union-attr]


def test_a_file_that_is_now_compressed_leaves_no_second_copy(
    homes: Homes, project: Project, olist: Path
) -> None:
    land(homes, project, "olist", olist)
    plain = olist / "olist_sellers_dataset.csv"
    (olist / f"{plain.name}.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    land(homes, project, "olist", olist)
    prefix = f"landing/olist/dt={DAY}/"
    assert {k for k in keys(homes) if "sellers" in k} == {f"{prefix}{plain.name}.gz"}


def test_broken_files_are_all_named_and_nothing_is_uploaded(
    homes: Homes, project: Project, olist: Path
) -> None:
    orders, sellers = olist / "olist_orders_dataset.csv", olist / "olist_sellers_dataset.csv"
    orders.write_bytes(orders.read_bytes() + b'x,y,"delivered')
    sellers.write_bytes(b"")
    with pytest.raises(FileDefect) as caught:
        land(homes, project, "olist", olist)
    message = str(caught.value)
    assert "olist_orders_dataset.csv, line 502, column order_status: the quote opened here" in message
    assert "olist_sellers_dataset.csv, line 1: the file is empty" in message
    assert keys(homes) == {}


def test_missing_files_are_named_with_where_to_get_them(
    homes: Homes, project: Project, olist: Path, tmp_path: Path
) -> None:
    (olist / "olist_orders_dataset.csv").unlink()
    with pytest.raises(FileDefect, match=r"olist_orders_dataset.csv: the file is missing") as caught:
        land(homes, project, "olist", olist)
    assert "kaggle.com/datasets/olistbr/brazilian-ecommerce" in caught.value.hint
    with pytest.raises(FileDefect, match="There is no file of avazu"):
        land(homes, project, "avazu", tmp_path)
    assert keys(homes) == {}


def test_the_date_may_be_given_and_must_be_one(homes: Homes, project: Project, olist: Path) -> None:
    land(homes, project, "olist", olist, "2018-10-20")
    assert list_partitions(homes.s3_client(), homes.bucket, "olist") == ["2018-10-20"]
    with pytest.raises(LakehouseError, match="not a date"):
        land(homes, project, "olist", olist, "20.10.2018")


def test_progress_is_told_in_bytes_up_to_the_whole(homes: Homes, project: Project, olist: Path) -> None:
    heard: dict[str, tuple[int, int]] = {}
    land(
        homes, project, "olist", olist, progress=lambda what, done, total: heard.update({what: (done, total)})
    )
    for contract in project.tables("olist"):
        size = (olist / contract.file_name).stat().st_size
        assert heard[f"check {contract.file_name}"] == (size, size)
        assert heard[f"upload dt={DAY}/{contract.file_name}"] == (size, size)


_KILLED_WHILE_UPLOADING = """
import os, signal, sys
from pathlib import Path
from lakehouse.contract import Project
from lakehouse.home.homes import Homes
from lakehouse.landing.deliver import land

started = set()
def progress(what, done, total):
    if what.startswith("upload"):
        started.add(what)
    if len(started) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

land(Homes.open(), Project.load(), "olist", Path(sys.argv[1]), progress=progress)
"""


def land_and_be_killed(homes: Homes, folder: Path, at_upload: int) -> None:
    settings = {
        "LAKEHOUSE_PG_DSN": homes.engine.url.render_as_string(hide_password=False),
        "LAKEHOUSE_S3_ENDPOINT": homes.s3.endpoint,
        "LAKEHOUSE_BUCKET": homes.bucket,
        "LAKEHOUSE_ACCESS_KEY": homes.s3.access_key,
        "LAKEHOUSE_SECRET_KEY": homes.s3.secret_key,
        "TMPDIR": str(folder.parent),  # a killed process cannot tidy up
    }
    run = subprocess.run(
        [sys.executable, "-c", _KILLED_WHILE_UPLOADING, str(folder), str(at_upload)],
        env=os.environ | settings,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL


def test_killed_between_uploads_leaves_no_delivery_and_the_next_try_completes_it(
    homes: Homes, project: Project, olist: Path
) -> None:
    land_and_be_killed(homes, olist, at_upload=4)
    assert len(keys(homes)) >= 3
    assert read_manifest(homes.s3_client(), homes.bucket, "olist", DAY) is None
    assert list_partitions(homes.s3_client(), homes.bucket, "olist") == []
    assert one(land(homes, project, "olist", olist)).action == "landed"
    assert len(manifest_of(homes).files) == 9


def test_killed_while_superseding_leaves_no_manifest_of_a_mixture(
    homes: Homes, project: Project, olist: Path
) -> None:
    land(homes, project, "olist", olist)
    for name in ("olist_sellers_dataset.csv", "olist_customers_dataset.csv"):
        (olist / name).write_bytes((olist / name).read_bytes().rstrip(b"\n"))
    land_and_be_killed(homes, olist, at_upload=2)
    assert read_manifest(homes.s3_client(), homes.bucket, "olist", DAY) is None
    land(homes, project, "olist", olist)
    for file in manifest_of(homes).files:
        assert len(stored(homes, file.key)) == file.bytes


def test_a_damaged_manifest_is_told_with_what_to_do(homes: Homes) -> None:
    key = f"landing/olist/dt={DAY}/_manifest.json"
    homes.s3_client().put_object(Bucket=homes.bucket, Key=key, Body=json.dumps({"source": "olist"}).encode())
    with pytest.raises(LakehouseError, match="is not a manifest") as caught:
        read_manifest(homes.s3_client(), homes.bucket, "olist", DAY)
    assert "lakehouse land olist" in caught.value.hint


def rows_of(homes: Homes, project: Project, day: str) -> pa.Table:
    file = manifest_of(homes, "avazu", day).files[0]
    data = io.BytesIO(stored(homes, file.key))
    contract = project.contracts["avazu_impressions"]
    return pa.Table.from_batches(read_batches(data, contract, file.key)).drop_columns(["_source_line"])


def test_events_become_one_delivery_per_day_without_losing_a_row(
    homes: Homes, project: Project, avazu: Path
) -> None:
    reports = land(homes, project, "avazu", avazu)
    assert [(r.partition_key, r.action) for r in reports] == [
        ("2014-10-21", "landed"),
        ("2014-10-22", "landed"),
    ]
    contract = project.contracts["avazu_impressions"]
    whole = pa.Table.from_batches(read_batches(avazu / "train.gz", contract, "train.gz"))
    whole = whole.drop_columns(["_source_line"])
    days = [rows_of(homes, project, r.partition_key) for r in reports]
    assert pa.concat_tables(days).equals(whole)
    for day, text in zip(days, ("141021", "141022"), strict=True):
        assert {str(h)[:6] for h in day["hour"].to_pylist()} == {text}


def test_events_again_change_nothing_also_from_a_plain_or_shuffled_file(
    homes: Homes, project: Project, avazu: Path
) -> None:
    land(homes, project, "avazu", avazu)
    assert {r.action for r in land(homes, project, "avazu", avazu)} == {"already landed"}
    lines = gzip.decompress((avazu / "train.gz").read_bytes()).splitlines(keepends=True)
    (avazu / "train.gz").unlink()
    first = [row for row in lines[1:] if b",141021" in row]
    second = [row for row in lines[1:] if b",141022" in row]
    # Days interleave; within a day the order is kept.
    mixed = [lines[0], *second[:5], *first[:700], *second[5:], *first[700:]]
    (avazu / "train").write_bytes(b"".join(mixed))
    assert {r.action for r in land(homes, project, "avazu", avazu)} == {"already landed"}


def test_one_day_of_the_events_can_be_landed_alone(homes: Homes, project: Project, avazu: Path) -> None:
    assert one(land(homes, project, "avazu", avazu, "2014-10-22")).partition_key == "2014-10-22"
    assert list_partitions(homes.s3_client(), homes.bucket, "avazu") == ["2014-10-22"]
    with pytest.raises(LakehouseError, match="no row of 2014-11-01"):
        land(homes, project, "avazu", avazu, "2014-11-01")


def test_a_cut_off_download_is_refused(homes: Homes, project: Project, avazu: Path) -> None:
    data = (avazu / "train.gz").read_bytes()
    (avazu / "train.gz").write_bytes(data[: len(data) - 1_000])
    with pytest.raises(FileDefect, match=r"train\.gz: the gzip file is cut off"):
        land(homes, project, "avazu", avazu)
    assert keys(homes) == {}


@pytest.mark.parametrize("hour", ["14102124", "14133100", "2014-10-21", ""])
def test_a_row_without_a_readable_hour_is_named(
    homes: Homes, project: Project, avazu: Path, hour: str
) -> None:
    lines = gzip.decompress((avazu / "train.gz").read_bytes()).splitlines(keepends=True)
    fields = lines[10].split(b",")
    lines[10] = b",".join([*fields[:2], hour.encode(), *fields[3:]])
    (avazu / "train.gz").write_bytes(gzip.compress(b"".join(lines)))
    with pytest.raises(
        FileDefect, match=r"line 11, column hour: (an impossible value: .* yyMMddHH|no value)"
    ):
        land(homes, project, "avazu", avazu)
    assert keys(homes) == {}


def test_what_the_store_answers_is_told_in_one_sentence(homes: Homes, project: Project, olist: Path) -> None:
    stranger = replace(homes, s3=replace(homes.s3, secret_key="wrong-" * 4))
    with pytest.raises(
        LakehouseError, match=r"The object store at http://127\.0\.0\.1:\d+ did not take"
    ) as caught:
        land(stranger, project, "olist", olist)
    assert "lakehouse status" in caught.value.hint
