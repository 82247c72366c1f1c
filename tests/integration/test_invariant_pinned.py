"""Invariant 12: a run reads what its plan pinned. Whoever publishes meanwhile, or wakes up late, changes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest

from lakehouse.contract import Project
from lakehouse.contract.model import LAYERS, Layer
from lakehouse.engine.session import Session, open_session
from lakehouse.errors import ContractError, StaleStage
from lakehouse.layer import flow
from lakehouse.layer.inputs import Inputs
from lakehouse.layer.ledger import begin_attempt, latest_run, mark_staged

from ..support.lakehouse import Lakehouse, copy_project
from ..support.olist import NEXT_DAY, Delivery, small_shop

THIRD_DAY, FOURTH_DAY, FIFTH_DAY = "2018-03-03", "2018-03-04", "2018-03-05"


def delivery_of(number: int, *, status: str = "shipped") -> Delivery:
    """A new order; another state, price and payment of order 3; another address of a seller."""
    delivery = small_shop(8).only_orders(3, number)
    delivery.order(3)["order_status"] = status
    for table, column in (("order_items", "price"), ("order_payments", "payment_value")):
        for row in delivery.rows(table):
            row[column] = f"{number}.10"
    delivery.rows("sellers")[0]["seller_city"] = f"cidade {number}"
    return delivery


def recomputing_everything_changes_nothing(lakehouse: Lakehouse, day: str) -> bool:
    """Whether gold is what silver makes of it."""
    flow.plan(lakehouse.homes, lakehouse.project, lakehouse.source, "gold", day, scope="everything")
    lakehouse.stage("gold", day)
    lakehouse.gate("gold", day)
    return bool(lakehouse.publish("gold", day)["rows_written"] == 0)


# ── Others publish while a run is at work


@pytest.mark.servers
def test_silver_of_the_next_days_changes_nothing_for_gold_that_is_at_work(
    loaded: Lakehouse, undisturbed: Lakehouse
) -> None:
    for made in (loaded, undisturbed):
        made.load(delivery_of(5), NEXT_DAY, "silver")
    undisturbed.run_layer("gold", NEXT_DAY)
    expected = undisturbed.checksums("gold")

    loaded.plan("gold", NEXT_DAY)
    loaded.load(delivery_of(6, status="canceled"), THIRD_DAY, "silver")
    tables = loaded.tables("gold")
    for table in tables[: len(tables) // 2]:
        flow.stage(loaded.homes, loaded.project, loaded.source, "gold", NEXT_DAY, table)
    # Superseded meanwhile: the files that gold reads are not the table's any more.
    loaded.load(delivery_of(6, status="unavailable"), THIRD_DAY, "silver")
    for table in tables[len(tables) // 2 :]:
        flow.stage(loaded.homes, loaded.project, loaded.source, "gold", NEXT_DAY, table)
    loaded.load(delivery_of(7), FOURTH_DAY, "silver")
    loaded.gate("gold", NEXT_DAY)
    loaded.load(delivery_of(8), FIFTH_DAY, "silver")
    loaded.publish("gold", NEXT_DAY)
    assert loaded.checksums("gold") == expected
    assert loaded.lake("gold", "fact_order").num_rows == 5

    # The next run takes up all the rest.
    loaded.run_layer("gold", FIFTH_DAY)
    assert loaded.value("select count(*) from gold.fact_order") == 8
    assert recomputing_everything_changes_nothing(loaded, FIFTH_DAY)


@pytest.mark.servers
def test_a_gold_run_that_another_has_overtaken_is_refused_and_completes_when_planned_again(
    loaded: Lakehouse,
) -> None:
    loaded.load(delivery_of(5), NEXT_DAY, "silver")
    loaded.prepare("gold", NEXT_DAY)
    loaded.load(delivery_of(6, status="canceled"), THIRD_DAY)
    served, history = (
        loaded.served(),
        loaded.query("select * from ops.last_publish order by layer, table_name"),
    )
    with pytest.raises(
        StaleStage, match=r"gold\.\w+ was published by another run since these rows were staged"
    ):
        loaded.publish("gold", NEXT_DAY)
    assert loaded.served() == served
    assert loaded.query("select * from ops.last_publish order by layer, table_name") == history
    assert loaded.value(
        "select status from ops.run where layer = 'gold' and partition_key = :d", d=NEXT_DAY
    ) == ("overtaken")
    # It is not published by trying again, and takes up what has come since when it is planned anew.
    with pytest.raises(StaleStage, match="another run has published since this one was planned"):
        loaded.publish("gold", NEXT_DAY)
    loaded.load(delivery_of(7), FOURTH_DAY, "silver")
    assert loaded.run_layer("gold", NEXT_DAY)["rows_written"] > 0
    assert loaded.value("select count(*) from gold.fact_order") == 7
    assert recomputing_everything_changes_nothing(loaded, FOURTH_DAY)


# ── Tasks that were given up, and go on


#: Stages a table; stands still right after the n-th statement that holds a text.
_ZOMBIE = """
import os, signal, sys
from sqlalchemy import event
from lakehouse.contract import Project
from lakehouse.home.homes import Homes
from lakehouse.layer import flow

