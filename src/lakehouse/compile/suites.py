"""Compiles rules to the expectation suites of the project ``great_expectations/``.

The gate makes its expectations from the same rules, so these files are for people: to read, to open with
Great Expectations by hand, to run against what is published. Ids are derived from names, so that generating
again changes nothing.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

from lakehouse.compile.rules import (
    QUERY,
    Expectation,
    accounting_expectations,
    agreement_expectations,
    batch_query,
    contract_expectations,
    gold_expectations,
    raw_expectations,
)
from lakehouse.contract import Project

FOLDER = "great_expectations/expectations"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "suites.lakehouse-lite")


def suite_files(project: Project) -> dict[str, str]:
    """Path below the project's root → JSON text of every suite.

    Suites are called ``<layer>.<table>``; GX keeps them in one folder per layer. ``accounts.accounting`` and
    ``accounts.agreement`` are the rules every publish must keep.
    """
    suites: dict[str, tuple[str, Sequence[Expectation]]] = {
        "accounts.accounting": ("Every row is accounted for.", accounting_expectations()),
        "accounts.agreement": ("Warehouse and lake hold the same.", agreement_expectations()),
    }
    for contract in project.contracts.values():
        origin = f"contracts/{contract.source}/{contract.name}.yaml"
        suites[f"bronze.{contract.table}"] = (origin, raw_expectations(contract))
        suites[f"silver.{contract.table}"] = (origin, contract_expectations(contract))
    for model in project.gold.values():
        suites[f"gold.{model.table}"] = (f"sql/gold/{model.table}.sql", gold_expectations(model))
    return {
        f"{FOLDER}/{name.replace('.', '/')}.json": _suite(name, origin, expectations)
        for name, (origin, expectations) in sorted(suites.items())
    }


def _suite(name: str, origin: str, expectations: Sequence[Expectation]) -> str:
    suite = {
        "name": name,
        "id": _id(name),
        "meta": {"compiled from": origin, "great_expectations_version": "1"},
        "notes": None,
        "expectations": [_expectation(name, e) for e in expectations],
    }
    return json.dumps(suite, indent=2, ensure_ascii=False, default=str) + "\n"


def _expectation(suite: str, expectation: Expectation) -> dict[str, Any]:
    kwargs = dict(expectation.kwargs)
    if expectation.type == QUERY:
        kwargs["unexpected_rows_query"] = batch_query(kwargs["unexpected_rows_query"])
    return {
        "type": expectation.type,
        "id": _id(f"{suite}/{expectation.rule}"),
        "severity": "critical" if expectation.severity == "hard" else "warning",
        "description": f"{expectation.rule} ({expectation.severity}): {expectation.description}",
        "kwargs": kwargs,
        "meta": {"rule": expectation.rule},
    }


def _id(name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, name))
