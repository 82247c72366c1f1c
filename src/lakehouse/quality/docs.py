"""Data Docs: the last audits as pages that a person can read, without the internet.

The pages are Great Expectations' own; its templates pull scripts and styles from the internet, so
:mod:`lakehouse.quality.docs_views` prefers those in ``great_expectations/plugins/custom_data_docs``. The
history of quality is in ``ops.quality_result``; these pages only keep the last runs.

Great Expectations' builder looks at every page of the site to add one. A gate adds its pages itself, with the same
renderers and templates, to the same places, so that its work does not grow with the site. ``build_data_docs`` makes the
whole site from the stored results.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.quality.docs_index import link, rows, suite_of, with_rows
from lakehouse.quality.gx_context import new_context, quietly

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult

_log = logging.getLogger(__name__)
_VIEWS = "lakehouse.quality.docs_views"


@dataclass(frozen=True)
class DocsTarget:
    """Where the pages go: the project's folder ``great_expectations``, laid out as its README says.

    ``keep`` is the number of audits kept per table and layer.
    """

    home: Path
    keep: int = 10

    @property
    def folder(self) -> Path:
        """The site; ``index.html`` is its front page."""
        return self.home / "uncommitted" / "data_docs"

    @property
    def results(self) -> Path:
        """What the site is built from."""
        return self.home / "uncommitted" / "validations"

    @property
    def plugins(self) -> Path:
        """Templates and style of the pages."""
        return self.home / "plugins"

    def add(self, pages: Sequence[ExpectationSuiteValidationResult], *, run: str) -> None:
        """Store the results and render their pages and the index.

        A page that cannot be written is not a reason to hold data back: that is logged and the gate goes on.
        """
        try:
            # Another gate that forgets its old audits removes folders that are empty.
            with quietly(), _exclusive(self.folder):
                for page in pages:
                    self._write(page, run)
                if pages:
                    self._show_suites(page.suite_name for page in pages)
                    self._write_index(page.suite_name for page in pages)
        except Exception:
            _log.warning("Data Docs in %s could not be written.", self.folder, exc_info=True)

    def _write(self, page: ExpectationSuiteValidationResult, run: str) -> None:
        """Store one result and its page."""
        from lakehouse.quality.docs_views import audit_page, audit_place, audit_result

        now = datetime.now(UTC)
        meta: Any = page.meta
        # As it is when it is read again.
        meta["run_id"] = {"run_name": run, "run_time": now.isoformat()}
        place = audit_place(page, run, now)
        # The page first: what has a result is listed.
        _put(self.folder / "validations" / f"{place}.html", audit_page(page, self.plugins))
        _put(self.results / f"{place}.json", audit_result(page))

    def _show_suites(self, names: Iterable[str]) -> None:
        """Render suites whose page is missing or older than the suite; remove the pages of suites that went."""
        suites = _files(self.home / "expectations", ".json")
        shown = _files(self.folder / "expectations", ".html")
        for gone in shown.keys() - suites.keys():
            shown[gone].unlink()
        stale = [n for n in names if n in suites and not (n in shown and _is_newer(shown[n], suites[n]))]
        if stale:
            self._render_suites(stale)

    def _render_suites(self, names: Sequence[str]) -> None:
        from great_expectations.data_context.types.resource_identifiers import ExpectationSuiteIdentifier

        context = new_context(
            stores={"expectations_store": _backend(self.home / "expectations")},
            plugins_directory=str(self.plugins),
            data_docs_sites={"local_site": {**SITE, "store_backend": _backend(self.folder)}},
        )
        context.build_data_docs(
            resource_identifiers=[ExpectationSuiteIdentifier(name) for name in names], build_index=False
        )

    def _write_index(self, names: Iterable[str]) -> None:
        """List the audits of these suites that are kept. What is listed of others stays."""
        from lakehouse.quality.docs_views import index_page

        index = self.folder / "index.html"
        listed = rows(index.read_text(encoding="utf-8")) if index.exists() else None
        # Without a list to add to, all audits are looked for.
        suites = self._audited_suites() if listed is None else {name.replace(".", "/") for name in names}
        kept = {link(place): place for suite in suites for place in self._keep_newest(suite)}
        rest = {k: row for k, row in (listed or {}).items() if k in kept or suite_of(k) not in suites}
        added = {
            place: json.loads((self.results / f"{place}.json").read_text(encoding="utf-8"))
            for k, place in kept.items()
            if k not in rest
        }
        shown = sorted(_files(self.folder / "expectations", ".html"))
        _put(index, with_rows(index_page(added, shown, self.plugins), rest))

    def _audited_suites(self) -> set[str]:
        return {str(p.parents[2].relative_to(self.results)) for p in self.results.rglob("*.json")}

    def _keep_newest(self, suite: str) -> list[str]:
        """The places of the audits of a suite that are kept; removes the others.

        Results and pages are at ``<suite, one folder per dot>/<run name>/<run time>/<batch>``.
        """
        found = sorted((self.results / suite).glob("*/*/*.json"), key=lambda p: p.parent.name, reverse=True)
        for path in found[self.keep :]:
            _remove(path)
            _remove(self.folder / "validations" / path.relative_to(self.results).with_suffix(".html"))
        return [str(path.relative_to(self.results).with_suffix("")) for path in found[: self.keep]]


def _remove(path: Path) -> None:
    """Remove the file of an audit and the folders of its time and run, when they are empty."""
    path.unlink(missing_ok=True)
    for folder in path.parents[:2]:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _files(folder: Path, suffix: str) -> dict[str, Path]:
    """The files of a folder by name, with a dot for each folder in between."""
    found = folder.rglob(f"*{suffix}")
    return {str(p.relative_to(folder).with_suffix("")).replace(os.sep, "."): p for p in found}


def _is_newer(path: Path, other: Path) -> bool:
    return path.stat().st_mtime > other.stat().st_mtime


def _put(path: Path, text: str) -> None:
    """Write a file as a whole: whoever reads it meanwhile sees the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def _backend(folder: Path) -> dict[str, Any]:
    return {
        "class_name": "TupleFilesystemStoreBackend",
        "base_directory": str(folder),
        "suppress_store_backend_id": True,
    }


def _section(view: str = "PageView") -> dict[str, Any]:
    return {"view": {"module_name": _VIEWS, "class_name": view}}


#: The site's configuration but for its place; ``great_expectations.yml`` says the same.
SITE: dict[str, Any] = {
    "class_name": "SiteBuilder",
    "show_how_to_buttons": False,
    "site_index_builder": {"module_name": _VIEWS, "class_name": "IndexBuilder", **_section("IndexView")},
    "site_section_builders": {"validations": _section(), "expectations": _section(), "profiling": "none"},
}


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Wait until no other process writes to the site."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
