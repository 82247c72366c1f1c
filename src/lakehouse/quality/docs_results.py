"""Results as Great Expectations stores them, with what the pages tell beside: the gate, its verdict, earlier audits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.resource_identifiers import (
    ExpectationSuiteIdentifier,
    ValidationResultIdentifier,
)
from great_expectations.util import convert_to_json_serializable

from lakehouse.quality.docs_kept import Audit, Gate


def stored_result(result: ExpectationSuiteValidationResult, gate: Gate) -> dict[str, Any]:
    """A result as Great Expectations stores it, and where. Its own store copies every rule several times first."""
    identifier: Any = ValidationResultIdentifier(
        ExpectationSuiteIdentifier(result.suite_name),
        RunIdentifier(gate.run, datetime.fromisoformat(gate.time)),
        str(result.batch_id),
    )
    stored = {
        "id": result.id,
        "success": result.success,
        "results": [_answer(answer) for answer in result.results],
        "suite_name": result.suite_name,
        "suite_parameters": result.suite_parameters,
        "statistics": result.statistics,
        "meta": {
            **(result.meta or {}),
            "run_id": {"run_name": gate.run, "run_time": gate.time},
            "place": "/".join(identifier.to_tuple()),
        },
    }
    # Through text, so that a page is the same when it is made again.
    plain: dict[str, Any] = json.loads(json.dumps(stored, default=convert_to_json_serializable))
    return plain


def told_of_gate(
    gate: Gate, audit: Audit, earlier: Sequence[tuple[Gate, Audit]], *, has_suite: bool
) -> dict[str, Any]:
    """What the page of an audit tells beside its rules. ``earlier`` audits of the table, oldest first."""
    return {
        "source": gate.source,
        "layer": gate.layer,
        "day": gate.day,
        "time": gate.time,
        "verdict": gate.verdict,
        "blocked_by": gate.blocked_by,
        "table": audit.table,
        "state": audit.state,
        "owner": audit.owner,
        "page": audit.page,
        "has_suite": has_suite,
        "earlier": [
            {
                "day": past.day,
                "page": found.page,
                "rules": {rule: [o.state, o.failed] for rule, o in found.rules.items()},
            }
            for past, found in earlier
        ],
    }


def _answer(answer: ExpectationValidationResult) -> dict[str, Any]:
    rule: Any = answer.expectation_config
    return {
        "success": answer.success,
        "expectation_config": {
            "type": rule.type,
            "kwargs": rule.kwargs,
            "meta": rule.meta,
            "description": rule.description,
            "severity": rule.severity,
        },
        "result": answer.result,
        "meta": answer.meta,
        "exception_info": answer.exception_info,
    }
