"""Great Expectations' query rule, without fetching rows.

Imported when a gate runs, because it imports Great Expectations.
"""

from __future__ import annotations

from typing import Any, ClassVar

from great_expectations.expectations.core.unexpected_rows_expectation import UnexpectedRowsExpectation


class BrokenRows(UnexpectedRowsExpectation):
    """Fails when the query returns a row. The original runs it twice: to count, and to fetch rows."""

    metric_dependencies: ClassVar[tuple[str, ...]] = ("unexpected_rows_query.row_count",)

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> dict[str, Any]:
        return {"success": metrics["unexpected_rows_query.row_count"] == 0}
