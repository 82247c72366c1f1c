"""What a contract edit and `make generate` do: a new column, a whole new table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest
import yaml

from lakehouse.compile.generate import write_all
from lakehouse.contract import Project

from ..support.lakehouse import Lakehouse, copy_project
from ..support.olist import DAY, NEXT_DAY, small_shop

pytestmark = pytest.mark.servers


def edited(folder: Path, table: str, *changes: tuple[str, str]) -> Project:
    """A copy of the project with text replaced in one contract, generated anew."""

    def edit(root: Path) -> None:
        path = root / f"contracts/olist/{table}.yaml"
        text = path.read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")

    project = copy_project(folder, edit)
    write_all(project)
    return project


_RATING = """\
      - name: rating_share
        logicalType: number
        physicalType: numeric(5,4)
        description: Share of good ratings.
        customProperties:
          - {property: sourceName, value: seller_rating}
slaProperties:
"""


def test_a_new_column_is_a_contract_edit(loaded: Lakehouse, tmp_path: Path) -> None:
    project = edited(tmp_path, "sellers", ("slaProperties:\n", _RATING))
    assert "rating_share" in (tmp_path / "docs/data-dictionary.md").read_text(encoding="utf-8")
    grown = replace(loaded, project=project)
    delivery = small_shop()
    delivery.rows("sellers")[0]["seller_rating"] = "0.9750"
    grown.load(delivery, NEXT_DAY, "silver")
    rated = "select rating_share::text from ods.olist_sellers order by rating_share nulls last"
    assert grown.query(rated) == [("0.9750",), (None,)]
    assert sorted(map(str, grown.lake("silver", "olist_sellers")["rating_share"].to_pylist())) == [
        "0.9750",
        "None",
    ]
    assert set(map(str, grown.lake("bronze", "olist_sellers")["seller_rating"].to_pylist())) == {
        "0.9750",
        "",
        "None",
    }
    with psycopg2.connect(grown.analyst_dsn) as connection, connection.cursor() as cursor:
        cursor.execute(rated)
        assert len(cursor.fetchall()) == 2
    # A correction makes both deliveries be conformed together: the one from before the column, too.
    delivery.rows("sellers")[0]["seller_rating"] = "0.5"
    grown.load(delivery, NEXT_DAY, "silver")
    assert grown.query(rated) == [("0.5000",), (None,)]


def test_a_new_small_table_is_one_contract(loaded: Lakehouse, tmp_path: Path) -> None:
    def edit(root: Path) -> None:
        path = root / "contracts/olist/product_category_translation.yaml"
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        document |= {"id": "olist.holidays", "name": "Holidays"}
        document["description"]["purpose"] = "Days off."
        document["customProperties"] = [{"property": "fileName", "value": "holidays.csv"}]
        table = document["schema"][0]
        table |= {
            "name": "holidays",
            "physicalName": "olist_holidays",
            "dataGranularityDescription": "One row per day.",
        }
        table.pop("quality", None)
        table["properties"] = [
            {
                "name": "holiday_date",
                "logicalType": "date",
                "physicalType": "date",
                "description": "The day.",
                "primaryKey": True,
                "primaryKeyPosition": 1,
                "required": True,
            },
            {
                "name": "title",
                "logicalType": "string",
                "physicalType": "text",
                "description": "What is celebrated.",
            },
        ]
        (path.parent / "holidays.yaml").write_text(
            yaml.safe_dump(document, sort_keys=False), encoding="utf-8"
        )

    project = copy_project(tmp_path, edit)
    written = write_all(project)
    assert {
        "sql/raw/olist_holidays.sql",
        "sql/ods/olist_holidays.sql",
        "sql/ods/olist_holidays.conform.sql",
        "docs/data-dictionary.md",
        "great_expectations/expectations/silver/olist_holidays.json",
    } <= set(written)
    assert write_all(project, check=True) == []

    grown = replace(loaded, project=project)
    delivery = small_shop()
    delivery.tables["holidays"] = [
        {"holiday_date": "2018-02-13", "title": "Carnaval"},
        {"holiday_date": "2018-03-30", "title": ""},
    ]
    grown.load(delivery, DAY, "silver")
    rows = [("2018-02-13", "Carnaval"), ("2018-03-30", None)]
    assert grown.query("select holiday_date::text, title from ods.olist_holidays order by 1") == rows
    lake = grown.lake("silver", "olist_holidays").to_pylist()
    assert sorted((str(r["holiday_date"]), r["title"]) for r in lake) == rows
    assert grown.lake("bronze", "olist_holidays").num_rows == 2
