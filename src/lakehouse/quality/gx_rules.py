"""Great Expectations' part of the gate: which rules hold, and the result its pages are made from.

Imported when a gate runs, because it imports Great Expectations, which takes seconds.

Its own expectations on values ask for several figures each, look every column up, and not all know the engine. Ours
ask for one number: of rows that fulfil a condition (all conditions of a relation in one statement), or that a query
returns. A rule that cannot be evaluated takes no other with it: Great Expectations then asks one by one. Pages and
suites show every rule in Great Expectations' own words all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import great_expectations
import sqlalchemy as sa
from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
from great_expectations.core.batch import Batch
from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.core.metric_function_types import MetricPartialFunctionTypes
from great_expectations.execution_engine.sqlalchemy_batch_data import SqlAlchemyBatchData
from great_expectations.execution_engine.sqlalchemy_execution_engine import SqlAlchemyExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.expectations.metrics.metric_provider import metric_partial
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from great_expectations.validator.metric_configuration import MetricConfiguration
from great_expectations.validator.validation_statistics import calc_validation_statistics
from great_expectations.validator.validator import ValidationDependencies, Validator
from sqlalchemy import Engine

from lakehouse.compile.rules import QUERY, ROW_COUNT, Expectation, batch_query


class BrokenValuesCount(TableMetricProvider):
    """The number of rows that fulfil a condition, one of many in a statement."""

    metric_name = "broken_values.count"
    value_keys = ("condition",)

    @metric_partial(
        engine=SqlAlchemyExecutionEngine,
        partial_fn_type=MetricPartialFunctionTypes.AGGREGATE_FN,
        domain_type=MetricDomainTypes.TABLE,
    )
    def _sqlalchemy(
        cls,
        execution_engine: Any,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> Any:
        counted: Any = sa.literal_column(f"count(case when ({metric_value_kwargs['condition']}) then 1 end)")
        return counted, metric_domain_kwargs, {}


class NoneBroken(BatchExpectation):
    """Holds when its only metric, a number, is 0.

    Great Expectations' own classes describe themselves anew, field by field, several times per evaluation.
    """

    domain_keys: ClassVar[tuple[str, ...]] = ("batch_id",)

    def get_validation_dependencies(
        self, execution_engine: Any = None, runtime_configuration: dict[str, Any] | None = None
    ) -> ValidationDependencies:
        """The metric to compute."""
        metric = self._metric()
        return ValidationDependencies({metric.metric_name: metric}, runtime_configuration or {})

    def metrics_validate(
        self,
        metrics: dict[Any, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
        **kwargs: dict[str, Any],
    ) -> ExpectationValidationResult:
        """Great Expectations' answer. A metric that is missing is an error, which the validator catches."""
        metric = self._metric()
        verdict = self._validate({metric.metric_name: metrics[metric.id]})
        rule = ExpectationConfiguration(self.expectation_type, kwargs={}, meta=self.meta)
        return ExpectationValidationResult(success=verdict["success"], expectation_config=rule)

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> dict[str, Any]:
        return {"success": metrics[self.metric_dependencies[0]] == 0}

    def _metric(self) -> MetricConfiguration:
        name = self.metric_dependencies[0]
        asked = {key: getattr(self, key) for key in self.success_keys}
        # What has the same domain is asked in the same statement.
        domain = {**dict.fromkeys(TableMetricProvider.domain_keys), "batch_id": self.batch_id}
        return MetricConfiguration(name, domain, asked)


class BrokenValues(NoneBroken):
    """Fails when a row fulfils the condition."""

    condition: str
    metric_dependencies: ClassVar[tuple[str, ...]] = ("broken_values.count",)
    success_keys: ClassVar[tuple[str, ...]] = ("condition",)


class BrokenRows(NoneBroken):
    """Fails when the query returns a row. Great Expectations' own runs it twice: to count, and to fetch rows."""

    unexpected_rows_query: str
    metric_dependencies: ClassVar[tuple[str, ...]] = ("unexpected_rows_query.row_count",)
    success_keys: ClassVar[tuple[str, ...]] = ("unexpected_rows_query",)


