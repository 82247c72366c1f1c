"""Data Docs: the last audits as pages that a person can read, without the internet.

The results are Great Expectations', stored as it stores them; the pages are its documents, shown with this project's
templates (:mod:`lakehouse.quality.docs_views`). The history of quality is in ``ops.quality_result``; these pages only
keep the last audits of each layer.

Great Expectations' builder looks at every page of a site to add one. A gate adds its own pages, adds itself to the list
of what is kept (:mod:`lakehouse.quality.docs_kept`), and makes the front page from that list, so that its work does not
grow with history.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.contract import Project
from lakehouse.errors import LakehouseError
from lakehouse.home.pages import Aged, Pages, open_pages
from lakehouse.quality import docs_kept
from lakehouse.quality.docs_kept import Audit, Gate, Kept
from lakehouse.quality.gx_context import load, quietly

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult

    from lakehouse.home.homes import Homes, S3Access

_log = logging.getLogger(__name__)
_FRONT, _LIST = "index.html", "audits.json"


@dataclass(frozen=True)
class DocsTarget:
    """Where the pages go.

    ``project`` is the folder ``great_expectations``, with suites and templates; ``owners`` says table → team; ``keep``
    is the number of audits kept per layer and source.
    """

    pages: Pages
    project: Path
    owners: Mapping[str, str] = field(default_factory=dict)
    keep: int = 14

    @property
    def plugins(self) -> Path:
        """Templates and style of the pages."""
        return self.project / "plugins"

    def add(
        self, results: Sequence[ExpectationSuiteValidationResult], *, source: str, layer: str, day: str
    ) -> None:
        """Write the results of a gate, their pages, the gate's page and the front page.

        A page that cannot be written is not a reason to hold data back: that is logged and the gate goes on.
        """
        try:
            with quietly():
                self._add(results, Gate(source, layer, day, datetime.now(UTC).isoformat()))
        except Exception:
            _log.warning("Data Docs could not be written.", exc_info=True)

    def rebuild(self) -> int:
        """Make every page again from the stored results; returns how many audits these are."""
        load()
        with quietly():
            stored = self._stored()
            kept = _listed(stored)
            self.pages.write({_page(result): self._page(result) for result in stored})
            suites = {audit.suite for gate in kept.gates for audit in gate.audits}
            kept = self._with_fixed_pages(kept, suites)
            self.pages.write({gate.page: self._gate_page(gate) for gate in reversed(kept.gates)})
            self.pages.change(_LIST, lambda _: docs_kept.write(kept))
            self._write_front()
        return len(stored)

    def _add(self, results: Sequence[ExpectationSuiteValidationResult], gate: Gate) -> None:
        from lakehouse.quality.docs_results import stored_result, told_of_gate

        kept = self._kept()
        stored = [stored_result(result, gate) for result in results]
        gate = replace(gate, audits=tuple(self._audit(result) for result in stored))
        for result, audit in zip(stored, gate.audits, strict=True):
            earlier = kept.earlier(gate.source, audit.suite, gate.time)
            has_suite = self._suite(audit.suite).exists()
            result["meta"]["lakehouse"] = told_of_gate(gate, audit, earlier, has_suite=has_suite)
        self.pages.write({_result(result): json.dumps(result, sort_keys=True).encode() for result in stored})
        self.pages.write({_page(result): self._page(result) for result in stored})
        kept = self._with_fixed_pages(kept, {audit.suite for audit in gate.audits})
        self.pages.write({gate.page: self._gate_page(gate)})
        gone: tuple[Gate, ...] = ()
        now = kept

        def added(found: bytes | None) -> bytes:
            nonlocal gone, now
            # Others may have added theirs since it was read.
            now = docs_kept.read(found) or kept
            written = self._existing({**now.written, **kept.written})
            now, gone = replace(now, written=written).adding(gate, self.keep)
            return docs_kept.write(now)

        self.pages.change(_LIST, added)
        self._write_front()
        self._forget(gone, now)

    def _audit(self, result: Mapping[str, Any]) -> Audit:
        from lakehouse.quality.docs_views import outcome

        suite = result["suite_name"]
        return Audit(
            suite=suite,
            place=_place(result),
            owner=self.owners.get(suite.split(".")[1], ""),
            rules={a["expectation_config"]["meta"]["rule"]: outcome(a) for a in result["results"]},
        )

    def _page(self, result: Mapping[str, Any]) -> bytes:
        from lakehouse.quality.docs_views import audit_page

        return audit_page(result, self.plugins).encode()

    def _gate_page(self, gate: Gate) -> bytes:
        from lakehouse.quality.docs_views import gate_page

        return gate_page(gate, self.plugins).encode()

    def _suite(self, name: str) -> Path:
        return self.project / "expectations" / f"{name.replace('.', '/')}.json"

    def _with_fixed_pages(self, kept: Kept, suites: set[str]) -> Kept:
        """Write what does not change from audit to audit, where it is not what it should be: rules, style."""
        from lakehouse.quality.docs_views import assets, look, suite_name, suite_page

        style = look(self.plugins)
        written = dict(kept.written)
        made: dict[str, bytes] = {} if written.get("assets") == style else assets(self.plugins)
        written["assets"] = style
        for name in sorted(suites):
            path = self._suite(name)
            if not path.exists():
                continue
            text = path.read_bytes()
            token = hashlib.sha256(style.encode() + text).hexdigest()[:16]
            if written.get(name) != token:
                owner = self.owners.get(name.split(".")[1], "")
                made[suite_name(name)] = suite_page(json.loads(text), owner, self.plugins).encode()
                written[name] = token
        self.pages.remove(suite_name(name) for name in written.keys() - self._existing(written).keys())
        self.pages.write(made)
        return replace(kept, written=self._existing(written))

    def _existing(self, written: Mapping[str, str]) -> dict[str, str]:
        """Without the suites that went."""
        return {name: t for name, t in written.items() if name == "assets" or self._suite(name).exists()}

    def _write_front(self) -> None:
        """Show the list as it is. Who finds that it has changed meanwhile shows it again, so the last one is right."""
        from lakehouse.quality.docs_views import front_page

        shown = None
        while (found := self.pages.read(_LIST)) and found.token != shown:
            kept = docs_kept.read(found.data) or Kept()
            suites = [name for name in kept.written if name != "assets"]
            self.pages.write({_FRONT: front_page(kept, suites, self.plugins).encode()})
            shown = found.token

    def _forget(self, gone: Sequence[Gate], kept: Kept) -> None:
        """Remove the pages of audits that are not kept any more."""
        left = {gate.page for gate in kept.gates}
        names = [name for gate in gone for audit in gate.audits for name in (audit.page, audit.result)]
        self.pages.remove([*names, *(gate.page for gate in gone if gate.page not in left)])

    def strays(self, before: datetime) -> list[Aged]:
        """Pages and results that the list of audits does not name, written before a time: a killed gate left them."""
        kept = self._kept()
        named = {gate.page for gate in kept.gates}
        named |= {name for gate in kept.gates for audit in gate.audits for name in (audit.page, audit.result)}
        return [
            page
            for folder in ("validations", "results", "gates")
            for page in self.pages.aged(folder)
            if page.name not in named and page.written_at < before
        ]

    def _kept(self) -> Kept:
        """The list of audits that have pages; when it is lost, made from the stored results."""
        found = self.pages.read(_LIST)
        return docs_kept.read(found.data if found else None) or _listed(self._stored())

    def _stored(self) -> list[dict[str, Any]]:
        found = (self.pages.read(name) for name in self.pages.names("results"))
        return [result for page in found if page and (result := _readable(page.data))]


def docs_target(project: Project, place: str, s3: S3Access | None) -> DocsTarget | None:
    """Where a project's pages go; nowhere (None) when no place is named or the project has no templates.

    Raises:
        LakehouseError: ``place`` is neither a folder nor a prefix on S3.
    """
    folder = project.root / "great_expectations"
    if not place or not folder.is_dir():
        return None
    owners = {table.table: table.owner for table in (*project.contracts.values(), *project.gold.values())}
    owners |= {c.history.table: c.owner for c in project.contracts.values() if c.history}
    return DocsTarget(open_pages(place, s3), folder, owners)


def docs_of_gate(homes: Homes, project: Project) -> DocsTarget | None:
    """Where a gate's pages go. A place that cannot be used is no reason to hold data back: that is logged."""
    try:
        return docs_target(project, homes.data_docs, homes.s3)
    except LakehouseError as error:
        _log.warning("%s %s", error.message, error.hint)
        return None


