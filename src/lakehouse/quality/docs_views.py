"""Great Expectations' pages, with the templates of this project before its own, and a front page made quickly.

The classes are named in ``great_expectations.yml``; Great Expectations imports them when it builds the site. The
functions make single pages as it would.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.resource_identifiers import (
    ExpectationSuiteIdentifier,
    ValidationResultIdentifier,
)
from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
from great_expectations.render.renderer.site_builder import DefaultSiteIndexBuilder
from great_expectations.render.renderer.site_index_page_renderer import SiteIndexPageRenderer
from great_expectations.render.view.view import DefaultJinjaIndexPageView, DefaultJinjaPageView
from great_expectations.util import convert_to_json_serializable
from jinja2 import ChoiceLoader, Environment, FileSystemBytecodeCache, FileSystemLoader

from lakehouse.quality.docs_index import link

_SITE = "local_site"


@cache
def _environment(styles: str | None, views: str | None) -> Environment:
    """Templates that every page of a process shares, compiled once per machine."""
    env: Environment = DefaultJinjaPageView(styles, views).env
    # Its own loader looks for a project's templates last, so that none of its templates could be replaced.
    own = [FileSystemLoader(folder) for folder in (views, styles) if folder]
    env.loader = ChoiceLoader([*own, *([env.loader] if env.loader else [])])
    env.auto_reload = False
    if views:
        compiled = Path(views).parents[2] / "uncommitted" / "templates"
        compiled.mkdir(parents=True, exist_ok=True)
        env.bytecode_cache = FileSystemBytecodeCache(str(compiled))
    return env


class PageView(DefaultJinjaPageView):
    """A suite or the result of an audit."""

    # Great Expectations looks at the names of the parameters to know what to pass.
    def __init__(
        self, custom_styles_directory: str | None = None, custom_views_directory: str | None = None
    ) -> None:
        self.env = _environment(custom_styles_directory, custom_views_directory)


class IndexView(DefaultJinjaIndexPageView):
    """The list of all audits."""

    # Great Expectations looks at the names of the parameters to know what to pass.
    def __init__(
        self, custom_styles_directory: str | None = None, custom_views_directory: str | None = None
    ) -> None:
        self.env = _environment(custom_styles_directory, custom_views_directory)


class IndexBuilder(DefaultSiteIndexBuilder):
    """Lists all audits. The original makes objects of every rule of every audit, to learn which succeeded."""

    def _add_validations_to_index_links(self, index_links_dict: dict[str, Any], found: list[Any]) -> None:
        store: Any = self.data_context.validation_results_store.store_backend
        links = index_links_dict.setdefault("validations_links", [])
        for key in sorted(found, key=lambda k: k.run_id.run_time, reverse=True):
            links.append(_audit_link(key, json.loads(store.get(key.to_tuple()))))


def audit_place(page: ExpectationSuiteValidationResult, run: str, time: datetime) -> str:
    """Where Great Expectations looks for an audit, below the folder of results or pages and without suffix."""
    identifier: Any = ValidationResultIdentifier(
        ExpectationSuiteIdentifier(page.suite_name), RunIdentifier(run, time), str(page.batch_id)
    )
    return "/".join(identifier.to_tuple())


def audit_result(page: ExpectationSuiteValidationResult) -> str:
    """An audit as Great Expectations stores it. Its own store copies every rule several times first."""
    stored = {
        "id": page.id,
        "success": page.success,
        "results": [_stored(answer) for answer in page.results],
        "suite_name": page.suite_name,
        "suite_parameters": page.suite_parameters,
        "statistics": page.statistics,
        "meta": page.meta,
    }
    return json.dumps(stored, sort_keys=True, default=convert_to_json_serializable)


def _stored(answer: ExpectationValidationResult) -> dict[str, Any]:
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


def audit_page(page: ExpectationSuiteValidationResult, plugins: Path) -> str:
    """The page of an audit, as Great Expectations' site builder makes it."""
    renderer: Any = ValidationResultsPageRenderer()
    view: Any = PageView(*_own(plugins))
    return str(view.render(renderer.render(page), data_context_id=None, show_how_to_buttons=False))


def index_page(audits: Mapping[str, Mapping[str, Any]], suites: Sequence[str], plugins: Path) -> str:
    """The front page, as Great Expectations' site builder makes it.

    Args:
        audits: place (see :func:`audit_place`) → the stored result.
        suites: names of the suites that have a page.
        plugins: the folder with the project's templates.
    """
    key: Any = ValidationResultIdentifier
    links = {
        "site_name": _SITE,
        "validations_links": [
            _audit_link(key.from_tuple(place.split("/")), audit) for place, audit in audits.items()
        ],
        "expectations_links": [
            {"expectation_suite_name": name, "filepath": _suite_page(name)} for name in suites
        ],
    }
    renderer: Any = SiteIndexPageRenderer
    view: Any = IndexView(*_own(plugins))
    return str(view.render(renderer.render(links), data_context_id=None, show_how_to_buttons=False))


def _audit_link(key: Any, audit: Mapping[str, Any]) -> dict[str, Any]:
    """What the front page shows of an audit."""
    suite = key.expectation_suite_identifier.name
    return {
        "expectation_suite_name": suite,
        "expectation_suite_filepath": _suite_page(suite),
        "filepath": link("/".join(key.to_tuple())),
        "batch_identifier": key.batch_identifier,
        "batch_spec": {},
        "validation_success": audit["success"],
        "run_time": key.run_id.run_time,
        "run_name": key.run_id.run_name,
        "asset_name": audit["meta"]["active_batch_definition"]["data_asset_name"],
    }


def _suite_page(name: str) -> str:
    return f"expectations/{name.replace('.', '/')}.html"


def _own(plugins: Path) -> tuple[str | None, str | None]:
    """The project's styles and templates, as far as there are any."""
    folders = [plugins / "custom_data_docs" / name for name in ("styles", "views")]
    styles, views = (str(folder) if folder.is_dir() else None for folder in folders)
    return styles, views
