"""DAG files are read by the DAG processor every minute and by every task's process: they must be quick."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

DAGS_FOLDER = Path(__file__).resolve().parents[2] / "dags"
FILES = sorted(DAGS_FOLDER.glob("*.py"))
#: Libraries that take long to import or that reach for the network.
HEAVY = (
    "boto3",
    "botocore",
    "duckdb",
    "great_expectations",
    "pandas",
    "polars",
    "psycopg2",
    "pyarrow",
    "pyiceberg",
)
_READ = """
import json, sys, time
import airflow.sdk, airflow.providers.standard.operators.python  # there before a DAG file is read
sys.path.append(sys.argv[1])
began = time.process_time()
__import__(sys.argv[2])
print(json.dumps({"seconds": time.process_time() - began, "modules": sorted(sys.modules)}))
"""


def _read(path: Path) -> tuple[float, set[str]]:
    """CPU seconds to import a DAG file in a fresh process, and the modules that are loaded then."""
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(path.parent), path.stem], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout.splitlines()[-1])
    return told["seconds"], set(told["modules"])


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_a_dag_file_is_read_quickly_and_without_heavy_libraries(path: Path) -> None:
    seconds, modules = _read(path)
    assert not modules & set(HEAVY)
    assert seconds < 2


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_a_dag_file_is_thin(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 120
