"""The pages inside Airflow's UI stay closed when Airflow cannot be asked who may see them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lakehouse.home.pages import LocalPages
from lakehouse.orchestrate import pages
from lakehouse.orchestrate.links import gate_address

PLUGIN = Path(__file__).resolve().parents[2] / "plugins" / "lakehouse_pages.py"
SECURITY = "airflow.api_fastapi.core_api.security"


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LocalPages(tmp_path).write({"index.html": b"front"})
    monkeypatch.setenv("LAKEHOUSE_DATA_DOCS", str(tmp_path))


@pytest.mark.parametrize("missing", [SECURITY, "airflow.api_fastapi.auth.managers.models.resource_details"])
def test_without_the_access_check_nothing_is_shown(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    client = TestClient(pages.application())
    for path in ("/data-docs/index.html", "/data-docs/", "/site/index.html", "/", "/openapi.json", "/docs"):
        answer = client.get(path)
        assert answer.status_code in (503, 404), path
        assert "front" not in answer.text
    assert client.get("/data-docs/index.html").status_code == 503


def test_an_access_check_that_changed_its_form_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.api_fastapi.core_api import security

    monkeypatch.delattr(security, "requires_access_view")
    assert TestClient(pages.application()).get("/data-docs/index.html").status_code == 503


def test_nobody_is_let_in_without_a_login() -> None:
    answer = TestClient(pages.application()).get("/data-docs/index.html")
    assert answer.status_code == 401
    assert "front" not in answer.text


def plugin() -> Any:
    spec = importlib.util.spec_from_file_location(PLUGIN.stem, PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.LakehousePages()


def test_both_sites_are_in_the_menu() -> None:
    views = {view["name"]: view for view in plugin().external_views}
    assert views["Data Docs"]["href"] == "/lakehouse/data-docs/index.html"
    assert views["Lakehouse"]["href"] == "/lakehouse/site/index.html"
    assert all(view["destination"] == "nav" and view["nav_top_level"] for view in views.values())


def test_the_web_framework_waits_until_the_api_server_asks() -> None:
    """Every scheduler and task loads the plugin."""
    import subprocess

    look = f"import runpy, sys; runpy.run_path({str(PLUGIN)!r}); print('lakehouse.orchestrate.pages' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_a_gate_tells_the_whole_address_of_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://data.example.com/airflow/")
    page = "/airflow/lakehouse/data-docs/gates/olist/silver/2018-10-17.html"
    told = gate_address("olist", "silver", "2018-10-17")
    assert told == f"https://data.example.com/airflow/plugin/data-docs{page}"
    monkeypatch.setenv("LAKEHOUSE_DATA_DOCS", "")
    assert gate_address("olist", "silver", "2018-10-17") == ""
    monkeypatch.setenv("LAKEHOUSE_DATA_DOCS", "s3://bucket/data-docs")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "")
    assert gate_address("olist", "silver", "2018-10-17") == ""
