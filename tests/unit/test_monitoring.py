"""Alerts, dashboard and advice against the exporter, the runbooks, the compose file and the system's design."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from lakehouse.monitor.advice import MEASURES, Known, Measure, Verdict, judge
from lakehouse.monitor.exporter import PROBES
from lakehouse.monitor.figures import FAMILIES
from lakehouse.monitor.questions import percentile, questions

from ..support import compose

ROOT = compose.ROOT
MONITORING = ROOT / "deploy" / "monitoring"
RULES = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"][0]["rules"]
TRIED = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"]
DASHBOARD = json.loads((MONITORING / "grafana" / "lakehouse.json").read_text())
PROMTOOL = shutil.which("promtool") or shutil.which(ROOT / ".tools" / "promtool")
NOW = datetime(2026, 1, 1, tzinfo=UTC)

#: Metric → its labels.
SHOWN: dict[str, set[str]] = {family.name: set(family.label_names) for family in FAMILIES} | {
    "lakehouse_home_up": {"home"},
    "lakehouse_airflow_up": {"component"},
    "lakehouse_disk_free_bytes": {"path"},
    "lakehouse_disk_size_bytes": {"path"},
    "ALERTS": {"alertname", "alertstate"},  # Prometheus' own
}


def parts(node: Any) -> Iterator[Any]:
    """A query's nodes."""
    yield node
    for name in ("lhs", "rhs", "expr", "vector_selector"):
        if (child := getattr(node, name, None)) is not None:
            yield from parts(child)
    for child in getattr(node, "args", None) or []:
        yield from parts(child)


def refuse_unknown(query: str) -> None:
    """Fail on a metric or a label that nobody shows."""
    selectors = [n for n in parts(promql_parser.parse(query)) if isinstance(n, promql_parser.VectorSelector)]
    assert selectors or "vector(" in query
    for selector in selectors:
        assert selector.name in SHOWN, selector.name
        used = {matcher.name for matcher in selector.matchers.matchers}
        assert used <= SHOWN[selector.name], (selector.name, used)


def test_every_probe_has_labels_here() -> None:
    assert PROBES.keys() <= SHOWN.keys()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_is_shown_and_leads_to_a_runbook_that_names_it(rule: dict[str, Any]) -> None:
    refuse_unknown(rule["expr"])
    assert rule["labels"]["severity"] in ("warning", "critical")
    annotations = rule["annotations"]
    assert annotations.keys() == {"summary", "runbook"}
    assert f"`{rule['alert']}`" in (ROOT / annotations["runbook"]).read_text()
    selectors = [
        node
        for node in parts(promql_parser.parse(rule["expr"]))
        if isinstance(node, promql_parser.VectorSelector)
    ]
    told = set(re.findall(r"\$labels\.(\w+)", annotations["summary"]))
    assert told <= SHOWN[str(selectors[0].name)]


