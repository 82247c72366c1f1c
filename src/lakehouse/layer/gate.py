"""The gate: Great Expectations over staged rows, in SQL, before anybody can read them.

Great Expectations decides which rules hold; it counts and returns no values. For every broken rule one query
of ours then fetches how many rows broke it and the keys of the first five. So no value of a row can get into
results, messages or Data Docs other than keys, and of those not the personal ones.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sqlglot
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlglot import exp

from lakehouse.compile.refs import rewrite
from lakehouse.compile.rules import (
    QUERY,
    ROW_COUNT,
    Expectation,
    GateSeverity,
    accounting_expectations,
    agreement_expectations,
    batch_query,
    contract_expectations,
    gold_expectations,
    raw_expectations,
)
from lakehouse.contract import Contract, GoldModel
from lakehouse.layer.docs import DocsTarget
from lakehouse.layer.gx_context import new_context, quietly

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
    from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext

    Resolve = Callable[[str], str]

SAMPLE_KEYS = 5
MASK = "***"
_DATASOURCE = "warehouse"
_SCHEMA = "stage"
#: What Great Expectations calls lakehouse.layer.gx_rules.BrokenRows.
_OUR_QUERY = "broken_rows"
#: SQLSTATE classes whose messages speak of the query, not of a value: syntax, connection, resources.
_SAFE_SQLSTATES = ("42", "08", "53", "57")


@dataclass(frozen=True)
class Subject:
    """A relation to audit. ``relation`` is its name in schema ``stage`` (``stage.x``) or a query in parentheses.

    ``key`` are the columns that say which row is meant; values of ``personal`` columns are never shown.
    """

    table: str
    relation: str
    key: tuple[str, ...]
    personal: frozenset[str]
    expectations: tuple[Expectation, ...]


@dataclass(frozen=True)
class RuleResult:
    """The outcome of one rule. ``error``: why it could not be evaluated, which counts as a hard failure."""

    table: str
    rule: str
    severity: GateSeverity
    success: bool
    checked_rows: int
    failed_rows: int
    sample_keys: tuple[str, ...]
    description: str
    error: str | None = None

    @property
    def blocks(self) -> bool:
        """Whether nothing may be published because of this."""
        return not self.success and self.severity == "hard"


def raw_subject(contract: Contract, relation: str) -> Subject:
    """The staged rows of a table in bronze."""
    personal = frozenset(c.raw_name for c in contract.columns if c.pii == "personal")
    return Subject(contract.table, relation, ("_source_line",), personal, raw_expectations(contract))


def contract_subject(contract: Contract, relation: str) -> Subject:
    """The staged rows of a table in silver."""
    personal = frozenset(c.name for c in contract.columns if c.pii == "personal")
    return Subject(contract.table, relation, contract.key, personal, contract_expectations(contract))


def gold_subject(model: GoldModel, relation: str) -> Subject:
    """The staged rows of a gold table."""
    personal = frozenset(c for c, pii in model.pii.items() if pii == "personal")
    return Subject(model.table, relation, model.key, personal, gold_expectations(model))


def accounting_subject(relation: str, allow_empty: Sequence[str] = ()) -> Subject:
    """The rows read, published, quarantined and dropped as duplicates, one row per table."""
    return Subject("accounting", relation, ("table_name",), frozenset(), accounting_expectations(allow_empty))


def agreement_subject(relation: str) -> Subject:
    """Row counts and column checksums of both homes."""
    return Subject(
        "agreement", relation, ("table_name", "column_name"), frozenset(), agreement_expectations()
    )


def run_gate(
    engine: Engine,
    subjects: Sequence[Subject],
    *,
    layer: str,
    partition_key: str,
    source: str,
    resolve: Resolve,
    docs: DocsTarget | None = None,
) -> list[RuleResult]:
    """Evaluate every expectation of every subject; one result each, in order.

    ``resolve`` maps the other relations a rule names (``ods.olist_orders``, ``gold.dim_date``) to physical
    ones. A rule that cannot be evaluated is a failed hard result. Nothing may be published when any result
    ``blocks``. Data Docs that cannot be written are logged and change nothing.

    Raises:
        sqlalchemy.exc.DBAPIError: the warehouse cannot be reached at all.
    """
    with (
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn,
        _context(engine) as context,
    ):
        results: list[RuleResult] = []
        pages: list[ExpectationSuiteValidationResult] = []
        for subject in subjects:
            page, outcome = _audit(context, conn, subject, layer, resolve)
            results += outcome
            if page:
                pages.append(_for_readers(page, outcome))
    if docs:
        docs.add(pages, run=f"{source}-{layer}-{partition_key}")
    return results


def failure_message(results: Sequence[RuleResult], *, warnings_too: bool = False) -> str:
    """One line per broken hard rule: table, rule, counts, sample keys. Empty when there is none."""
    lines = []
    for r in results:
        if r.success or not (r.blocks or warnings_too):
            continue
        if r.error:
            lines.append(f"{r.table}: {r.severity} rule {r.rule} could not be evaluated: {r.error}")
            continue
        what = f"{r.failed_rows} of {r.checked_rows} rows" if r.failed_rows else f"{r.checked_rows} rows"
        keys = f"; for example {', '.join(r.sample_keys)}" if r.sample_keys else ""
        lines.append(f"{r.table}: {r.severity} rule {r.rule} is broken by {what} ({r.description}){keys}")
    return "\n".join(lines)


def _audit(
    context: EphemeralDataContext, conn: Connection, subject: Subject, layer: str, resolve: Resolve
) -> tuple[ExpectationSuiteValidationResult | None, list[RuleResult]]:
    """Evaluate one subject; also Great Expectations' own result, when there is one."""
    try:
        checked = _count(conn, subject.relation)
        page = _validate(context, subject, layer, resolve)
    except Exception as error:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise
        # Whatever it is, the rules of this subject have not been evaluated, and that must block.
        return None, [_unevaluated(subject, e, 0, _safe(error)) for e in subject.expectations]
    answers = {_rule_of(r): r for r in page.results}
    results = []
    for expectation in subject.expectations:
        answer = answers.get(expectation.rule)
        # An evaluated rule has {"raised_exception": False}; a failed metric has an entry under its own id.
        if answer is not None and answer.success and answer.exception_info.get("raised_exception") is False:
            results.append(_result(subject, expectation, checked, success=True))
            continue
        result = _diagnose(conn, subject, expectation, checked, resolve)
        if answer is None or answer.exception_info.get("raised_exception") is not False:
            result = _unevaluated(
                subject, expectation, checked, result.error or "a rule it is computed with failed"
            )
        results.append(result)
    return page, results


