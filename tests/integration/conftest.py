"""The project and lakehouses for tests that drive the real flow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lakehouse.contract import Project
from lakehouse.home.homes import Homes
from lakehouse.stack.postgres import PostgresServer
from lakehouse.stack.s3 import S3Server

from ..support.lakehouse import Lakehouse, copy_project
from ..support.once import Once
from ..support.templates import Templates


@pytest.fixture(scope="session")
def flow_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project as it is, copied so that nothing goes near the checkout's pages."""
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def templates(
    pg_server: PostgresServer,
    s3_server: S3Server,
    flow_project: Project,
    tmp_path_factory: pytest.TempPathFactory,
) -> Templates:
    """Lakehouses to copy."""
    return Templates(pg_server, s3_server, flow_project, tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Once:
    """Works a value out in one of the test processes, for all of them."""
    own = tmp_path_factory.getbasetemp()
    # Processes of one run have folders side by side; a run without them has nobody to share with.
    return Once(own.parent if hasattr(request.config, "workerinput") else own)


@pytest.fixture
def lakehouse(templates: Templates) -> Iterator[Lakehouse]:
    """A lakehouse with all its tables and no rows."""
    with templates.empty() as made:
        yield made


@pytest.fixture
def loaded(templates: Templates) -> Iterator[Lakehouse]:
    """A lakehouse that holds ``small_shop()`` up to gold, delivered on ``DAY``. Its landing zone is empty."""
    with templates.loaded() as made:
        yield made


@pytest.fixture
def undisturbed(templates: Templates) -> Iterator[Lakehouse]:
    """Another lakehouse like ``loaded``, to compare with."""
    with templates.loaded() as made:
        yield made


@pytest.fixture
def alone(homes: Homes, flow_project: Project, tmp_path: Path, analyst_dsn: str) -> Lakehouse:
    """A lakehouse with a bucket of its own, for tests that look at all of its objects. It has no tables yet."""
    return Lakehouse(homes, flow_project, tmp_path / "files", analyst_dsn=analyst_dsn)
