"""The gate: Great Expectations over staged rows, in SQL, before anybody can read them.

Great Expectations decides which rules hold; it counts and returns no values. For every broken rule one query
of ours then fetches how many rows broke it and the keys of the first five. So no value of a row can get into
results, messages or Data Docs other than keys, and of those not the personal ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lakehouse.compile.rules import (
    Expectation,
    GateSeverity,
    accounting_expectations,
    agreement_expectations,
    contract_expectations,
    gold_expectations,
    raw_expectations,
    removal_expectations,
    shrink_expectations,
    table_expectations,
)
from lakehouse.contract import Contract, GoldModel
from lakehouse.contract.model import History
from lakehouse.engine.sqlalchemy import error_without_values, is_lost, sqlalchemy_engine
from lakehouse.quality.docs import DocsTarget
from lakehouse.quality.gx_context import load, quietly

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from sqlalchemy import Engine

    from lakehouse.engine.session import Session

SAMPLE_KEYS = 5
MASK = "***"


@dataclass(frozen=True)
class Subject:
    """A relation to audit: a table or view in schema ``main`` of the session.

    ``table`` is the name people know: ``olist_orders``, ``olist_orders.removed``, ``accounting``. ``key`` are the
    columns that say which row is meant; values of ``personal`` columns are never shown.
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


def contract_subject(contract: Contract, relation: str, *, may_be_empty: bool = False) -> Subject:
    """The staged rows of a table in silver."""
    expectations = table_expectations(contract) if may_be_empty else contract_expectations(contract)
    return Subject(contract.table, relation, contract.key, contract.personal, expectations)


def removed_subject(contract: Contract, relation: str, others: Iterable[Contract]) -> Subject:
    """The rows of a table that a publish of silver deletes. ``others`` are the tables that may point to them."""
    expectations = removal_expectations(contract, others)
    return Subject(f"{contract.table}.removed", relation, contract.key, contract.personal, expectations)


def history_subject(history: History, relation: str) -> Subject:
    """The staged rows of a history."""
    return Subject(history.table, relation, history.key, history.personal, table_expectations(history))


def shrinking_subject(relation: str) -> Subject:
    """Rows that are served and rows that come instead, one row per table and partition."""
    key = ("table_name", "partition_key", "served_rows", "delivered_rows")
    return Subject("shrinking", relation, key, frozenset(), shrink_expectations())


def gold_subject(model: GoldModel, relation: str, *, may_be_empty: bool = False) -> Subject:
    """The staged rows of a gold table."""
    expectations = table_expectations(model) if may_be_empty else gold_expectations(model)
    return Subject(model.table, relation, model.key, model.personal, expectations)


def accounting_subject(relation: str, allow_empty: Sequence[str] = ()) -> Subject:
    """The rows read, published, quarantined and dropped as duplicates, one row per table and batch."""
    expectations = accounting_expectations(allow_empty)
    return Subject("accounting", relation, ("table_name", "batch_id"), frozenset(), expectations)


def agreement_subject(relation: str) -> Subject:
    """Row counts and hashes of both homes, one row per table and part."""
    key = ("table_name", "part", "warehouse_rows", "lake_rows")
    return Subject("agreement", relation, key, frozenset(), agreement_expectations())


def run_gate(
    session: Session,
    subjects: Sequence[Subject],
    *,
    layer: str,
    partition_key: str,
    source: str,
    docs: DocsTarget | None = None,
) -> list[RuleResult]:
    """Evaluate every expectation of every subject; one result each, in order.

    Rules name other tables as the session does: ``ods.<table>`` and ``gold.<table>`` as they will be after the
    publish. A rule that cannot be evaluated is a failed hard result. Nothing may be published when any result
    ``blocks``. Data Docs that cannot be written are logged and change nothing.

    Raises:
        duckdb.Error: the session is closed or broken, so that no rule can be evaluated.
    """
    load()
    from lakehouse.quality.gx_rules import suite_result

    engine = sqlalchemy_engine(session.connection)
    results: list[RuleResult] = []
    pages = []
    with quietly():
        for subject in subjects:
            outcome, answers = _audit(session, engine, subject)
            results += outcome
            if answers:
                pages.append(suite_result(f"{layer}.{subject.table}", answers))
    if docs:
        docs.add(pages, source=source, layer=layer, day=partition_key)
    return results


