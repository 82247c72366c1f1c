"""One whole stack for all end-to-end tests that look into Airflow; started once, deleted at the end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakehouse.cli.context import open_homes, prepare_homes
from lakehouse.contract import Project
from lakehouse.orchestrate.pools import POOLS
from lakehouse.stack import laptop

from ..integration.stack_support import Notes, new_home
from ..support.followed import copy_checkout
from ..support.lakehouse import Lakehouse
from .airflow_support import Orchestra, wait_for

DAGS = [
    f"{source}_{layer}" for source in ("olist", "avazu") for layer in ("bronze", "silver", "gold", "catch_up")
] + ["report_of_kpis"]


@pytest.fixture(scope="session")
def orchestra(server_folder: Path) -> Iterator[Orchestra]:
    """Postgres, MinIO and Airflow (scheduler, DAG processor, triggerer, API server) on ports of their own.

    They serve a copy of the project, to which a test may add, with a DAG of somebody else.
    """
    home, project = new_home(server_folder / "home-e2e"), copy_checkout(server_folder / "project")
    shutil.copy(Path(__file__).parent / "dags" / "consumer.py", project / "dags")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LAKEHOUSE_PROJECT", str(project))
            state = laptop.up(home, Notes(), prepare=prepare_homes, pools=POOLS)
        lakehouse = Lakehouse(
            open_homes(state),
            Project.load(project),
            server_folder / "files",
            landing=open_homes(state, landing=True),
        )
        with laptop.open_airflow(state) as api:
            wait_for(lambda: all(api.exists(f"/dags/{dag}") for dag in DAGS), why="the DAGs")
            yield Orchestra(home, state, api, lakehouse)
        lakehouse.homes.engine.dispose()
        assert lakehouse.landing
        lakehouse.landing.engine.dispose()
    finally:
        laptop.delete(home, Notes())
