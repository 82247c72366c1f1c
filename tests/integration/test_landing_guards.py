"""What is sound as a file but must not be landed: days that cannot be, a delivery that loses its rows."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from lakehouse.contract import Project
from lakehouse.errors import FileDefect, LakehouseError
from lakehouse.home.homes import Homes
from lakehouse.landing.deliver import LandingReport, land
from lakehouse.landing.manifest import list_partitions, read_manifest

from ..support.olist import small_shop

pytestmark = pytest.mark.servers
DEFECTS = Path(__file__).parents[1] / "fixtures" / "defects" / "deliveries"
FIRST, SECOND = "2014-10-21", "2014-10-22"
HOUR, PURCHASE = "column hour", "column order_purchase_timestamp"

#: file: (place, value class, next step)
REFUSED = {
    "orders_in_2029.csv": (f"line 3, {PURCHASE}", "a future day", "--date YYYY-MM-DD"),
    "orders_on_9999_99_99.csv": (f"line 5, {PURCHASE}", "an impossible value", "--date YYYY-MM-DD"),
    "orders_on_a_day_of_no_month.csv": (f"line 5, {PURCHASE}", "written as yyyy-MM-dd", "--date YYYY-MM-DD"),
    "orders_in_1899.csv": (f"line 2, {PURCHASE}", "an ancient day: before 2000-01-01", "--date YYYY-MM-DD"),
    "orders_with_a_far_last_day.csv": (
        f"line 4, {PURCHASE}",
        "the last day, 2018-08-01, is 153 days after the one before it, 2018-03-01",
        "name the delivery's date: --date YYYY-MM-DD",
    ),
    "impressions_at_99123123.csv": (f"line 7, {HOUR}", "a future day", "Mend or remove the row"),
}
#: What comes after ``impressions.csv``, and what becomes of the two days.
SHRINKING = {
    "impressions_with_a_stray_row_of_another_day.csv": "5 rows are landed, this delivery has 1 ",
    "impressions_that_shrink.csv": "5 rows are landed, this delivery has 3 ",
}
TOLERATED = "impressions_that_shrink_as_tolerated.csv"


@pytest.fixture(scope="module")
def project() -> Project:
    return Project.load()


def place(name: str, folder: Path, project: Project) -> tuple[str, str]:
    """Put a fixture where a delivery's file belongs, with the others of its source; source and file name."""
    source = "olist" if name.startswith("orders") else "avazu"
    folder.mkdir(exist_ok=True)
    file = "train"
    if source == "olist":
        small_shop().write(folder, project)
        file = project.contracts["olist_orders"].file_name
    shutil.copyfile(DEFECTS / name, folder / file)
    return source, file


def deliver(
    homes: Homes,
    project: Project,
    folder: Path,
    name: str,
    day: str | None = None,
    *,
    allow_shrink: bool = False,
) -> list[LandingReport]:
    source, _ = place(name, folder, project)
    return land(homes, project, source, folder, day, allow_shrink=allow_shrink)


def objects(homes: Homes) -> dict[str, str]:
    listed = homes.s3_client().list_objects_v2(Bucket=homes.bucket).get("Contents", [])
    return {entry["Key"]: entry["LastModified"].isoformat() + entry["ETag"] for entry in listed}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_day_that_cannot_date_a_delivery_is_refused_with_its_place(
    homes: Homes, project: Project, tmp_path: Path, name: str
) -> None:
    where, what, step = REFUSED[name]
    source, file = place(name, tmp_path, project)
    with pytest.raises(FileDefect) as caught:
        land(homes, project, source, tmp_path)
    assert f"{file}, {where}: {what}" in str(caught.value) or (
        f"{file}, {where}:" in str(caught.value) and what in str(caught.value)
    )
    assert step in caught.value.hint
    assert objects(homes) == {}


@pytest.mark.parametrize("name", sorted(n for n in REFUSED if n.startswith("orders")))
def test_a_named_date_leaves_the_rows_of_entities_to_silver(
    homes: Homes, project: Project, tmp_path: Path, name: str
) -> None:
    [report] = deliver(homes, project, tmp_path, name, "2018-03-01")
    assert (report.partition_key, report.action) == ("2018-03-01", "landed")


