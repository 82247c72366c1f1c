"""Invariant 9: laptop and production run the same code, SQL and contracts; only endpoints differ."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from lakehouse.contract import Project
from lakehouse.errors import LakehouseError
from lakehouse.home.homes import Homes
from lakehouse.home.settings import Settings

PACKAGE = Project.load().root / "src" / "lakehouse"
#: Everything that makes or moves data. The laptop's servers and the command line that starts them are not.
ROOMS = ("compile", "contract", "engine", "home", "landing", "layer", "orchestrate", "quality", "site")
FILES = sorted(p for room in ROOMS for p in (PACKAGE / room).glob("*.py"))
_PLACES = re.compile(
    r"\b(laptop|production|prod|is_local|localhost|127\.0\.0\.1|minio|moto)\b", re.IGNORECASE
)


def code_without_texts(path: Path) -> str:
    """The code without docstrings and comments."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            node.value.value = ""
    return ast.unparse(tree)


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}.{p.stem}")
def test_no_code_asks_where_it_runs(path: Path) -> None:
    assert _PLACES.findall(code_without_texts(path)) == []


def test_environment_variables_are_read_in_one_place() -> None:
    readers = {
        f"{p.parent.name}.{p.stem}"
        for p in FILES
        if re.search(r"os\.(environ|getenv)", code_without_texts(p))
    }
    # Endpoints; where the checkout is; the bucket, in tasks; the manual; a home for Airflow; silence in a library; what
    # pg_dump inherits.
    allowed = {
        "backup.programs",
        "home.settings",
        "contract.project",
        "orchestrate.homes",
        "orchestrate.manual",
        "orchestrate.metadata",  # hands its own on to Airflow's command
        "orchestrate.reference",
        "quality.gx_context",
    }
    assert readers <= allowed


def test_endpoints_come_from_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LAKEHOUSE_PG_DSN", "LAKEHOUSE_S3_ENDPOINT", "LAKEHOUSE_ACCESS_KEY", "LAKEHOUSE_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAKEHOUSE_PG_DSN", "postgresql://loader:pw@warehouse.example:5433/lakehouse")
    monkeypatch.setenv("LAKEHOUSE_BUCKET", "company-lake")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.example")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    homes = Homes.open()
    assert homes.engine.url.host == "warehouse.example"
    assert homes.engine.url.port == 5433
    assert (homes.s3.endpoint, homes.s3.region, homes.bucket) == (
        "https://s3.example",
        "eu-central-1",
        "company-lake",
    )
    assert homes.s3_client().meta.endpoint_url == "https://s3.example"
    assert "secret" not in repr(homes)
    assert "pw" not in repr(Settings())


def test_a_missing_warehouse_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAKEHOUSE_PG_DSN", raising=False)
    with pytest.raises(LakehouseError, match="No warehouse is configured") as caught:
        Homes.open()
    assert "lakehouse up" in caught.value.hint