def _rule_of(answer: ExpectationValidationResult) -> str:
    configuration: Any = answer.expectation_config
    return str(configuration.meta["rule"])


def _for_readers(
    page: ExpectationSuiteValidationResult, results: Sequence[RuleResult]
) -> ExpectationSuiteValidationResult:
    """Put our counts in, in Great Expectations' words, and take tracebacks out: they may quote data."""
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    by_rule = {r.rule: r for r in results}
    for answer in page.results:
        result = by_rule[_rule_of(answer)]
        configuration: Any = answer.expectation_config
        kind = QUERY if configuration.type == _OUR_QUERY else configuration.type
        examples = f" For example {', '.join(result.sample_keys)}." if result.sample_keys else ""
        # Whoever builds the pages again knows Great Expectations' own types only.
        answer.expectation_config = ExpectationConfiguration(
            type=kind,
            kwargs=configuration.kwargs,
            severity=configuration.severity,
            description=configuration.description + examples,
            meta=configuration.meta,
        )
        if result.error:
            answer.exception_info = {
                "raised_exception": True,
                "exception_message": result.error,
                "exception_traceback": "",
            }
        elif kind == ROW_COUNT:
            answer.result = {"observed_value": result.checked_rows}
        elif kind == QUERY:
            answer.result = {"observed_value": result.failed_rows}
        else:
            share = 100.0 * result.failed_rows / result.checked_rows if result.checked_rows else 0.0
            answer.result = {
                "element_count": result.checked_rows,
                "unexpected_count": result.failed_rows,
                "unexpected_percent": share,
                "unexpected_percent_nonmissing": share,
            }
    return page


@contextlib.contextmanager
def _context(engine: Engine) -> Iterator[EphemeralDataContext]:
    """A context with the warehouse as its data source; its connections are closed afterwards."""
    with quietly():
        context = new_context()
        options = {"options": f"-c search_path={_SCHEMA}", "application_name": "lakehouse-gate"}
        url = engine.url.update_query_dict(options).render_as_string(hide_password=False)
        # In GX a dollar sign starts a variable.
        source = context.data_sources.add_postgres(_DATASOURCE, connection_string=url.replace("$", r"\$"))
        try:
            yield context
        finally:
            source.get_execution_engine().close()
            source.get_engine().dispose()