def test_an_empty_purchase_dates_nothing(homes: Homes, project: Project, tmp_path: Path) -> None:
    shop = small_shop()
    shop.order(4)["order_purchase_timestamp"] = " "
    [report] = land(homes, project, "olist", shop.write(tmp_path, project))
    assert report.partition_key == "2018-02-03"


def test_a_named_date_is_judged_itself(homes: Homes, project: Project, tmp_path: Path) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    folder = small_shop().write(tmp_path, project)
    for day, problem in (
        (tomorrow + timedelta(days=2), "a future day"),
        (date(1999, 12, 31), "an ancient day"),
    ):
        with pytest.raises(LakehouseError, match=problem) as caught:
            land(homes, project, "olist", folder, day.isoformat())
        assert "Name the day of the delivery" in caught.value.hint
    assert objects(homes) == {}
    [report] = land(homes, project, "olist", folder, tomorrow.isoformat())
    assert report.partition_key == tomorrow.isoformat()


def test_landing_reads_a_day_as_silver_does(homes: Homes, project: Project, tmp_path: Path) -> None:
    """White space around a value is no part of it."""
    place("impressions.csv", tmp_path, project)
    text = (tmp_path / "train").read_text(encoding="utf-8")
    (tmp_path / "train").write_text(text.replace(",14102222,", ",\u00a014102222 ,"), encoding="utf-8")
    reports = land(homes, project, "avazu", tmp_path)
    assert [(r.partition_key, r.rows) for r in reports] == [(FIRST, 5), (SECOND, 5)]


@pytest.mark.parametrize("name", sorted(SHRINKING))
def test_a_delivery_that_loses_rows_is_refused_before_anything_is_uploaded(
    homes: Homes, project: Project, tmp_path: Path, name: str
) -> None:
    deliver(homes, project, tmp_path, "impressions.csv")
    before = objects(homes)
    with pytest.raises(LakehouseError) as caught:
        deliver(homes, project, tmp_path, name)
    assert f"avazu impressions {SECOND}: {SHRINKING[name]}" in caught.value.message
    assert "--allow-shrink" in caught.value.hint
    # The other day, which comes first and might have been landed, is untouched as well.
    assert objects(homes) == before


@pytest.mark.parametrize("name", sorted(SHRINKING))
def test_a_delivery_may_lose_rows_when_a_person_says_so(
    homes: Homes, project: Project, tmp_path: Path, name: str
) -> None:
    deliver(homes, project, tmp_path, "impressions.csv")
    deliver(homes, project, tmp_path, name, allow_shrink=True)
    manifest = read_manifest(homes.s3_client(), homes.bucket, "avazu", SECOND)
    assert manifest is not None and manifest.allow_shrink
    assert (manifest.files[0].rows or 0) < 5
    # The same again takes the permission back from nobody.
    before = objects(homes)
    assert {r.action for r in deliver(homes, project, tmp_path, name)} == {"already landed"}
    assert objects(homes) == before


def test_one_day_of_a_file_with_a_stray_row_can_be_landed_alone(
    homes: Homes, project: Project, tmp_path: Path
) -> None:
    deliver(homes, project, tmp_path, "impressions.csv")
    [report] = deliver(homes, project, tmp_path, "impressions_with_a_stray_row_of_another_day.csv", FIRST)
    assert (report.partition_key, report.action, report.rows) == (FIRST, "superseded", 5)
    assert list_partitions(homes.s3_client(), homes.bucket, "avazu") == [FIRST, SECOND]


def test_a_loss_within_the_tolerance_is_landed(homes: Homes, project: Project, tmp_path: Path) -> None:
    deliver(homes, project, tmp_path, "impressions.csv")
    reports = deliver(homes, project, tmp_path, TOLERATED)
    assert [(r.action, r.rows) for r in reports] == [("superseded", 4), ("superseded", 5)]


def test_every_fixture_has_its_verdict() -> None:
    names = {p.name for p in DEFECTS.iterdir()}
    assert names == REFUSED.keys() | SHRINKING.keys() | {"impressions.csv", TOLERATED}
