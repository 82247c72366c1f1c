"""Postgres and MinIO die, are slow, fall silent, or are cut off in the middle: trying again gives the same rows."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

import pytest

from lakehouse.stack import postgres
from lakehouse.stack.network import LOOPBACK

from ..support.aftermath import Rows
from ..support.mortal import MortalPostgres, MortalStore
from ..support.proxy import Direction, Link, Proxy, Verdict
from ..support.zygote import Point
from .conftest import Victim

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(1800)]

WAREHOUSE_GONE = re.compile(
    r"Unreachable: The warehouse \(Postgres at 127\.0\.0\.1:\d+, database \w+\) does not answer"
)
STORE_GONE = re.compile(r"Unreachable: The object store at http://127\.0\.0\.1:\d+ does not answer")


def paused(function: str, nth: int = 1) -> Point:
    """Stand still there, until somebody says SIGCONT."""
    return Point("before", function, nth, sends=signal.SIGSTOP)


def struck(
    victim: Victim, step: str, layer: str, point: Point, server: MortalPostgres | MortalStore, table: str = ""
) -> str:
    """Kill a server while a step is at a point; start it again. What the step has told."""
    task = victim.start(step, layer, table, point)  # type: ignore[arg-type]
    assert task.stopped(), task.told
    server.kill()
    task.send(signal.SIGCONT)
    code = task.wait()
    server.start()
    assert code == 3, task.told
    return task.told


def test_postgres_killed_in_a_stage_and_in_a_publish(
    victim: Victim, mortal_pg: MortalPostgres, undisturbed: Rows
) -> None:
    # The counters of a copied database are in its log only from the first checkpoint on.
    postgres.execute(mortal_pg.server.superuser_dsn, ["checkpoint"])
    victim.do("plan", "bronze")
    told = struck(
        victim, "stage", "bronze", paused("lakehouse.home.rows:_Feed.readinto", 2), mortal_pg, "olist_orders"
    )
    assert WAREHOUSE_GONE.search(told) and "→ `lakehouse status`" in told
    victim.stage("bronze")
    victim.do("gate", "bronze")
    served = victim.seen()
    # All is done but the COMMIT.
    told = struck(victim, "publish", "bronze", paused("lakehouse.layer.flow:end_run"), mortal_pg)
    assert WAREHOUSE_GONE.search(told)
    assert victim.seen() == served
    victim.finish("publish", "bronze")
    victim.assert_healed(undisturbed)


def test_minio_killed_in_a_stage_and_in_a_publish(
    victim: Victim, mortal_store: MortalStore, undisturbed: Rows
) -> None:
    victim.do("plan", "bronze")
    point = Point("after", "pyarrow.parquet.core:ParquetWriter.write_batch", sends=signal.SIGSTOP)
    told = struck(victim, "stage", "bronze", point, mortal_store, "olist_orders")
    assert STORE_GONE.search(told) and "→ `lakehouse status`" in told
    victim.stage("bronze")
    victim.do("gate", "bronze")
    served = victim.seen()
    told = struck(
        victim, "publish", "bronze", paused("lakehouse.home.iceberg:prepare_commit", 2), mortal_store
    )
    assert STORE_GONE.search(told)
    assert victim.seen() == served
    victim.finish("publish", "bronze")
    victim.assert_healed(undisturbed)


@pytest.fixture
def pg_proxy(victim: Victim, mortal_pg: MortalPostgres) -> Iterator[Proxy]:
    """The victim's way to Postgres."""
    proxy = Proxy(mortal_pg.server.port)
    url = victim.lakehouse.homes.engine.url.set(drivername="postgresql", port=proxy.port)
    victim.variables["LAKEHOUSE_PG_DSN"] = url.render_as_string(hide_password=False)
    yield proxy
    proxy.stop()


@pytest.fixture
def s3_proxy(victim: Victim, mortal_store: MortalStore) -> Iterator[Proxy]:
    """The victim's way to MinIO."""
    proxy = Proxy(mortal_store.port)
    victim.variables["LAKEHOUSE_S3_ENDPOINT"] = f"http://{LOOPBACK}:{proxy.port}"
    yield proxy
    proxy.stop()


def in_copy(link: Link, direction: Direction, data: bytes) -> Verdict:
    """Cut when the rows of a COPY are on their way."""
    if direction == "up" and b"copy stage." in data.lower():
        link.notes["copies"] = 1
    elif direction == "up" and link.notes.get("copies"):
        return "cut"
    return "pass"


