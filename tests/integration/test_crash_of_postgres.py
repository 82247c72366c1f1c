"""Postgres is killed with -9 in the midst of things: the tasks are tried again, nothing is wrong, nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from lakehouse.contract import Project
from lakehouse.errors import Unreachable
from lakehouse.home.homes import Homes
from lakehouse.home.settings import Settings
from lakehouse.layer import flow
from lakehouse.stack import postgres
from lakehouse.stack.postgres import LOADER
from lakehouse.stack.s3 import S3Server

from ..conftest import empty_and_delete
from ..support.lakehouse import Lakehouse
from ..support.mortal import MortalPostgres
from ..support.olist import DAY, NEXT_DAY, small_shop

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def mortal(server_folder: Path) -> Iterator[MortalPostgres]:
    made = MortalPostgres.start_in(server_folder / "mortal")
    yield made
    made.server.stop()


@pytest.fixture(scope="module")
def loaded_once(
    mortal: MortalPostgres,
    s3_server: S3Server,
    flow_project: Project,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Lakehouse]:
    """``small_shop()`` up to gold, and a next day up to silver."""
    postgres.create_database(mortal.server, "mortal", LOADER)
    settings = Settings.model_validate(
        {
            "pg_dsn": mortal.server.dsn(LOADER, "mortal"),
            "s3_endpoint": s3_server.endpoint,
            "bucket": "mortal",
            "access_key": s3_server.access_key,
            "secret_key": s3_server.secret_key,
        }
    )
    made = Lakehouse(Homes.open(settings), flow_project, tmp_path_factory.mktemp("mortal"))
    made.homes.ensure_bucket()
    made.load(small_shop())
    delivery = small_shop(5).only_orders(3, 5)
    delivery.order(3)["order_status"] = "shipped"
    made.load(delivery, NEXT_DAY, "silver")
    yield made
    made.homes.engine.dispose()
    empty_and_delete(made.homes)


def test_a_crash_in_a_stage_and_one_after_it_are_healed_by_trying_again(
    loaded_once: Lakehouse, mortal: MortalPostgres
) -> None:
    made = loaded_once
    served = made.checksums("gold")
    planned = made.plan("gold", NEXT_DAY)
    first, later = planned[: len(planned) // 2], planned[len(planned) // 2 :]
    assert "fact_order" in first and "kpi_daily" in later
    for table in first:
        stage(made, table)

    killed: list[str] = []

    def crash(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        if not killed and "insert into ops.agreement" in statement:
            killed.append(statement)
            mortal.kill()

    event.listen(made.homes.engine, "after_cursor_execute", crash)
    with pytest.raises(Unreachable, match=r"The warehouse .* does not answer"):
        made.stage("gold", NEXT_DAY)
    assert killed
    event.remove(made.homes.engine, "after_cursor_execute", crash)
    with pytest.raises(Unreachable):
        made.stage("gold", NEXT_DAY)
    mortal.start()

    # What was committed is there, to the row.
    assert made.checksums("gold") == served
    for table in first:
        publish = made.staged("gold", table, NEXT_DAY)
        if publish.placement not in (None, "none"):
            rows = made.value(
                "select inserted_rows + updated_rows + deleted_rows from ops.publish where publish_id = :p",
                p=publish.publish_id,
            )
            found = f"select count(*) from {publish.stage}"
            assert made.value(found) == rows
    # Only the task that failed and those after it are tried again.
    for table in later:
        stage(made, table)

    mortal.kill()
    with pytest.raises(Unreachable):
        made.gate("gold", NEXT_DAY)
    mortal.start()
    made.gate("gold", NEXT_DAY)
    mortal.kill()
    with pytest.raises(Unreachable):
        made.publish("gold", NEXT_DAY)
    mortal.start()
    assert made.publish("gold", NEXT_DAY)["rows_written"] > 0
    assert made.value("select count(*) from gold.fact_order") == made.lake("gold", "fact_order").num_rows == 5
    published = made.checksums("gold")
    mortal.kill()
    mortal.start()
    assert made.checksums("gold") == published
    # All of it is what silver makes of it.
    flow.plan(made.homes, made.project, "olist", "gold", NEXT_DAY, scope="everything")
    for step in (made.stage, made.gate):
        step("gold", NEXT_DAY)
    assert made.publish("gold", NEXT_DAY)["rows_written"] == 0
    assert made.run_layer("silver", DAY)["rows_written"] == 0


def stage(lakehouse: Lakehouse, table: str) -> None:
    flow.stage(lakehouse.homes, lakehouse.project, lakehouse.source, "gold", NEXT_DAY, table)
