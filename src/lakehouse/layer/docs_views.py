"""Great Expectations' views, preferring the templates of this project over its own.

Named in ``great_expectations.yml``; imported by Great Expectations when a site is built. Its own loader looks
for a project's templates last, so that none of its templates could be replaced.
"""

from __future__ import annotations

from typing import Any

from great_expectations.render.view.view import DefaultJinjaIndexPageView, DefaultJinjaPageView
from jinja2 import ChoiceLoader, Environment, FileSystemLoader


def _prefer(env: Environment, *folders: str | None) -> None:
    own = [FileSystemLoader(folder) for folder in folders if folder]
    env.loader = ChoiceLoader([*own, *([env.loader] if env.loader else [])])


class PageView(DefaultJinjaPageView):
    """A suite or the result of an audit."""

    def __init__(self, **folders: Any) -> None:
        super().__init__(**folders)
        _prefer(self.env, folders.get("custom_views_directory"), folders.get("custom_styles_directory"))


class IndexView(DefaultJinjaIndexPageView):
    """The list of all audits."""

    def __init__(self, **folders: Any) -> None:
        super().__init__(**folders)
        _prefer(self.env, folders.get("custom_views_directory"), folders.get("custom_styles_directory"))