def commit_lost(link: Link, direction: Direction, data: bytes) -> Verdict:
    """Cut before the COMMIT of a publish gets there."""
    if direction == "up" and b"update iceberg_tables" in data.lower():
        link.notes["publishes"] = 1
    return "cut" if direction == "up" and link.notes.get("publishes") and b"COMMIT" in data else "pass"


def answer_lost(link: Link, direction: Direction, data: bytes) -> Verdict:
    """Cut when the COMMIT of a publish is done, before it is told."""
    if link.notes.get("committed") and direction == "down":
        return "cut"
    if commit_lost(link, direction, data) == "cut":
        link.notes["committed"] = 1
    return "pass"


def test_a_connection_to_postgres_cut_in_a_copy_and_around_a_commit(
    victim: Victim, pg_proxy: Proxy, undisturbed: Rows
) -> None:
    victim.do("plan", "bronze")
    pg_proxy.rule = in_copy
    assert WAREHOUSE_GONE.search(victim.fails("stage", "bronze", "olist_orders"))
    pg_proxy.heal()
    victim.stage("bronze")
    victim.do("gate", "bronze")
    served = victim.seen()
    pg_proxy.rule = commit_lost
    assert WAREHOUSE_GONE.search(victim.fails("publish", "bronze"))
    assert victim.seen() == served
    # The worker cannot tell this from the one before; the ledger can.
    pg_proxy.rule = answer_lost
    assert WAREHOUSE_GONE.search(victim.fails("publish", "bronze"))
    assert pg_proxy.cuts == 3
    pg_proxy.heal()
    published = victim.seen()
    assert published["bronze"] != served["bronze"]
    runs = "select count(*) from ops.run where layer = 'bronze'"
    known = victim.lakehouse.value(runs)
    told = victim.do("publish", "bronze")
    assert "'partition_key': '2018-03-02'" in told and "'rows_written': 0" in told
    assert victim.seen() == published
    assert victim.lakehouse.value(runs) == known
    victim.finish("plan", "silver")
    victim.finish()
    victim.assert_healed(undisturbed)


def test_a_store_that_is_down_is_named_by_every_step_and_trying_again_goes_on(
    victim: Victim, s3_proxy: Proxy, undisturbed: Rows
) -> None:
    for step, table in (("plan", ""), ("stage", "olist_orders"), ("gate", ""), ("publish", "")):
        s3_proxy.is_down = True
        s3_proxy.cut_all()
        told = victim.fails(step, "bronze", table)
        assert STORE_GONE.search(told), told
        assert "Nothing was published; run this again then" in told
        s3_proxy.heal()
        if step == "stage":
            victim.stage("bronze")
        else:
            victim.do(step, "bronze")
    victim.finish("plan", "silver")
    victim.assert_healed(undisturbed)


class Cutting:
    """Cuts every n-th answer with a body in its middle: by a reset, or as if it were complete."""

    def __init__(self, every: int) -> None:
        self.every, self.seen = every, 0

    def __call__(self, link: Link, direction: Direction, data: bytes) -> Verdict:
        if direction == "down" and len(data) > 1000:
            self.seen += 1
            if self.seen % self.every == 0:
                return "half" if self.seen % (2 * self.every) else "cut"
        return "pass"


def test_a_slow_store_that_breaks_off_in_the_middle_of_answers(
    victim: Victim, s3_proxy: Proxy, undisturbed: Rows
) -> None:
    s3_proxy.latency_s, s3_proxy.bytes_per_s, s3_proxy.rule = 0.01, 500_000, Cutting(25)
    for layer in ("bronze", "silver"):
        order = victim.lakehouse.project.stage_order("olist", layer)
        steps = [("plan", ""), *(("stage", table) for table in order), ("gate", ""), ("publish", "")]
        for step, table in steps:
            for _ in range(4):  # as Airflow tries
                task = victim.start(step, layer, table)
                if task.wait(180) == 0:
                    break
                assert STORE_GONE.search(task.told), task.told
            else:
                raise AssertionError(f"{step} {layer} {table} never got through:\n{task.told}")
    assert s3_proxy.cuts > 1
    s3_proxy.heal()
    victim.finish("plan", "gold")
    victim.assert_healed(undisturbed)


def test_an_answer_that_never_comes_is_asked_for_again(
    victim: Victim, s3_proxy: Proxy, undisturbed: Rows
) -> None:
    silent: list[Link] = []

    def rule(link: Link, direction: Direction, data: bytes) -> Verdict:
        if direction == "down" and not silent and b"HTTP/1.1 200" in data:
            silent.append(link)
        return "swallow" if link in silent else "pass"

    s3_proxy.rule = rule
    victim.do("plan", "bronze")
    assert silent
    victim.finish("stage", "bronze")
    victim.assert_healed(undisturbed)
