"""The tutorial, followed to the letter: a third source from nothing to gold, through a real Airflow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ..support.followed import follow
from .airflow_support import Orchestra

pytestmark = [pytest.mark.servers, pytest.mark.airflow]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial-own-source.md"


@pytest.mark.timeout(1200)  # half an hour for a person
def test_the_tutorial_can_be_followed_to_the_letter(orchestra: Orchestra) -> None:
    follow(PAGE, orchestra.project, orchestra.environment())
    # What it made is a source like the others: these tests hold for it, too.
    checks = ["tests/dags/test_structure.py", "tests/sql/test_gold.py", "tests/sql/test_portable.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "bike", *checks],
        cwd=orchestra.project,
        env=orchestra.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    check = [sys.executable, "-m", "lakehouse.cli.main", "generate", "--check"]
    subprocess.run(check, env=orchestra.environment(), check=True)