def test_every_alert_is_tried_by_promtool() -> None:
    tried = {case["alertname"] for test in TRIED for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert tried == {rule["alert"] for rule in RULES}


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not on PATH; `.ci/promtool` fetches it")
@pytest.mark.parametrize(
    "arguments", [["check", "config", "--syntax-only", "prometheus.yml"], ["check", "rules", "alerts.yml"],
                  ["test", "rules", "alerts_test.yml"]],
    ids=lambda arguments: " ".join(arguments[:2]),
)  # fmt: skip
def test_promtool_agrees(arguments: list[str]) -> None:
    if arguments[1] == "config" and "version 2." in _version():
        pytest.skip("Prometheus 2 does not know the section `otlp`")
    done = subprocess.run(
        [str(PROMTOOL), *arguments], cwd=MONITORING, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _version() -> str:
    return subprocess.run([str(PROMTOOL), "--version"], capture_output=True, text=True, check=True).stdout


def test_a_panel_asks_one_of_the_provisioned_sources_for_what_is_there() -> None:
    sources = yaml.safe_load((MONITORING / "grafana" / "datasources.yml").read_text())["datasources"]
    known = {source["uid"]: source["type"] for source in sources}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            source = target["datasource"]
            assert known[source["uid"]] == source["type"]
            if "expr" in target:
                refuse_unknown(target["expr"])
            else:
                relations = set(re.findall(r"\b(?:from|join) (?!lateral)([a-z_.]+)", target["rawSql"]))
                assert relations
                assert all(relation.startswith("ops.metric_") for relation in relations)
    for annotation in DASHBOARD["annotations"]["list"]:
        refuse_unknown(annotation["expr"])


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_prometheus_and_grafana_are_told_where_things_are(tmp_path: Path) -> None:
    services = compose.services(compose.filled_in(tmp_path))
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    targets = {
        target
        for job in config["scrape_configs"]
        for static in job["static_configs"]
        for target in static["targets"]
    }
    command = services["metrics"]["command"]
    assert f"metrics:{command[command.index('--port') + 1]}" in targets
    mounted = {c["target"] for service in services.values() for c in service.get("configs", [])}
    assert set(config["rule_files"]) <= mounted
    provider = yaml.safe_load((MONITORING / "grafana" / "dashboards.yml").read_text())["providers"][0]
    assert services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] in mounted
    assert any(Path(path).is_relative_to(provider["options"]["path"]) for path in mounted)
    given = services["grafana"]["environment"]
    wanted = set(re.findall(r"\$([A-Z_]+)", (MONITORING / "grafana" / "datasources.yml").read_text()))
    assert wanted <= given.keys()


# --- advice -----------------------------------------------------------------------------------------------------


def measure(name: str) -> Measure:
    return next(m for m in MEASURES if m.name == name)


def test_thresholds_engines_and_costs_are_those_of_the_systems_design() -> None:
    text = (ROOT / "SDS.md").read_text(encoding="utf-8")
    costs = " ".join(re.findall(r"\d[\d,]* to \d[\d,]* €", text))
    for each in MEASURES:
        assert each.cost in costs
        assert each.first in text
    rows = dict(re.findall(r"^\| ([\w ,]+) \| ([^|]+) \| [^|]+ \| [^|]+ \|$", text, re.MULTILINE))
    assert rows["KPI query, p95"] == f"{measure('kpi_p95_seconds').threshold:g} s"
    size = measure("warehouse_bytes")
    assert rows["warehouse size"] == f"{size.threshold / 1e9:g} to {size.upper / 1e9:g} GB"
    users = measure("readers_active")
    assert rows["concurrent users"] == f"{users.threshold:g} to {users.upper:g}"
    assert rows["scheduled queries"] == f"{measure('queries_per_day').threshold:g} a day"


@pytest.mark.parametrize(
    ("now", "verdict"),
    [(None, Verdict.unknown), (9e9, Verdict.far), (150e9, Verdict.near), (200e9, Verdict.passed)],
)
def test_a_size_is_judged_by_where_it_stands(now: float | None, verdict: Verdict) -> None:
    assert judge(measure("warehouse_bytes"), Known(now, is_lasting=True), NOW).verdict == verdict


@pytest.mark.parametrize(
    ("days", "count", "verdict"),
    [(0, 1, Verdict.once), (13, 30, Verdict.once), (15, 2, Verdict.once), (15, 3, Verdict.passed)],
)
def test_a_slow_day_is_no_reason_and_slow_weeks_are(days: int, count: int, verdict: Verdict) -> None:
    known = Known(31, above_since=NOW - timedelta(days=days), above_count=count)
    assert judge(measure("kpi_p95_seconds"), known, NOW).verdict == verdict


def test_the_day_on_which_a_size_passes_is_on_the_line_through_its_samples() -> None:
    size = measure("warehouse_bytes")
    assert judge(size, Known(100e9, per_day=1e9), NOW).passed_on == NOW + timedelta(days=100)
    for growth in (None, 0.0, -1e9, 1.0):
        assert judge(size, Known(100e9, per_day=growth), NOW).passed_on is None


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3.0], 0.95) == 3.0
    assert percentile([float(n) for n in range(1, 101)], 0.95) == 95.0
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.0


def test_questions_read_gold_only() -> None:
    from lakehouse.contract import Project

    gold = Project.load().gold
    for path in questions(ROOT):
        read = set(re.findall(r"\b(?:from|join) (\w+\.\w+)", path.read_text()))
        assert read, path
        assert {name.removeprefix("gold.") for name in read} <= gold.keys()
