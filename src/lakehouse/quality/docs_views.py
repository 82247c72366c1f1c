"""Great Expectations' pages, with the templates of this project before its own, and a front page made quickly.

Named in ``great_expectations.yml``; imported by Great Expectations when a site is built.
"""

from __future__ import annotations

import json
from typing import Any

from great_expectations.render.renderer.site_builder import DefaultSiteIndexBuilder
from great_expectations.render.view.view import DefaultJinjaIndexPageView, DefaultJinjaPageView
from jinja2 import ChoiceLoader, Environment, FileSystemLoader


def _prefer(env: Environment, *folders: str | None) -> None:
    """Its own loader looks for a project's templates last, so that none of its templates could be replaced."""
    own = [FileSystemLoader(folder) for folder in folders if folder]
    env.loader = ChoiceLoader([*own, *([env.loader] if env.loader else [])])


class PageView(DefaultJinjaPageView):
    """A suite or the result of an audit."""

    # Great Expectations looks at the names of the parameters to know what to pass.
    def __init__(
        self, custom_styles_directory: str | None = None, custom_views_directory: str | None = None
    ) -> None:
        super().__init__(custom_styles_directory, custom_views_directory)
        _prefer(self.env, custom_views_directory, custom_styles_directory)


class IndexView(DefaultJinjaIndexPageView):
    """The list of all audits."""

    # Great Expectations looks at the names of the parameters to know what to pass.
    def __init__(
        self, custom_styles_directory: str | None = None, custom_views_directory: str | None = None
    ) -> None:
        super().__init__(custom_styles_directory, custom_views_directory)
        _prefer(self.env, custom_views_directory, custom_styles_directory)


class IndexBuilder(DefaultSiteIndexBuilder):
    """Lists all audits. The original makes objects of every rule of every audit, to learn which succeeded."""

    def _add_validations_to_index_links(self, index_links_dict: dict[str, Any], found: list[Any]) -> None:
        store: Any = self.data_context.validation_results_store.store_backend
        site: Any = super()
        for key in sorted(found, key=lambda k: k.run_id.run_time, reverse=True):
            audit = json.loads(store.get(key.to_tuple()))
            site.add_resource_info_to_index_links_dict(
                index_links_dict=index_links_dict,
                expectation_suite_name=key.expectation_suite_identifier.name,
                section_name="validations",
                batch_identifier=key.batch_identifier,
                run_id=key.run_id,
                validation_success=audit["success"],
                run_time=key.run_id.run_time,
                run_name=key.run_id.run_name,
                asset_name=audit["meta"]["active_batch_definition"]["data_asset_name"],
                batch_kwargs={},
                batch_spec={},
            )
