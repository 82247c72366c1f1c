"""Two entries in Airflow's menu: Data Docs, and the site about the data."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from lakehouse.orchestrate.links import PREFIX, base_path


class LakehousePages(AirflowPlugin):
    """Mounts the pages under ``/lakehouse`` and shows them in frames of the UI."""

    name = "lakehouse_pages"

    def __init__(self) -> None:
        self.external_views = [
            {
                "name": name,
                "href": f"{base_path()}{PREFIX}/{folder}/index.html",
                "url_route": folder,
                "destination": "nav",
                "nav_top_level": True,
            }
            for name, folder in (("Data Docs", "data-docs"), ("Lakehouse", "site"))
        ]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Made when the API server asks: schedulers and tasks load plugins too, and need no web framework."""
        from lakehouse.orchestrate.pages import application

        return [{"app": application(), "url_prefix": PREFIX, "name": "Lakehouse pages"}]
