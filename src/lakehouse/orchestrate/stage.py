"""The task that stages one table, and shows what it runs and reads."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from lakehouse.orchestrate import steps
from lakehouse.orchestrate.homes import open_warehouse
from lakehouse.orchestrate.partition import partition_key

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import Context

    from lakehouse.contract.model import Layer

log = logging.getLogger(__name__)


class StageOperator(BaseOperator):
    """Makes one table's rows where no reader sees them.

    *Rendered Templates* shows ``sql``, the query that runs, and ``reads``: run, mode, the pinned states of the tables
    and the batches. They are looked up when the task begins, so they are what this try runs.

    Its outlets are there for Airflow's graph of assets, which leads from table to table through this task. It tells
    no event: nothing is published yet.
    """

    template_fields: Sequence[str] = ("sql", "reads")
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "reads": "json"}
    ui_color = "#e6eef8"

    def __init__(self, *, source: str, layer: Layer, table: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.layer: Layer = layer
        self.table = table
        self.sql = "known when the task begins"
        self.reads: dict[str, Any] = {}

    def render_template_fields(self, context: Context, jinja_env: jinja2.Environment | None = None) -> None:
        """Look up what is going to run. Should that fail, the task itself will say why."""
        from lakehouse.contract import Project
        from lakehouse.layer.explain import explain

        try:
            with open_warehouse() as engine, engine.connect() as conn:
                self.sql, self.reads = explain(
                    conn, Project.load(), self.source, self.layer, partition_key(context), self.table
                )
        except Exception as error:  # whatever it is: nothing is lost but a view
            log.warning("What this task runs cannot be shown: %s", type(error).__name__)

    def execute(self, context: Context) -> dict[str, Any]:
        """Stage the table; a table that is published is made again when somebody has cleared this task.

        Returns the row counts, empty when the plan has nothing for the table.

        Raises:
            LakehouseError: see :func:`lakehouse.layer.flow.stage`.
        """
        self.outlets = []
        return steps.stage(self.source, self.layer, self.table, again=context["ti"].try_number > 1)