def _validate(
    context: EphemeralDataContext, subject: Subject, layer: str, resolve: Resolve
) -> ExpectationSuiteValidationResult:
    """Great Expectations' verdict on a subject. Only booleans are asked for, so it fetches no values."""
    import great_expectations as gx

    name, relation = f"{layer}.{subject.table}", subject.relation
    source: Any = context.data_sources.get(_DATASOURCE)
    if relation.startswith("("):
        asset = source.add_query_asset(name, query=relation[1:-1])
    else:
        # Of a query it would fetch every row, only to learn the names of the columns.
        asset = source.add_table_asset(name, table_name=relation.removeprefix(f"{_SCHEMA}."))
    batch = asset.add_batch_definition_whole_table("staged").get_batch()
    suite = gx.ExpectationSuite(
        name=f"{layer}.{subject.table}",
        expectations=[_implementation(e, resolve) for e in subject.expectations],
    )
    page: ExpectationSuiteValidationResult = batch.validate(suite, result_format="BOOLEAN_ONLY")
    return page


def _implementation(expectation: Expectation, resolve: Resolve) -> Any:
    """Great Expectations' object for an expectation."""
    from great_expectations.expectations.registry import get_expectation_impl

    from lakehouse.layer.gx_rules import BrokenRows

    kwargs = dict(expectation.kwargs)
    implementation: Any = BrokenRows
    if expectation.type == QUERY:
        kwargs["unexpected_rows_query"] = batch_query(kwargs["unexpected_rows_query"], resolve)
    else:
        implementation = get_expectation_impl(expectation.type)
    return implementation(
        **kwargs,
        severity="critical" if expectation.severity == "hard" else "warning",
        description=f"{expectation.rule} ({expectation.severity}): {expectation.description}",
        meta={"rule": expectation.rule},
    )


def _count(conn: Connection, relation: str) -> int:
    alias = " as subject" if relation.startswith("(") else ""
    statement = f"select count(*) from {relation}{alias}"
    return int(conn.exec_driver_sql(statement.replace("%", "%%")).scalar_one())


def _result(
    subject: Subject,
    expectation: Expectation,
    checked: int,
    *,
    success: bool,
    failed: int = 0,
    keys: tuple[str, ...] = (),
) -> RuleResult:
    return RuleResult(
        table=subject.table,
        rule=expectation.rule,
        severity=expectation.severity,
        success=success,
        checked_rows=checked,
        failed_rows=failed,
        sample_keys=keys,
        description=expectation.description,
    )


def _unevaluated(subject: Subject, expectation: Expectation, checked: int, error: str) -> RuleResult:
    """A rule nobody could check blocks, whatever its severity."""
    result = _result(subject, expectation, checked, success=False)
    return replace(result, severity="hard", error=error)


def _diagnose(
    conn: Connection, subject: Subject, expectation: Expectation, checked: int, resolve: Resolve
) -> RuleResult:
    """How many rows broke a rule, and which."""
    if not expectation.broken:
        return _result(subject, expectation, checked, success=False)
    try:
        failed, keys = _broken_rows(conn, subject, expectation.broken, resolve)
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        return _unevaluated(subject, expectation, checked, _safe(error))
    return _result(subject, expectation, checked, success=False, failed=failed, keys=keys)


def _broken_rows(
    conn: Connection, subject: Subject, query: str, resolve: Resolve
) -> tuple[int, tuple[str, ...]]:
    """Count and first keys, in one statement. Personal columns are masked before they leave the database."""
    sql = rewrite(query, lambda name: subject.relation if name == "staged" else resolve(name))
    returned = sqlglot.parse_one(sql, dialect="postgres").named_selects  # type: ignore[attr-defined]
    shown = [c for c in subject.key if c in returned or "*" in returned]
    if not shown and not subject.personal and "*" not in returned:
        shown = [c for c in returned if c]
    columns = [f"'{MASK}'" if c in subject.personal else f"broken.{_quoted(c)}::text" for c in shown]
    order = ", ".join(f"broken.{_quoted(c)}" for c in shown) or "1"
    statement = (
        f"with broken as materialized ({sql}) "
        f"select (select count(*) from broken){''.join(f', {c}' for c in columns)} "
        f"from broken order by {order} limit {SAMPLE_KEYS}"
    )
    rows = conn.exec_driver_sql(statement.replace("%", "%%")).all()
    keys = tuple(", ".join(f"{c}={v}" for c, v in zip(shown, row[1:], strict=True)) for row in rows)
    return (int(rows[0][0]) if rows else 0), tuple(dict.fromkeys(k for k in keys if k))


def _quoted(name: str) -> str:
    return exp.to_identifier(name, quoted=True).sql(dialect="postgres")


def _safe(error: BaseException) -> str:
    """What can be told of an error without telling a value: messages of some classes quote the data."""
    if isinstance(error, DBAPIError):
        code = str(getattr(error.orig, "pgcode", None) or "")
        if code.startswith(_SAFE_SQLSTATES):
            return str(error.orig).splitlines()[0]
        return f"{type(error.orig).__name__} (SQLSTATE {code or 'unknown'})"
    return f"{type(error).__name__}"
