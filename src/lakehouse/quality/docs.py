"""Data Docs: the last audits as pages that a person can read, without the internet.

The pages are Great Expectations' own; its templates pull scripts and styles from the internet, so
:mod:`lakehouse.quality.docs_views` prefers those in ``great_expectations/plugins/custom_data_docs``. The
history of quality is in ``ops.quality_result``; these pages only keep the last runs.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.quality.gx_context import new_context, quietly

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext

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

    def add(self, pages: Sequence[ExpectationSuiteValidationResult], *, run: str) -> None:
        """Store the results and render their pages and the index.

        A page that cannot be written is not a reason to hold data back: that is logged and the gate goes on.
        """
        try:
            with _exclusive(self.folder), quietly():
                context = self._context()
                added = [_store(context, page, run) for page in pages]
                self._forget_old_runs()
                if added:
                    context.build_data_docs(resource_identifiers=added + self._stale_suites(pages))
        except Exception:
            _log.warning("Data Docs in %s could not be written.", self.folder, exc_info=True)

    def _context(self) -> EphemeralDataContext:
        return new_context(
            stores={
                "expectations_store": _files(self.home / "expectations"),
                "validation_results_store": _files(self.results),
            },
            plugins_directory=str(self.home / "plugins"),
            data_docs_sites={"local_site": {**SITE, "store_backend": _files(self.folder)}},
        )

    def _stale_suites(self, pages: Sequence[ExpectationSuiteValidationResult]) -> list[Any]:
        """The suites of these results whose own page is missing or older than the suite."""
        from great_expectations.data_context.types.resource_identifiers import ExpectationSuiteIdentifier

        stale = []
        for page in pages:
            place = page.suite_name.replace(".", "/")
            suite = self.home / "expectations" / f"{place}.json"
            shown = self.folder / "expectations" / f"{place}.html"
            if suite.exists() and not (shown.exists() and shown.stat().st_mtime > suite.stat().st_mtime):
                stale.append(ExpectationSuiteIdentifier(page.suite_name))
        return stale

    def _forget_old_runs(self) -> None:
        """Keep the newest results of every suite; the index builder removes the pages of those that went.

        Results are at ``<suite, one folder per dot>/<run name>/<run time>/<batch>.json``.
        """
        by_suite: dict[Path, list[Path]] = {}
        for path in self.results.rglob("*.json"):
            by_suite.setdefault(path.parents[2], []).append(path)
        for paths in by_suite.values():
            for path in sorted(paths, key=lambda p: p.parent.name, reverse=True)[self.keep :]:
                path.unlink()
                for folder in path.parents[:2]:
                    if not any(folder.iterdir()):
                        folder.rmdir()


def _files(folder: Path) -> dict[str, Any]:
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


def _store(context: EphemeralDataContext, page: ExpectationSuiteValidationResult, run: str) -> Any:
    """Save one result; returns its identifier."""
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    run_id = RunIdentifier(run_name=run, run_time=datetime.now(UTC))
    page.meta["run_id"] = run_id
    identifier = ValidationResultIdentifier(
        ExpectationSuiteIdentifier(page.suite_name), run_id, str(page.batch_id)
    )
    context.validation_results_store.set(identifier, page)
    return identifier


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Wait until no other process writes to the site."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
