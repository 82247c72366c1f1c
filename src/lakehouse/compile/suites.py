"""Compiles rules to the project ``great_expectations/``: its suites, and the assets they can be run against.

The gate makes its expectations from the same rules, so these files are for people: to read, to open with
Great Expectations by hand, to run against what is published. That is in Postgres, so queries are translated to its
dialect. Ids are derived from names, so that generating again changes nothing.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

from lakehouse.compile.refs import parse
from lakehouse.compile.rules import (
    QUERY,
    Expectation,
    accounting_expectations,
    agreement_expectations,
    batch_query,
    contract_expectations,
    gold_expectations,
    raw_expectations,
    shrink_expectations,
    table_expectations,
)
from lakehouse.contract import Project
from lakehouse.contract.model import LAYERS, SCHEMAS

FOLDER = "great_expectations"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "suites.lakehouse-lite")
#: The project's settings. What is run by hand is kept in memory: nothing is written into a checkout. The pages of the
#: gates are elsewhere (quality.docs).
_SETTINGS = """\
# Compiled from contracts by `make generate`. Do not edit.
config_version: 4.0
data_context_id: {context_id}
analytics_enabled: false
progress_bars:
  globally: false
  metric_calculations: false
plugins_directory: plugins/
expectations_store_name: expectations_store
validation_results_store_name: validation_results_store
checkpoint_store_name: checkpoint_store
stores:
  expectations_store:
    class_name: ExpectationsStore
    store_backend:
      class_name: TupleFilesystemStoreBackend
      suppress_store_backend_id: true
      base_directory: expectations/
  validation_results_store:
    class_name: ValidationResultsStore
    store_backend: {{class_name: InMemoryStoreBackend}}
  checkpoint_store:
    class_name: CheckpointStore
    store_backend: {{class_name: InMemoryStoreBackend}}
  validation_definition_store:
    class_name: ValidationDefinitionStore
    store_backend: {{class_name: InMemoryStoreBackend}}
fluent_datasources:
  warehouse:
    type: postgres
    id: {source_id}
    connection_string: ${{LAKEHOUSE_PG_DSN}}
    assets:
"""
_ASSET = """\
      {name}:
        type: query
        id: {asset_id}
        query: select * from {relation}
        batch_metadata: {{}}
        batch_definitions:
          published:
            id: {batch_id}
            partitioner:
"""


def suite_files(project: Project) -> dict[str, str]:
    """Path below the project's root → text: every suite as JSON, and the settings of the project.

    Suites are called ``<layer>.<table>``; GX keeps them in one folder per layer. Every layer also has the
    suites ``accounting`` and ``agreement``: the rules every publish must keep; bronze and silver also ``shrinking``.
    """
    suites = all_suites(project)
    files = {
        f"{FOLDER}/expectations/{name.replace('.', '/')}.json": _suite(name, origin, expectations)
        for name, (origin, expectations) in sorted(suites.items())
    }
    return files | {f"{FOLDER}/great_expectations.yml": _settings(sorted(suites))}


def all_suites(project: Project) -> dict[str, tuple[str, Sequence[Expectation]]]:
    """``<layer>.<table>`` → the file it comes from, and what is expected."""
    suites: dict[str, tuple[str, Sequence[Expectation]]] = {}
    for layer in LAYERS:
        suites[f"{layer}.accounting"] = ("src/lakehouse/compile/rules.py", accounting_expectations())
        suites[f"{layer}.agreement"] = ("src/lakehouse/compile/rules.py", agreement_expectations())
    for layer in ("bronze", "silver"):
        suites[f"{layer}.shrinking"] = ("src/lakehouse/compile/rules.py", shrink_expectations())
    for contract in project.contracts.values():
        origin = f"contracts/{contract.source}/{contract.name}.yaml"
        suites[f"bronze.{contract.table}"] = (origin, raw_expectations(contract))
        suites[f"silver.{contract.table}"] = (origin, contract_expectations(contract))
        if contract.history:
            suites[f"silver.{contract.history.table}"] = (origin, table_expectations(contract.history))
    for model in project.gold.values():
        suites[f"gold.{model.table}"] = (f"contracts/gold/{model.table}.yaml", gold_expectations(model))
    return suites


def _settings(suites: Sequence[str]) -> str:
    text = _SETTINGS.format(context_id=_id("context"), source_id=_id("warehouse"))
    for name in suites:
        layer, _, table = name.partition(".")
        if table not in ("accounting", "agreement", "shrinking"):
            text += _ASSET.format(
                name=name,
                relation=f"{SCHEMAS[layer]}.{table}",
                asset_id=_id(f"asset/{name}"),
                batch_id=_id(f"batch/{name}"),
            )
    return text


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
        published = parse(expectation.broken).sql(dialect="postgres", pretty=True)
        kwargs["unexpected_rows_query"] = batch_query(published)
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
