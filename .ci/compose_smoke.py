"""Land the made-up sample, run it through Airflow, and find it in gold.

For the containers, with the variables of `.env`:
`docker compose run --rm -T -e LAKEHOUSE_AIRFLOW_OPERATOR_PASSWORD landing python - <.ci/compose_smoke.py`.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sqlalchemy import text

from lakehouse.home.homes import Homes
from lakehouse.landing import sample_olist
from lakehouse.stack.airflow import OPERATOR
from lakehouse.stack.airflow_api import AirflowApi
from lakehouse.stack.service import Deployment

_QUERY = "select count(*) from ops.last_publish where source = 'olist' and layer = 'gold'"
_SECONDS = 1200


def land() -> str:
    """Land the sample; the delivery's date."""
    with tempfile.TemporaryDirectory() as folder:
        sample_olist.write_sample(Path(folder, "olist"), orders=500)
        command = ["lakehouse", "land", "olist", "--from", str(Path(folder, "olist")), "--json"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    (report,) = json.loads(done.stdout)
    return str(report["partition_key"])


def main() -> None:
    """Exit code 1 when gold is not there in time."""
    day, told = land(), Deployment()
    with AirflowApi(told.airflow_url, OPERATOR, told.secret("airflow_operator_password")) as api:
        body = {"logical_date": None, "partition_key": day}
        api.call("POST", "/dags/olist_bronze/dagRuns", json=body)
    homes, deadline = Homes.open(), time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        with homes.engine.connect() as conn:
            tables = conn.execute(text(_QUERY)).scalar()
        if tables:
            sys.stdout.write(f"{day}: {tables} tables published in gold\n")
            return
        time.sleep(2)
    raise SystemExit(f"{day} did not reach gold within {_SECONDS} s")


if __name__ == "__main__":
    main()