def _audit(
    session: Session, engine: Engine, subject: Subject
) -> tuple[list[RuleResult], list[ExpectationValidationResult]]:
    """Evaluate one subject; also Great Expectations' answers, when there are any, as readers may see them."""
    from lakehouse.quality.gx_rules import evaluate, for_readers, holds, unanswered

    try:
        checked = int(session.value(f"select count(*) from {subject.relation}"))
        answers = evaluate(engine, subject.relation, subject.expectations)
    except Exception as error:
        if is_lost(error):
            raise
        # Whatever it is, the rules of this subject have not been evaluated, and that must block.
        why = error_without_values(error)
        nothing = [
            for_readers(unanswered(), e, checked=0, failed=0, examples=(), error=why)
            for e in subject.expectations
        ]
        return [_unevaluated(subject, e, 0, why) for e in subject.expectations], nothing
    results, shown = [], []
    for expectation in subject.expectations:
        answer = answers.get(expectation.rule)
        verdict = holds(answer)
        result = _result(subject, expectation, checked)
        if not verdict:
            result = _diagnose(session, subject, expectation, checked)
        if verdict is None:
            reason = result.error or "a rule it is computed with failed"
            result = _unevaluated(subject, expectation, checked, reason)
        results.append(result)
        shown.append(
            for_readers(
                answer or unanswered(),
                expectation,
                checked=checked,
                failed=result.failed_rows,
                examples=result.sample_keys,
                error=result.error,
            )
        )
    return results, shown


def _result(subject: Subject, expectation: Expectation, checked: int) -> RuleResult:
    """The result of a rule that holds."""
    return RuleResult(
        table=subject.table,
        rule=expectation.rule,
        severity=expectation.severity,
        success=True,
        checked_rows=checked,
        failed_rows=0,
        sample_keys=(),
        description=expectation.description,
    )


def _unevaluated(subject: Subject, expectation: Expectation, checked: int, error: str) -> RuleResult:
    """A rule nobody could check blocks, whatever its severity."""
    result = _result(subject, expectation, checked)
    return replace(result, success=False, severity="hard", error=error)


def _diagnose(session: Session, subject: Subject, expectation: Expectation, checked: int) -> RuleResult:
    """How many rows broke a rule, and which."""
    result = replace(_result(subject, expectation, checked), success=False)
    if not expectation.broken:
        return result
    try:
        failed, keys = _broken_rows(session, subject, expectation.broken)
    except Exception as error:
        if is_lost(error):
            raise
        return _unevaluated(subject, expectation, checked, error_without_values(error))
    return replace(result, failed_rows=failed, sample_keys=keys)


def _broken_rows(session: Session, subject: Subject, query: str) -> tuple[int, tuple[str, ...]]:
    """Count and first keys, in one statement. Personal columns are masked before they leave the engine."""
    broken = (
        f"with staged as not materialized (select * from {subject.relation}), "
        f"broken as materialized (\n{query.strip().rstrip(';')}\n) "
    )
    returned = [name for name, *_ in session.rows(f"describe {broken} select * from broken")]
    shown = [c for c in subject.key if c in returned]
    if not shown and not subject.personal:
        shown = returned
    columns = [f"'{MASK}'" if c in subject.personal else f'cast(broken."{c}" as text)' for c in shown]
    order = ", ".join(f'broken."{c}"' for c in shown) or "1"
    rows = session.rows(
        f"{broken} select (select count(*) from broken){''.join(f', {c}' for c in columns)} "
        f"from broken order by {order} limit {SAMPLE_KEYS}"
    )
    keys = tuple(", ".join(f"{c}={v}" for c, v in zip(shown, row[1:], strict=True)) for row in rows)
    return (int(rows[0][0]) if rows else 0), tuple(dict.fromkeys(k for k in keys if k))
