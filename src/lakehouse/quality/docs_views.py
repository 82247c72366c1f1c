"""The pages of Data Docs: Great Expectations' documents, shown by its view with the templates of this project.

Its own templates pull scripts and styles from the internet, call a table that was published with a warning *Failed*,
and do not escape what they show; ``great_expectations/plugins/custom_data_docs`` has those used here. A document is
made of blocks; a block's type names its template.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from great_expectations.render.components import (
    RenderedComponentContent,
    RenderedDocumentContent,
    RenderedSectionContent,
)
from great_expectations.render.view.view import DefaultJinjaPageView
from jinja2 import FileSystemLoader
from markupsafe import Markup, escape

from lakehouse.compile.rules import BETWEEN, IN_SET, NOT_NULL, REGEX, ROW_COUNT, UNIQUE
from lakehouse.contract.model import LAYERS
from lakehouse.quality.docs_kept import STATES, Audit, Gate, Kept, Outcome, State, by_day

#: What the pages fetch, all of it from beside them.
ASSETS = {"assets/data-docs.css": "styles", "assets/data-docs.js": "styles", "assets/data-docs.svg": "styles"}
_SHOWN_VALUES = 12


class PageView(DefaultJinjaPageView):
    """Great Expectations' view with templates of ours, which escape everything."""

    def __init__(self, views: Path) -> None:
        super().__init__()
        self.env.loader = FileSystemLoader(views)
        self.env.autoescape = True
        self.env.filters["breakable"] = _breakable
        self.env.trim_blocks = self.env.lstrip_blocks = True


def _breakable(name: str) -> Markup:
    """A name that breaks between its words only."""
    return escape(name).replace("_", Markup("_<wbr>"))


class Block(RenderedComponentContent):
    """A part of a page: ``<kind>.j2`` shows the fields."""

    def __init__(self, kind: str, **fields: Any) -> None:
        super().__init__(kind)
        self.fields = fields

    def to_json_dict(self) -> dict[str, Any]:
        """What the template is given."""
        return {**super().to_json_dict(), **self.fields}


def assets(plugins: Path) -> dict[str, bytes]:
    """Name → bytes of the files that all pages fetch."""
    return {name: (_folder(plugins) / kind / Path(name).name).read_bytes() for name, kind in ASSETS.items()}


def look(plugins: Path) -> str:
    """A token that is another one when pages look otherwise."""
    files = sorted(path for path in _folder(plugins).rglob("*") if path.is_file())
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]


def front_page(kept: Kept, suites: Sequence[str], plugins: Path) -> str:
    """What each layer is like now, blocked ones first; then all audits, the newest day first, in it the worst."""
    last = kept.last_of_partitions()
    newest: dict[tuple[str, str], Gate] = {}
    for gate in last:
        seen = newest.setdefault((gate.source, gate.layer), gate)
        if gate.day > seen.day:
            newest[gate.source, gate.layer] = gate
    days = [{"day": day, "gates": [_gate(g) for g in gates]} for day, gates in by_day(last, LAYERS).items()]
    block = Block(
        "days",
        days=days,
        newest=[
            _gate(g)
            for g in sorted(
                newest.values(), key=lambda g: (g.verdict != "blocked", g.source, LAYERS.index(g.layer))
            )
        ],
        sources=sorted({g.source for g in last}),
        layers=[layer for layer in LAYERS if any(g.layer == layer for g in last)],
        states=STATES,
        suites=[{"name": name, "page": suite_name(name)} for name in sorted(suites)],
    )
    return _rendered("Quality of the data", [block], "index.html", plugins)


def gate_page(gate: Gate, plugins: Path) -> str:
    """What one gate has found, table by table."""
    title = f"{gate.source} {gate.layer}, {gate.day}"
    return _rendered(title, [Block("gate", gate=_gate(gate))], gate.page, plugins)


def audit_page(stored: Mapping[str, Any], plugins: Path) -> str:
    """What an audit has found about one table, rule by rule; made from the stored result."""
    told = stored["meta"]["lakehouse"]
    rules = [_rule(answer, told["earlier"]) for answer in stored["results"]]
    rules.sort(key=lambda rule: STATES.index(rule["state"]))
    gate = Gate(told["source"], told["layer"], told["day"], told["time"])
    head = Block(
        "audit",
        gate={"page": gate.page, "name": f"{gate.source} {gate.layer} {gate.day}"},
        state=told["state"],
        counts=[(state, sum(r["state"] == state for r in rules)) for state in STATES],
        table=told["table"],
        suite=suite_name(stored["suite_name"]) if told["has_suite"] else None,
        facts=_facts(told),
        published=_published(told),
    )
    title = f"{told['table']}, {told['layer']}, {told['day']}"
    return _rendered(title, [head, Block("rules", rules=rules, audited=True)], told["page"], plugins)


def suite_page(suite: Mapping[str, Any], owner: str, plugins: Path) -> str:
    """The rules of a table as they are written."""
    layer, _, table = suite["name"].partition(".")
    rules = [_written(rule) for rule in suite["expectations"]]
    head = Block("suite", layer=layer, table=table, owner=owner, origin=suite["meta"].get("compiled from"))
    title = f"Rules of {table}, {layer}"
    return _rendered(
        title, [head, Block("rules", rules=rules, audited=False)], suite_name(suite["name"]), plugins
    )


def suite_name(suite: str) -> str:
    """The name of the page of a suite."""
    return f"expectations/{suite.replace('.', '/')}.html"