layer, day, table, at = sys.argv[1:]
homes, project = Homes.open(), Project.load()
stopped = False

@event.listens_for(homes.engine, "after_cursor_execute")
def statement_done(conn, cursor, statement, *_):
    global stopped
    if not stopped and at in " ".join(statement.lower().split()):
        stopped = True
        os.kill(os.getpid(), signal.SIGSTOP)

flow.stage(homes, project, "olist", layer, day, table)
"""


@contextmanager
def zombie(lakehouse: Lakehouse, layer: Layer, table: str, at: str) -> Iterator[subprocess.Popen[str]]:
    """A process that stages a table and stands still in the midst of it."""
    process = lakehouse.start(_ZOMBIE, layer, NEXT_DAY, table, at)
    try:
        deadline = time.monotonic() + 90
        while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
            time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wakes_up(process: subprocess.Popen[str]) -> str:
    """Let it go on; what it says at its end, which is not a good one."""
    os.kill(process.pid, signal.SIGCONT)
    said, _ = process.communicate(timeout=90)
    assert process.returncode == 1, said
    return said


@pytest.mark.servers
@pytest.mark.parametrize(
    ("layer", "table", "at"),
    [
        ("bronze", "olist_orders", "insert into ops.agreement"),
        ("silver", "olist_orders", "insert into ops.lake_file"),
        ("silver", "olist_orders", "update ops.publish set attempt"),
        ("silver", "olist_orders", "update ops.publish set status = 'staged'"),
        ("gold", "fact_order", "update ops.lake_file set row_count"),
    ],
)
def test_a_stage_task_that_finishes_after_its_retry_was_published_changes_nothing(
    loaded: Lakehouse, layer: Layer, table: str, at: str
) -> None:
    loaded.land(delivery_of(5), NEXT_DAY)
    for before in LAYERS[: LAYERS.index(layer)]:
        loaded.run_layer(before, NEXT_DAY)
    loaded.plan(layer, NEXT_DAY)
    with zombie(loaded, layer, table, at) as process:
        loaded.stage(layer, NEXT_DAY)
        loaded.gate(layer, NEXT_DAY)
        assert loaded.publish(layer, NEXT_DAY)["rows_written"] > 0
        served, ledger, objects = loaded.served(), loaded.ledger(), loaded.objects()
        wakes_up(process)
    assert loaded.served() == served
    assert loaded.objects() == objects
    after = loaded.ledger()
    # A name that it was just about to record is recorded, for the next sweep to find.
    noted = set(after.pop("lake_file")) ^ set(ledger.pop("lake_file"))
    assert len(noted) == ("insert into ops.lake_file" in at)
    assert after == ledger
    assert loaded.run_layer(layer, NEXT_DAY)["rows_written"] == 0


@pytest.mark.servers
@pytest.mark.parametrize(
    ("layer", "table", "at"),
    [
        ("bronze", "olist_orders", "delete from ops.agreement"),
        ("silver", "olist_orders", "insert into ops.agreement"),
        ("gold", "fact_order", "insert into ops.agreement"),
    ],
)
def test_a_stage_task_of_an_abandoned_plan_changes_nothing(
    loaded: Lakehouse, layer: Layer, table: str, at: str
) -> None:
    loaded.land(delivery_of(5), NEXT_DAY)
    for before in LAYERS[: LAYERS.index(layer)]:
        loaded.run_layer(before, NEXT_DAY)
    loaded.plan(layer, NEXT_DAY)
    with zombie(loaded, layer, table, at) as process:
        assert loaded.run_layer(layer, NEXT_DAY)["rows_written"] > 0
        served, ledger, objects = loaded.served(), loaded.ledger(), loaded.objects()
        assert "StaleStage" in wakes_up(process)
    assert loaded.served() == served
    # What it had written itself is gone.
    its_own = {
        uri
        for (uri,) in loaded.query(
            "select uri from ops.lake_file inner join ops.publish as p using (publish_id) where p.status = 'closed'"
        )
    }
    assert (its_own or layer == "bronze") and loaded.objects() == objects - its_own
    assert loaded.ledger() == ledger
    assert loaded.run_layer(layer, NEXT_DAY)["rows_written"] == 0


@pytest.mark.servers
def test_only_the_newest_try_of_a_task_may_say_that_it_is_done(loaded: Lakehouse) -> None:
    loaded.load(delivery_of(5), NEXT_DAY, "bronze")
    loaded.plan("silver", NEXT_DAY)
    publish = loaded.staged("silver", "olist_orders", NEXT_DAY)
    done: dict[str, Any] = {"placement": "none", "counts": {"inserted": 0}, "replaced_files": ()}
    with loaded.homes.engine.begin() as conn:
        first, second = begin_attempt(conn, publish), begin_attempt(conn, publish)
        with pytest.raises(StaleStage, match="another try is at work"):
            mark_staged(conn, publish, first, **done)
        mark_staged(conn, publish, second, **done)
    # Planned anew, nobody's word counts any more.
    loaded.plan("silver", NEXT_DAY)
    with loaded.homes.engine.begin() as conn:
        with pytest.raises(StaleStage, match="this run is over"):
            mark_staged(conn, publish, second, **done)
        with pytest.raises(StaleStage, match="this run is over"):
            begin_attempt(conn, publish)


# ── What is not pinned cannot be read


def gold_that_reads(folder: Path, relation: str) -> Project:
    """A project whose dim_seller reads something else than it did."""

    def edit(root: Path) -> None:
        query = root / "sql/gold/dim_seller.sql"
        text = query.read_text(encoding="utf-8")
        assert "join ods.olist_sellers_history as" in text
        changed = text.replace("join ods.olist_sellers_history as", f"join {relation} as")
        query.write_text(changed, encoding="utf-8")

    return copy_project(folder, edit)


@pytest.mark.servers
@pytest.mark.parametrize(
    "relation",
    [
        # The compiler does not see that this is a table of silver, so nobody pins it for this model.
        'ods."olist_sellers_history"',
        "(select s.* from ods.olist_orders as o, ods.olist_sellers_history as s)",
        "raw.olist_sellers",
        "gold.dim_seller_of_yesterday",
        "ops.publish",
    ],
)
def test_what_a_model_was_not_given_does_not_exist_for_it(
    loaded: Lakehouse, tmp_path: Path, relation: str
) -> None:
    try:
        strayed = replace(loaded, project=gold_that_reads(tmp_path, relation))
    except ContractError:
        assert "of_yesterday" in relation
        return
    strayed.load(delivery_of(5), NEXT_DAY, "silver")
    assert "dim_seller" in strayed.plan("gold", NEXT_DAY)
    with pytest.raises(duckdb.CatalogException, match="does not exist"):
        flow.stage(strayed.homes, strayed.project, "olist", "gold", NEXT_DAY, "dim_seller")


def test_a_table_of_another_source_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"reads ods\.avazu_impressions, which another source than olist"):
        gold_that_reads(tmp_path, "ods.avazu_impressions")


@pytest.mark.servers
def test_a_session_sees_the_pinned_files_of_a_table_and_no_newer_ones(loaded: Lakehouse) -> None:
    loaded.load(delivery_of(5), NEXT_DAY, "silver")
    loaded.plan("gold", NEXT_DAY)
    loaded.load(delivery_of(6), THIRD_DAY, "silver")
    with loaded.homes.engine.connect() as conn, open_session(loaded.homes) as session:
        run = latest_run(conn, "olist", "gold", NEXT_DAY)
        assert run is not None
        Inputs(conn, loaded.project, run).table(session, "ods", "olist_orders")
        assert session.value("select count(*) from ods.olist_orders") == 5
        # The bucket itself cannot be reached from SQL at all.
        uri = next(iter(loaded.objects()))
        with pytest.raises(duckdb.Error):
            session.rows(f"select * from read_parquet('{uri}')")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A session, a file beside its folder, and another session's folder."""
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with open_session(None) as other, open_session(None) as opened:
        (other.folder / "secret.csv").write_text("a\n1\n")
        opened.view("outside", f"select '{tmp_path}/secret.csv' as path")
        opened.view("beside", f"select '{other.folder}/secret.csv' as path")
        yield opened


@pytest.mark.parametrize("relation", ["outside", "beside"])
@pytest.mark.parametrize(
    "query",
    [
        "select * from read_csv('{path}')",
        "select * from '{path}'",
        "select * from read_text('{path}')",
        "select * from read_blob('{path}')",
        "select * from glob('{folder}/*')",
        "select * from read_csv('{folder}/*.csv')",
        "select * from read_parquet('{folder}/../../../../../../../../etc/passwd')",
        "copy (select 1) to '{path}'",
        "attach '{path}' as other",
        "export database '{folder}/all'",
        "load '{path}'",
        "install httpfs",
        "set enable_external_access = true",
        "set allowed_directories = ['/']",
        "set temp_directory = '{folder}'",
    ],
)
def test_no_file_outside_the_sessions_folder_can_be_read_or_written(
    session: Session, query: str, relation: str
) -> None:
    path = Path(session.value(f"select path from {relation}"))
    before = path.read_text()
    with pytest.raises((duckdb.PermissionException, duckdb.InvalidInputException)):
        session.rows(query.format(path=path, folder=path.parent))
    assert path.read_text() == before
    assert {p.name for p in path.parent.iterdir() if p.is_file()} == {path.name}
