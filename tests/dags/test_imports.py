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
#: Each file in a process of its own, which begins as a task's does: with Airflow loaded.
_READ = """
import json, os, sys, time
import airflow.sdk, airflow.providers.standard.operators.python
sys.path.append(sys.argv[1])
for name in sys.argv[2:]:
    sys.stdout.flush()
    if os.fork():
        assert os.wait()[1] == 0
        continue
    began = time.process_time()
    __import__(name)
    print(json.dumps({"file": name, "seconds": time.process_time() - began, "modules": sorted(sys.modules)}))
    sys.stdout.flush()
    os._exit(0)
"""


@pytest.fixture(scope="module")
def read() -> dict[str, tuple[float, set[str]]]:
    """File → CPU seconds to import it, and the modules that are loaded then."""
    command = [sys.executable, "-c", _READ, str(DAGS_FOLDER), *(path.stem for path in FILES)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"file"')]
    return {told["file"]: (told["seconds"], set(told["modules"])) for told in lines}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_a_dag_file_is_read_quickly_and_without_heavy_libraries(
    path: Path, read: dict[str, tuple[float, set[str]]]
) -> None:
    seconds, modules = read[path.stem]
    assert not modules & set(HEAVY)
    assert seconds < 2


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_a_dag_file_is_thin(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 120
