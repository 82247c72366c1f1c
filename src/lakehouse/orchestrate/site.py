"""The DAG that builds the site. No DAG that moves data knows it: what it does, or fails to do, holds nothing back.

It looks at the ledger instead of waiting for events, because what a gate has blocked emits none, and because a backfill
of a hundred days then makes a handful of builds.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowSkipException

from lakehouse.orchestrate import manual
from lakehouse.orchestrate.homes import ANALYST_CONNECTION, open_warehouse, s3_access, site

log = logging.getLogger(__name__)

#: How far the site may be behind.
_SCHEDULE = "*/2 * * * *"


def build_site_dag(owner: str) -> DAG:
    """``lakehouse_site``: one task, skipped when nothing is new."""
    with DAG(
        dag_id="lakehouse_site",
        description="Builds the pages about the data after something was published or blocked.",
        schedule=_SCHEDULE,
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timedelta(minutes=10),
        tags=["lakehouse"],
        doc_md=manual.SITE_PAGE,
        # The next run tries again.
        default_args={"owner": owner, "retries": 0, "execution_timeout": timedelta(minutes=5)},
    ) as dag:
        task = PythonOperator(
            task_id="build",
            python_callable=build,
            doc_md="Makes the pages whose inputs have changed; skipped when none have.",
        )
        task.template_fields = ()
    return dag


def build() -> dict[str, Any]:
    """Build the site when something has changed.

    Returns how many pages were written and kept.

    Raises:
        AirflowSkipException: nothing has changed, or there is no place for a site, or nobody to read as.
        LakehouseError: some pages could not be made; all others were.
    """
    from lakehouse.contract import Project
    from lakehouse.errors import LakehouseError
    from lakehouse.home import warehouse
    from lakehouse.site.build import build as build_pages
    from lakehouse.site.build import is_current

    place = site()
    if not place:
        raise AirflowSkipException("LAKEHOUSE_SITE is not set: there is no place for the site.")
    try:
        BaseHook.get_connection(ANALYST_CONNECTION)
    except AirflowNotFoundException as error:
        raise AirflowSkipException(
            f"There is no connection {ANALYST_CONNECTION}: nobody to read as."
        ) from error
    project = Project.load()
    with open_warehouse(ANALYST_CONNECTION) as engine:
        with engine.connect() as conn:
            prepared = warehouse.is_prepared(conn)
        if not prepared:
            raise AirflowSkipException("The warehouse has no ledger yet.")
        access = s3_access() if place.startswith("s3://") else None
        if is_current(place, project, engine, access):
            raise AirflowSkipException("Nothing has been published or blocked since the last build.")
        built = build_pages(place, project, engine, access)
    log.info("%d pages written, %d kept, in %.1f s", len(built.written), len(built.kept), built.seconds)
    if built.failed:
        raise LakehouseError(
            f"Of the site these could not be made: {', '.join(f'{n} ({e})' for n, e in built.failed.items())}.",
            "They stay as they were; the log above says why. All other pages are new.",
        )
    return {"written": len(built.written), "kept": len(built.kept)}
