"""The bench of many deliveries compares an old stack with a young one, and tells what it finds on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lakehouse.cli import bench_many
from lakehouse.landing.sample_olist import write_sample
from lakehouse.stack.postgres import LOADER, PostgresServer, create_database, drop_database
from lakehouse.stack.s3 import S3Server

pytestmark = pytest.mark.servers


def test_the_same_delivery_is_measured_on_both_stacks(
    pg_server: PostgresServer, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_many, "YOUNG", 1)
    monkeypatch.setattr(bench_many, "PAIRS", 1)
    write_sample(tmp_path / "sample")
    names = ["bench_old", "bench_young_1", "bench_young_2"]
    for name in names:
        create_database(pg_server, name, LOADER)
    old, *young = [
        {
            "pg_dsn": pg_server.dsn(LOADER, name),
            "s3_endpoint": s3_server.endpoint,
            "bucket": name.replace("_", "-"),
            "access_key": s3_server.access_key,
            "secret_key": s3_server.secret_key,
        }
        for name in names
    ]
    try:
        figures = bench_many.many_deliveries(
            old, young, tmp_path / "sample", 3, narrow=True, progress=tmp_path / "progress"
        )
    finally:
        for name in names:
            drop_database(pg_server, name)
    lines = [json.loads(line) for line in (tmp_path / "progress").read_text().splitlines()]
    # One of a pair is the next delivery of the old stack.
    assert [line.get("delivery", line.get("checkpoint")) for line in lines] == [1, 2, 3, 4]
    compared = lines[-1]
    assert compared["old"]["rows written"] == compared["young"]["rows written"] > 0
    assert compared["size"]["ops.batch, rows"] == 2 * (1 + 4)
    assert compared["rows read more"] and compared["statements"][0] > 100
    assert figures["last to 10th"] == compared["ratio"]["cpu"] > 0
