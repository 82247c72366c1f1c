"""The Great Expectations project opens by hand, lists every suite, and stays as it was."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

from lakehouse.compile.suites import FOLDER, suite_files
from lakehouse.contract import Project


@pytest.fixture(scope="module")
def project() -> Project:
    return Project.load()


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory, project: Project) -> Any:
    """The committed project, in a copy: opening must not change it, but building pages would add files."""
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
