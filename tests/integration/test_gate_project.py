"""The Great Expectations project opens by hand, runs on what is published, and stays as it was."""

from __future__ import annotations

import os
import shutil
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from lakehouse.compile.ddl import gold_ddl, ods_ddl, raw_ddl
from lakehouse.compile.suites import FOLDER, suite_files
from lakehouse.contract import Project
from lakehouse.stack import postgres
from lakehouse.stack.postgres import LOADER, PostgresServer


@pytest.fixture(scope="module")
def project() -> Project:
    return Project.load()


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory, project: Project) -> Any:
    """The committed project, in a copy: opening must not change it."""
    folder = tmp_path_factory.mktemp("project") / "great_expectations"
    shutil.copytree(project.root / FOLDER, folder, ignore=shutil.ignore_patterns("uncommitted"))
    os.environ.setdefault("LAKEHOUSE_PG_DSN", "postgresql://nobody@localhost:1/nothing")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx

        return gx.get_context(mode="file", context_root_dir=folder)


def test_opens_by_hand_and_lists_every_suite(context: Any, project: Project) -> None:
    names = {suite.name for suite in context.suites.all()}
    assert {f"silver.{table}" for table in project.contracts} <= names
    assert {f"gold.{table}" for table in project.gold} <= names
    assert {"silver.accounting", "gold.agreement"} <= names


def test_severities_are_great_expectations_own(context: Any) -> None:
    suite = context.suites.get("silver.olist_orders")
    severities = {e.meta["rule"]: e.severity.value for e in suite.expectations}
    assert severities["key_is_unique"] == "critical"
    assert severities["carrier_follows_approval"] == "warning"


def test_every_published_table_is_an_asset(context: Any, project: Project) -> None:
    source = context.data_sources.get("warehouse")
    for table in project.contracts:
        assert source.get_asset(f"silver.{table}").query == f"select * from ods.{table}"


def test_opening_changes_no_file(context: Any, project: Project) -> None:
    folder = Path(context.root_directory)
    for path, text in suite_files(project).items():
        assert (folder.parent / path).read_text(encoding="utf-8") == text


def test_nothing_is_reported_to_anybody(context: Any) -> None:
    assert context.config.analytics_enabled is False


@pytest.fixture(scope="module")
def warehouse(pg_server: PostgresServer, project: Project) -> Iterator[str]:
    """The DSN of a database with every table; one order is served, of a customer that is not."""
    database = f"suites_{uuid.uuid4().hex[:12]}"
    postgres.create_database(pg_server, database, LOADER)
    dsn = pg_server.dsn(LOADER, database)
    with psycopg2.connect(dsn) as conn, conn.cursor() as cursor:
        cursor.execute("create schema raw; create schema ods; create schema gold; create schema masked")
        for contract in project.contracts.values():
            cursor.execute(raw_ddl(contract).text)
        for table in project.silver.values():
            cursor.execute(ods_ddl(table).text)
        for model in project.gold.values():
            cursor.execute(gold_ddl(model).text)
        cursor.execute("create table ods.olist_orders_all partition of ods.olist_orders default")
        cursor.execute(
            "insert into ods.olist_orders (order_id, customer_id, order_status, order_purchased_at, "
            "order_estimated_delivery_date, _batch_id, _source_line, _publish_id) "
            "values ('o', 'nobody', 'delivered', '2018-01-01', '2018-01-09', gen_random_uuid(), 2, 1)"
        )
    conn.close()
    yield dsn
    postgres.drop_database(pg_server, database)


@pytest.mark.servers
def test_every_suite_runs_by_hand_on_what_is_published(
    warehouse: str, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE_PG_DSN", warehouse)
    source = context.data_sources.get("warehouse")
    broken: dict[str, set[str]] = {}
    try:
        for name in [asset.name for asset in source.assets]:
            asset = source.get_asset(name)
            batch = asset.get_batch_definition("published").get_batch()
            page = batch.validate(context.suites.get(name), result_format="BOOLEAN_ONLY")
            for answer in page.results:
                assert answer.exception_info.get("raised_exception") is False, answer.expectation_config
                if not answer.success:
                    broken.setdefault(name, set()).add(answer.expectation_config.meta["rule"])
    finally:
        source.get_execution_engine().close()
        source.get_engine().dispose()
    rules = broken.pop("silver.olist_orders")
    assert rules == {"customer_id_exists_in_olist_customers", "delivered_orders_have_a_date"}
    assert {rule for others in broken.values() for rule in others} == {"has_rows"}
