"""Airflow's own database: what is old is removed by Airflow's own command, ``airflow db clean``.

Tasks have no way to that database. The command runs as a process of its own, which is told one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime

from lakehouse.errors import LakehouseError

#: The command prints this for each table.
_FOUND = re.compile(r"^Found (\d+) rows meeting deletion criteria", re.MULTILINE)
_LIMIT_S = 1800
#: What the supervisor of a task sets so that its process stays away from the database.
_BLOCKS = ("AIRFLOW__CORE__SQL_ALCHEMY_CONN", "_AIRFLOW_PROCESS_CONTEXT")


def clean(dsn: str, before: datetime, apply: bool, environment: Mapping[str, str] | None = None) -> int:
    """Remove runs, events and logs older than a time from Airflow's database; the newest run of each DAG stays.

    Args:
        dsn: of the database.
        before: what is older goes.
        apply: False only counts.
        environment: of an Airflow, when it is not this process's own.

    Returns how many rows.

    Raises:
        LakehouseError: the command failed; says what it said last.
    """
    variables = {k: v for k, v in (environment or os.environ).items() if k not in _BLOCKS}
    url = dsn.replace("postgresql://", "postgresql+psycopg2://", 1)
    # Kept copies of what is removed would grow in its place.
    how = ["--skip-archive", "--yes", "--error-on-cleanup-failure"] if apply else ["--dry-run"]
    command = [sys.executable, "-m", "airflow", "db", "clean", "--clean-before-timestamp", before.isoformat()]
    try:
        done = subprocess.run(
            [*command, *how],
            env=variables | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_LIMIT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise LakehouseError(
            f"`airflow db clean` did not end within {_LIMIT_S // 60} minutes.", "Run it by hand, at night."
        ) from error
    if done.returncode != 0:
        last = " / ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise LakehouseError(
            f"`airflow db clean` failed: {last}",
            "See whether Airflow's database answers (`lakehouse status`), then try again.",
        )
    return sum(int(rows) for rows in _FOUND.findall(done.stdout))
