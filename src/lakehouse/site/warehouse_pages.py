"""The pages about the data: today, numbers, quality, catalogue. They change when something was published or blocked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from statistics import median
from typing import Any

from sqlalchemy import Connection

from lakehouse.contract import Project
from lakehouse.contract.model import LAYERS, SCHEMAS
from lakehouse.site import charts, documents, facts
from lakehouse.site.builder import Page
from lakehouse.site.catalogue import PII, Catalogue, Table, column_facts
from lakehouse.site.facts import Row

#: Days in the strip of a trend.
_TREND = 30
#: What is audited beside tables, and what it says.
BESIDE = {
    "accounting": "every row that was read is published, quarantined, a duplicate or a conflict",
    "agreement": "lake and warehouse hold the same rows",
    "shrinking": "a delivery does not lose rows unseen",
}

Groups = dict[str, Callable[[], Iterator[Page]]]


def groups(conn: Connection, project: Project, catalogue: Catalogue) -> Groups:
    """The groups of pages by name; each asks the warehouse when it is called."""
    asked = _Asked(conn, project, catalogue)
    return {
        "today": asked.today,
        "numbers": asked.numbers,
        "quality": asked.quality,
        "catalogue": asked.tables,
    }


class _Asked:
    """One state of the warehouse; what several pages need is asked once."""

    def __init__(self, conn: Connection, project: Project, catalogue: Catalogue) -> None:
        self._conn, self._project, self._catalogue = conn, project, catalogue

    def _ask(self, question: Callable[[Connection], Any]) -> Any:
        """A question of its own: that it fails hurts no other."""
        with self._conn.begin_nested():
            return question(self._conn)

    @cached_property
    def _tables(self) -> list[Row]:
        return self._ask(facts.tables)  # type: ignore[no-any-return]

    @cached_property
    def _broken(self) -> list[Row]:
        return self._ask(facts.broken_rules)  # type: ignore[no-any-return]

    @cached_property
    def _days(self) -> list[Row]:
        return self._ask(facts.days)  # type: ignore[no-any-return]

    @cached_property
    def _charts(self) -> list[dict[str, Any]]:
        return [self._drawn(chart) for chart in charts.find(self._project)]

    def _drawn(self, chart: charts.Chart) -> dict[str, Any]:
        """A chart with its rows; one that cannot be drawn says so in its place."""
        try:
            found, problem = self._ask(lambda conn: charts.rows(conn, chart)), ""
        except Exception as error:
            found, problem = [], type(error).__name__
        return {
            "name": chart.name,
            "title": chart.title,
            "text": chart.text,
            "kind": chart.kind,
            "page": chart.page,
            "unit": chart.unit,
            "axes": [chart.x, chart.y],
            "sql": chart.sql,
            "reads": chart.reads,
            "rows": found,
            "problem": problem,
        }

    def today(self) -> Iterator[Page]:
        """The front page."""
        waiting = self._ask(facts.open_partitions)
        repairs = self._ask(facts.repairs)
        values = {
            "answer": answer(self._tables, self._broken, waiting),
            "waiting": waiting,
            "broken": self._broken,
            "board": board(self._project, self._tables, self._broken),
            "trends": trends(self._days),
            "arrivals": self._ask(facts.arrivals),
            "repairs": repairs,
            "repair_median": median(mended) if (mended := _mended(repairs)) else None,
            "figures": [c for c in self._charts if c["page"] == "today" and c["rows"]],
            "catalogue": self._catalogue,
            "day_page": self._day_page,
        }
        depends = [values[k] for k in values if k not in ("catalogue", "day_page")]
        yield Page("index.html", "index.html", "index.html", depends, lambda: values)

    def numbers(self) -> Iterator[Page]:
        """The charts."""
        shown = [c for c in self._charts if c["page"] == "numbers"]
        values = {"charts": shown, "catalogue": self._catalogue}
        yield Page("numbers.html", "numbers.html", "numbers.html", shown, lambda: values)

    @cached_property
    def _by_day(self) -> dict[tuple[str, str], list[Row]]:
        found: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in self._days:
            found[row["source"], str(row["partition_key"])].append(row)
        return dict(found)

    def _day_page(self, source: str, key: object) -> str | None:
        """The page of a day, when it has one."""
        return f"quality/{source}-{key}.html" if (source, str(key)) in self._by_day else None

    def quality(self) -> Iterator[Page]:
        """The list of days, and a page for each: why rules did not hold."""
        days = [
            {"source": s, "key": k, "page": self._day_page(s, k), "runs": runs, "worst": worst(runs)}
            for (s, k), runs in self._by_day.items()
        ]
        values = {"days": sorted(days, key=lambda d: str(d["key"]), reverse=True), "broken": self._broken}
        extra = {"catalogue": self._catalogue, "audited": BESIDE}
        yield Page("quality.html", "quality.html", "quality.html", values, lambda: {**values, **extra})
        for (source, key), runs in self._by_day.items():

            def fill(source: str = source, key: str = key, runs: list[Row] = runs) -> dict[str, Any]:
                ids = [r["run_id"] for r in runs]
                return extra | {
                    "source": source,
                    "key": key,
                    "runs": runs,
                    "worst": worst(runs),
                    "results": _grouped(self._ask(lambda conn: facts.results(conn, ids))),
                    "hops": _grouped(self._ask(lambda conn: facts.hops(conn, ids))),
                    "rules": self._rules,
                }

            page = f"quality/{source}-{key}.html"
            yield Page(page, "day.html", "quality.html", (runs, self._rules_digest), fill)

    @cached_property
    def _rules(self) -> dict[tuple[str, str], Any]:
        """(table, rule) → the rule as its contract has it now."""
        every = (*self._project.silver.values(), *self._project.gold.values())
        return {(t.table, r.name): r for t in every for r in t.rules}

    @cached_property
    def _rules_digest(self) -> list[str]:
        return sorted(repr(r) for r in self._rules.values())

    def tables(self) -> Iterator[Page]:
        """The catalogue, and a page for each table."""
        states = {f"{SCHEMAS[r['layer']]}.{r['table_name']}": r for r in self._tables}
        known = self._ask(facts.statistics)
        broken = defaultdict(list)
        for row in self._broken:
            broken[f"{SCHEMAS[row['layer']]}.{row['table_name']}"].append(row)
        listed = [
            (t.name, t.contract.description, t.contract.grain, len(t.contract.columns), states.get(t.name))
            for t in self._catalogue.tables.values()
        ]
        yield Page(
            "catalogue.html",
            "catalogue.html",
            "catalogue.html",
            (listed, self._rules_digest),
            lambda: {"catalogue": self._catalogue, "states": states, "broken": broken},
        )
        for table in self._catalogue.tables.values():
            yield self._table(table, states, known, broken.get(table.name, []))

    def _table(
        self,
        table: Table,
        states: Mapping[str, Row],
        known: Mapping[tuple[str, str], Row],
        broken: Sequence[Row],
    ) -> Page:
        state = states.get(table.name)
        statistics = column_facts(table, known)
        landed = states.get(table.name.replace("ods.", "raw.", 1)) if table.layer == "silver" else None
        depends = (repr(table), state, landed, statistics, broken)

        def fill() -> dict[str, Any]:
            return {
                "table": table,
                "state": state,
                "landed": landed,
                "statistics": statistics,
                "broken": {r["rule"]: r for r in broken},
                "catalogue": self._catalogue,
                "sql": documents.highlight_sql(table.sql) if table.sql else "",
                "pii": PII,
                "day_page": self._day_page,
            }

        return Page(table.page, "table.html", "catalogue.html", depends, fill)


def answer(tables: Sequence[Row], broken: Sequence[Row], waiting: Sequence[Row]) -> dict[str, Any]:
    """Whether the data is good, in a sentence and a word: ``good``, ``warn``, ``bad`` or ``calm`` (nothing there)."""
    bad = [w for w in waiting if w["status"] in ("blocked", "failed")]
    if bad:
        first = bad[0]
        what = f"{first['source']} {first['layer']} of {first['partition_key']} is {first['status']}"
        more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        served = "What was published before is still served." if tables else "Nothing has been published yet."
        return {"mood": "bad", "title": "The data needs somebody", "text": f"{what}{more}. {served}"}
    if not tables:
        return {
            "mood": "calm",
            "title": "There is no data yet",
            "text": "Land a delivery and run it: `make demo` does both.",
        }
    if broken:
        rows = sum(b["failed_rows"] or 0 for b in broken)
        rules = f"{len(broken)} soft {'rule does' if len(broken) == 1 else 'rules do'} not hold"
        return {
            "mood": "warn",
            "title": "The data is good, with warnings",
            "text": f"Every hard rule holds in all {len(tables)} tables. {rules}"
            f"{f', for {rows:,} rows' if rows else ''}: published, and listed below.",
        }
    return {
        "mood": "good",
        "title": "The data is good",
        "text": f"Every rule holds in all {len(tables)} tables.",
    }


def board(project: Project, tables: Sequence[Row], broken: Sequence[Row]) -> list[dict[str, Any]]:
    """Source → layer → its tables with their state; tables that were never published are there too."""
    states = {(r["layer"], r["table_name"]): r for r in tables}
    problems: dict[tuple[str, str], int] = defaultdict(int)
    for row in broken:
        problems[row["layer"], row["table_name"]] += 1
    found = []
    for source in project.sources:
        names = {
            "bronze": [c.table for c in project.tables(source)],
            "silver": [t for t, c in project.silver.items() if c.source == source],
            "gold": [m.table for m in project.models(source)],
        }
        layers = {
            layer: [
                {"name": t, "state": states.get((layer, t)), "broken": problems[layer, t]}
                for t in sorted(names[layer])
            ]
            for layer in LAYERS
        }
        found.append({"source": source, "layers": layers})
    return found


def worst(runs: Sequence[Row]) -> str:
    """The worst that the gates have said of a day."""
    said = {r["verdict"] or r["status"] for r in runs}
    return next((w for w in ("blocked", "failed", "warned") if w in said), "passed")


def trends(days: Sequence[Row]) -> list[dict[str, Any]]:
    """Per source and layer: the last days, oldest first."""
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in days:
        found[row["source"], row["layer"]].append(row)
    ordered = sorted(found.items(), key=lambda item: (item[0][0], LAYERS.index(item[0][1])))
    return [{"source": s, "layer": la, "days": rows[:_TREND][::-1]} for (s, la), rows in ordered]


def _mended(repairs: Sequence[Row]) -> list[int]:
    return [r["seconds"] for r in repairs if r["seconds"] is not None]


def _grouped(rows: Sequence[Row]) -> dict[int, list[Row]]:
    """Rows by run."""
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["run_id"]].append(row)
    return dict(found)
