"""Events, the other engine: a day of impressions from the landed file to gold."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lakehouse.landing.deliver import land
from lakehouse.landing.sample_avazu import write_sample

from ..support.lakehouse import Lakehouse

pytestmark = pytest.mark.servers
FIRST, SECOND = "2014-10-21", "2014-10-22"
LARGEST = 2**64 - 1


@pytest.fixture
def avazu(lakehouse: Lakehouse) -> Iterator[Lakehouse]:
    made = replace(lakehouse, source="avazu")
    write_sample(made.folder, rows=1_500)
    lines = gzip.decompress((made.folder / "train.gz").read_bytes()).decode().splitlines()
    # Ids at the edge of 64 unsigned bits.
    for place, number in ((1, LARGEST), (2, LARGEST - 1), (3, 2**63), (4, 0)):
        lines[place] = ",".join([str(number), *lines[place].split(",")[1:]])
    rewrite(made, lines)
    yield made


def rewrite(lakehouse: Lakehouse, lines: list[str]) -> None:
    (lakehouse.folder / "train.gz").write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))
    land(lakehouse.homes, lakehouse.project, "avazu", lakehouse.folder)


def landed(folder: Path) -> list[dict[str, str]]:
    with gzip.open(folder / "train.gz", "rt", newline="") as file:
        return list(csv.DictReader(file))


def of_day(rows: list[dict[str, str]], day: str) -> list[dict[str, str]]:
    return [r for r in rows if r["hour"].startswith(day[2:].replace("-", ""))]


def test_a_day_reaches_gold_with_every_bit_of_its_ids(avazu: Lakehouse) -> None:
    rows = landed(avazu.folder)
    for day in (FIRST, SECOND):
        avazu.run(day)
    ids = [int(i) for (i,) in avazu.query("select id from ods.avazu_impressions order by 1")]
    assert ids == sorted(int(r["id"]) for r in rows)
    assert ids[-1] == LARGEST and ids[0] == 0
    in_lake = avazu.lake("silver", "avazu_impressions")
    assert str(in_lake.schema.field("id").type) == "decimal128(20, 0)"
    assert sorted(int(str(i)) for i in in_lake["id"].to_pylist()) == ids
    expected = [
        (day, len(of_day(rows, day)), sum(int(r["click"]) for r in of_day(rows, day)))
        for day in (FIRST, SECOND)
    ]
    daily = "select hour_date::text, impression_count, click_count from gold.ctr_daily order by 1"
    assert avazu.query(daily) == expected
    assert avazu.value("select sum(impression_count) from gold.ctr_hourly") == len(rows)
    assert sorted((str(r["hour_date"]), r["impression_count"], r["click_count"]) for r in avazu.lake("gold", "ctr_daily").to_pylist()) == expected  # fmt: skip # noqa: E501


def test_a_day_delivered_again_is_replaced_and_the_others_are_not_touched(avazu: Lakehouse) -> None:
    for day in (FIRST, SECOND):
        avazu.run(day, "silver")
    other = avazu.query(
        "select xmin::text, id from ods.avazu_impressions where _partition_key = :d order by 2", d=SECOND
    )
    lines = gzip.decompress((avazu.folder / "train.gz").read_bytes()).decode().splitlines()
    rewrite(avazu, [lines[0], *lines[11:]])
    events = {day: avazu.run(day) for day in (FIRST, SECOND)}
    rows = landed(avazu.folder)
    assert avazu.value("select count(*) from ods.avazu_impressions") == len(rows)
    assert avazu.lake("silver", "avazu_impressions").num_rows == len(rows)
    assert events[SECOND]["silver"]["rows_written"] == 0
    assert (
        avazu.query(
            "select xmin::text, id from ods.avazu_impressions where _partition_key = :d order by 2", d=SECOND
        )
        == other
    )
    # Only the ten rows that are gone were touched.
    assert events[FIRST]["silver"]["rows_written"] == 10
    assert avazu.value("select impression_count from gold.ctr_daily where hour_date = :d", d=FIRST) == len(
        of_day(rows, FIRST)
    )