def _listed(stored: Sequence[Mapping[str, Any]]) -> Kept:
    """The list of audits that results tell of."""
    from lakehouse.quality.docs_views import outcome

    gates: dict[Gate, list[Audit]] = {}
    for result in stored:
        told = result["meta"]["lakehouse"]
        rules = {a["expectation_config"]["meta"]["rule"]: outcome(a) for a in result["results"]}
        audit = Audit(result["suite_name"], _place(result), told["owner"], rules)
        gate = Gate(told["source"], told["layer"], told["day"], told["time"])
        gates.setdefault(gate, []).append(audit)
    made = [replace(gate, audits=tuple(audits)) for gate, audits in gates.items()]
    return Kept(tuple(sorted(made, key=lambda gate: gate.time, reverse=True)))


def _readable(data: bytes) -> dict[str, Any] | None:
    """A stored result; None when it is not one of this version."""
    try:
        result: dict[str, Any] = json.loads(data)
        return result if result["meta"]["lakehouse"]["page"] else None
    except (ValueError, KeyError, TypeError):
        return None


def _place(result: Mapping[str, Any]) -> str:
    return str(result["meta"]["place"])


def _page(result: Mapping[str, Any]) -> str:
    return f"validations/{_place(result)}.html"


def _result(result: Mapping[str, Any]) -> str:
    return f"results/{_place(result)}.json"
