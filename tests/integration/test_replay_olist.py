"""A dump that is replayed ends as the same dump landed at once."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lakehouse.cli.main import app
from lakehouse.landing.deliver import land
from lakehouse.landing.manifest import list_partitions, read_manifest
from lakehouse.landing.replay_olist import write_deliveries
from lakehouse.landing.sample_olist import write_sample

from ..support.lakehouse import Lakehouse
from ..support.olist import small_shop
from ..support.templates import Templates

pytestmark = pytest.mark.servers


def test_a_replayed_dump_ends_as_one_that_was_landed_at_once(
    lakehouse: Lakehouse, loaded: Lakehouse, tmp_path: Path
) -> None:
    """But for the days since when something is said of products and sellers. The second delivery has empty files."""
    dump = small_shop().write(tmp_path / "dump", lakehouse.project)
    contracts = lakehouse.project.tables("olist")
    deliveries = write_deliveries(contracts, dump, tmp_path / "replay", "week")
    assert [d.partition_key for d in deliveries] == ["2018-02-04", "2018-02-22"]
    for delivery in deliveries:
        land(lakehouse.homes, lakehouse.project, "olist", delivery.folder, delivery.partition_key)
        lakehouse.run(delivery.partition_key)
    assert lakehouse.checksums("silver", "valid_from") == loaded.checksums("silver", "valid_from")
    assert lakehouse.checksums("gold") == loaded.checksums("gold")
    assert lakehouse.query("select * from ops.open_partition") == []
    # The same deliveries again are the ones that are there.
    for delivery in deliveries:
        [report] = land(lakehouse.homes, lakehouse.project, "olist", delivery.folder, delivery.partition_key)
        assert report.action == "already landed"


def test_the_sample_in_weekly_steps_ends_as_the_sample_at_once(
    lakehouse: Lakehouse, templates: Templates, tmp_path: Path
) -> None:
    """A catch-up of all before the summer, then week by week; gold is called now and then."""
    write_sample(tmp_path / "dump", 500)
    contracts = lakehouse.project.tables("olist")
    deliveries = write_deliveries(
        contracts, tmp_path / "dump", tmp_path / "replay", "week", first=date(2018, 7, 1)
    )
    assert len(deliveries) > 8
    for number, delivery in enumerate(deliveries, 1):
        land(lakehouse.homes, lakehouse.project, "olist", delivery.folder, delivery.partition_key)
        lakehouse.run(delivery.partition_key, "gold" if number % 5 == 0 else "silver")
    lakehouse.run_layer("gold", deliveries[-1].partition_key)
    with templates.empty() as once:
        [landed] = land(once.homes, once.project, "olist", tmp_path / "dump")
        once.run(landed.partition_key)
        for layer in ("silver", "gold"):
            # A history names the deliveries, of which there was only one.
            ours, theirs = (
                {t: rows for t, rows in shop.checksums(layer).items() if not t.endswith("_history")}
                for shop in (lakehouse, once)
            )
            assert ours == theirs


def test_the_command_lands_and_continues(alone: Lakehouse, tmp_path: Path) -> None:
    dump = small_shop().write(tmp_path / "dump", alone.project)
    arguments = ["--files", str(dump), "--step", "week", "--land-only", "--json"]
    first, second = (
        CliRunner().invoke(app, ["replay", "olist", *arguments], env=alone.environment()) for _ in range(2)
    )
    assert (first.exit_code, second.exit_code) == (0, 0), (first.output, second.output)
    told, again = json.loads(first.stdout), json.loads(second.stdout)
    assert [d["partition_key"] for d in told["deliveries"]] == ["2018-02-04", "2018-02-22"]
    assert [d["action"] for d in told["deliveries"]] == ["landed", "landed"]
    assert [d["action"] for d in again["deliveries"]] == ["already landed", "already landed"]
    assert told["run"] is None
    landed = list_partitions(alone.homes.s3_client(), alone.homes.bucket, "olist")
    assert sorted(landed) == ["2018-02-04", "2018-02-22"]
    manifest = read_manifest(alone.homes.s3_client(), alone.homes.bucket, "olist", "2018-02-22")
    assert manifest is not None
    assert {file.kind for file in manifest.files} == {"increment"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["avazu"], "is not replayed"),
        (["nothing"], "nothing"),
        (["olist", "--from", "yesterday"], "is not a date"),
        (["olist", "--from", "2030-01-01", "--land-only"], "nothing to replay"),
    ],
)
def test_what_cannot_be_replayed_is_told(
    arguments: list[str], message: str, alone: Lakehouse, tmp_path: Path
) -> None:
    dump = small_shop().write(tmp_path / "dump", alone.project)
    done = CliRunner().invoke(app, ["replay", *arguments, "--files", str(dump)], env=alone.environment())
    assert done.exit_code == 1
    assert message in done.stderr
    assert list_partitions(alone.homes.s3_client(), alone.homes.bucket, "olist") == []
