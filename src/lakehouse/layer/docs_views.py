"""Great Expectations' views, preferring the templates of this project over its own.

Named in ``great_expectations.yml``; imported by Great Expectations when a site is built. Its own loader looks
for a project's templates last, so that none of its templates could be replaced.
"""

from __future__ import annotations

from great_expectations.render.view.view import DefaultJinjaIndexPageView, DefaultJinjaPageView
from jinja2 import ChoiceLoader, Environment, FileSystemLoader


def _prefer(env: Environment, *folders: str | None) -> None:
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