def outcome(answer: Mapping[str, Any]) -> Outcome:
    """What a stored answer says of its rule. One that could not be evaluated blocks, whatever its severity."""
    state: State = "passed"
    if not answer["success"]:
        hard = _is_hard(answer["expectation_config"]) or _error(answer)
        state = "blocked" if hard else "warned"
    meta = answer["expectation_config"]["meta"]
    return Outcome(state, meta["failed"], meta["checked"])


def _rule(answer: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    rule, found = answer["expectation_config"], outcome(answer)
    trend = [
        {
            "state": past["rules"][name][0],
            "failed": past["rules"][name][1],
            "day": past["day"],
            "page": past["page"],
        }
        for name in [rule["meta"]["rule"]]
        for past in earlier
        if name in past["rules"]
    ]
    return {
        **_written(rule),
        "state": found.state,
        "found": _found(rule["type"], found),
        "error": _error(answer),
        "examples": rule["meta"]["keys"],
        "trend": trend,
        "broken_before": sum(past["state"] != "passed" for past in trend),
    }


def _written(rule: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a rule before it is evaluated."""
    name, kwargs = rule["meta"]["rule"], rule["kwargs"]
    severity = "hard" if _is_hard(rule) else "soft"
    query = kwargs.get("unexpected_rows_query")
    return {
        "name": name,
        "severity": severity,
        "meaning": str(rule["description"]).removeprefix(f"{name} ({severity}): "),
        "column": kwargs.get("column"),
        "allowed": _allowed(rule["type"], kwargs),
        "examples": [],
        "query": _plain(query) if query else None,
    }


def _is_hard(rule: Mapping[str, Any]) -> bool:
    return str(rule["severity"]) == "critical"


def _error(answer: Mapping[str, Any]) -> str | None:
    told = answer.get("exception_info") or {}
    return told.get("exception_message") if told.get("raised_exception") else None


def _allowed(kind: str, kwargs: Mapping[str, Any]) -> str:
    """The threshold of a rule, in words."""
    if kind == ROW_COUNT:
        return f"at least {_rows(int(kwargs['min_value']))}"
    if kind == REGEX:
        return f"only {kwargs['regex']}"
    if kind == IN_SET:
        values = [str(value) for value in kwargs["value_set"]]
        more = ["…"] if len(values) > _SHOWN_VALUES else []
        return f"only {', '.join(values[:_SHOWN_VALUES] + more)}"
    if kind == BETWEEN:
        low, high = (kwargs.get(bound) for bound in ("min_value", "max_value"))
        return f"{low} or more" if high is None else f"{high} or less" if low is None else f"{low} to {high}"
    return {NOT_NULL: "no empty value", UNIQUE: "no value twice"}.get(kind, "no row")


def _found(kind: str, found: Outcome) -> str:
    if kind == ROW_COUNT:
        return _rows(found.checked)
    return f"{found.failed:,} of {_rows(found.checked)}"


def _rows(rows: int) -> str:
    return f"{rows:,} row{'s' * (rows != 1)}"


def _plain(query: str) -> str:
    """A query as people write it: without what Great Expectations wants escaped."""
    text = query.replace("{batch}", "staged").replace("{{", "{").replace("}}", "}").replace("\\:", ":")
    head, tail = "with staged as not materialized (select * from staged)\nselect * from (\n", "\n) as broken"
    return text.removeprefix(head).removesuffix(tail)


def _facts(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [
        ("Layer", told["layer"]),
        ("Delivery", told["day"]),
        ("Audited", _moment(told["time"])),
        ("Owner", told["owner"]),
    ]
    return [(name, value) for name, value in facts if value]


def _published(told: Mapping[str, Any]) -> str:
    """What the gate's verdict means for this table."""
    if told["verdict"] != "blocked":
        return "Published with a warning." if told["state"] == "warned" else "Published."
    others = [name for name in told["blocked_by"] if name != told["table"]]
    if told["state"] == "blocked":
        return "Not published: a hard rule is broken. What was served before is still served."
    return f"Not published, because {', '.join(others)} blocked the whole delivery of this layer."


def _moment(time: str) -> str:
    return f"{time[:10]} {time[11:16]} UTC"


def _gate(gate: Gate) -> dict[str, Any]:
    """A gate as the templates show it."""
    audits = sorted(gate.audits, key=lambda a: (STATES.index(a.state), a.table))
    return {
        "source": gate.source,
        "layer": gate.layer,
        "day": gate.day,
        "moment": _moment(gate.time),
        "verdict": gate.verdict,
        "page": gate.page,
        "blocked_by": gate.blocked_by,
        "counts": [(state, sum(a.state == state for a in audits)) for state in STATES],
        "audits": [_audit(audit) for audit in audits],
    }


def _audit(audit: Audit) -> dict[str, Any]:
    broken = sorted(
        ((rule, o) for rule, o in audit.rules.items() if o.state != "passed"),
        key=lambda item: (STATES.index(item[1].state), -item[1].failed),
    )
    return {
        "table": audit.table,
        "state": audit.state,
        "page": audit.page,
        "owner": audit.owner,
        "rules": len(audit.rules),
        "broken": [
            {"rule": rule, "state": o.state, "failed": o.failed, "checked": o.checked} for rule, o in broken
        ],
    }


def _rendered(title: str, blocks: list[Block], name: str, plugins: Path) -> str:
    section: Any = RenderedSectionContent(blocks, section_name=title)
    document: Any = RenderedDocumentContent(sections=[section], page_title=title, renderer_type="lakehouse")
    return str(_view(_folder(plugins) / "views").render(document, root="../" * name.count("/")))


@cache
def _view(views: Path) -> Any:
    """Shared by all pages of a process: the templates are compiled once."""
    return PageView(views)


def _folder(plugins: Path) -> Path:
    return plugins / "custom_data_docs"
