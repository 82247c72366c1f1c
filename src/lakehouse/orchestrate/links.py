"""Where people find a run's pages inside Airflow's UI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow.sdk import BaseOperatorLink

from lakehouse.orchestrate.homes import data_docs
from lakehouse.orchestrate.partition import partition_key

if TYPE_CHECKING:
    from lakehouse.contract.model import Layer

#: Where the pages are below the address of Airflow.
PREFIX = "/lakehouse"


def gate_page(source: str, layer: Layer, key: str) -> str:
    """The path of a gate's page among the Data Docs; it shows the last audit of that partition."""
    return f"gates/{quote(source)}/{quote(layer)}/{quote(key, safe='')}.html"


def in_menu(entry: str, page: str) -> str:
    """The address of a page inside the UI's frame. ``entry`` is ``data-docs`` or ``site``."""
    base = base_path()
    return f"{base}/plugin/{entry}{base}{PREFIX}/{entry}/{page}"


def gate_address(source: str, layer: Layer, key: str) -> str:
    """The whole address of a gate's page, of which the log's viewer makes a link.

    Empty where pages are written nowhere, or Airflow does not know its own address (``[api] base_url``).
    """
    base = urlsplit(_base_url())
    if not data_docs() or not base.netloc:
        return ""
    return f"{base.scheme}://{base.netloc}{in_menu('data-docs', gate_page(source, layer, key))}"


def base_path() -> str:
    """What Airflow's addresses begin with, where it is not at the root of its host; else empty."""
    return urlsplit(_base_url()).path.rstrip("/")


def _base_url() -> str:
    from airflow.sdk.configuration import conf

    return str(conf.get("api", "base_url", fallback=""))


class DataDocsLink(BaseOperatorLink):
    """A gate task's button "Data Docs": the page of what it has audited."""

    @property
    def name(self) -> str:
        """What is written on the button."""
        return "Data Docs"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The gate's page. Asked for when the task has ended, in its process; ``ti_key`` is the task instance."""
        if not data_docs():
            return ""
        asked = operator.op_kwargs
        return in_menu(
            "data-docs",
            gate_page(asked["source"], asked["layer"], partition_key(ti_key.get_template_context())),
        )