def evaluate(
    engine: Engine, relation: str, expectations: Sequence[Expectation]
) -> dict[str, ExpectationValidationResult]:
    """Rule → Great Expectations' answer, for the rules of a relation. Only booleans come back, no values."""
    execution = SqlAlchemyExecutionEngine(engine=engine, create_temp_table=False)
    data: Any = SqlAlchemyBatchData(execution_engine=execution, table_name=relation, create_temp_table=False)
    validator = Validator(execution_engine=execution, batches=[Batch(data=data)])
    validator.metrics_calculator.show_progress_bars = False
    answers = validator.graph_validate(
        configurations=[_implementation(e) for e in expectations],
        runtime_configuration={"result_format": "BOOLEAN_ONLY"},
    )
    return {str(_configuration(answer).meta["rule"]): answer for answer in answers}


def holds(answer: ExpectationValidationResult | None) -> bool | None:
    """What an answer says of its rule; None when the rule could not be evaluated."""
    # An evaluated rule has {"raised_exception": False}; a failed metric has an entry under its own id.
    if answer is None or answer.exception_info.get("raised_exception") is not False:
        return None
    return bool(answer.success)


def unanswered() -> ExpectationValidationResult:
    """What stands for the answer to a rule that nobody could ask."""
    return ExpectationValidationResult(success=False)


def suite_result(
    name: str, answers: Sequence[ExpectationValidationResult]
) -> ExpectationSuiteValidationResult:
    """The answers of a suite as Great Expectations keeps and shows them."""
    statistics = calc_validation_statistics(list(answers))
    return ExpectationSuiteValidationResult(
        success=statistics.success,
        results=list(answers),
        suite_name=name,
        statistics=statistics._asdict(),
        batch_id="staged",
        meta={
            "great_expectations_version": great_expectations.__version__,
            "active_batch_definition": {"data_asset_name": name},
            "batch_markers": {"ge_load_time": datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")},
        },
    )


def for_readers(
    answer: ExpectationValidationResult,
    expectation: Expectation,
    *,
    checked: int,
    failed: int,
    examples: Sequence[str],
    error: str | None,
) -> ExpectationValidationResult:
    """Put our counts in, in Great Expectations' words, and take tracebacks out: they may quote data."""
    # Whoever reads the results again knows Great Expectations' own types only.
    answer.expectation_config = ExpectationConfiguration(
        type=expectation.type,
        kwargs=in_their_words(expectation),
        severity=FailureSeverity.CRITICAL if expectation.severity == "hard" else FailureSeverity.WARNING,
        description=f"{expectation.rule} ({expectation.severity}): {expectation.description}",
        meta={"rule": expectation.rule, "checked": checked, "failed": failed, "keys": list(examples)},
    )
    if error:
        answer.exception_info = {
            "raised_exception": True,
            "exception_message": error,
            "exception_traceback": "",
        }
    elif expectation.type == ROW_COUNT:
        answer.result = {"observed_value": checked}
    elif expectation.type == QUERY:
        answer.result = {"observed_value": failed}
    else:
        share = 100.0 * failed / checked if checked else 0.0
        answer.result = {
            "element_count": checked,
            "unexpected_count": failed,
            "unexpected_percent": share,
            "unexpected_percent_nonmissing": share,
        }
    return answer


def in_their_words(expectation: Expectation) -> dict[str, Any]:
    """The arguments of Great Expectations' own expectation."""
    if expectation.type != QUERY:
        return dict(expectation.kwargs)
    return {**expectation.kwargs, "unexpected_rows_query": batch_query(expectation.broken)}


def _implementation(expectation: Expectation) -> ExpectationConfiguration:
    """What Great Expectations evaluates for an expectation."""
    kind, arguments = expectation.type, expectation.kwargs
    if expectation.condition:
        kind, arguments = "broken_values", {"condition": expectation.condition}
    elif expectation.broken:
        kind, arguments = "broken_rows", {"unexpected_rows_query": batch_query(expectation.broken)}
    return ExpectationConfiguration(type=kind, kwargs=dict(arguments), meta={"rule": expectation.rule})


def _configuration(answer: ExpectationValidationResult) -> Any:
    return answer.expectation_config
