"""The DAG files as Airflow's DAG processor reads them, in this process; no metadata database is needed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow.sdk import DAG

DAGS_FOLDER = Path(__file__).resolve().parents[2] / "dags"


@pytest.fixture(scope="session")
def dags() -> dict[str, DAG]:
    """Every DAG of the folder by id."""
    import importlib.util

    from airflow.sdk import DAG

    if str(DAGS_FOLDER) not in sys.path:
        sys.path.append(str(DAGS_FOLDER))  # as Airflow does with a bundle
    found: dict[str, DAG] = {}
    for path in sorted(DAGS_FOLDER.glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"dag_file_{path.stem}", path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found |= {d.dag_id: d for d in vars(module).values() if isinstance(d, DAG)}
    return found
