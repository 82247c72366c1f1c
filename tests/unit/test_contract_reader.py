"""Contracts: valid by the standard, read strictly, and every mistake answered with the place and the way out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from open_data_contract_standard.model import OpenDataContractStandard

from lakehouse.contract import ColumnType, Contract, GoldModel, Project
from lakehouse.contract.reader import parse_type, read_contract
from lakehouse.errors import ContractError

ROOT = Project.load().root
FILES = sorted((ROOT / "contracts").glob("*/*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}.{p.stem}")
def test_every_contract_is_valid_by_the_standard(path: Path) -> None:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    schema = json.loads(OpenDataContractStandard.json_schema())  # type: ignore[no-untyped-call]
    jsonschema.validators.validator_for(schema)(schema).validate(document)
    standard = OpenDataContractStandard.from_file(str(path))
    ours = read_contract(path)
    assert standard.schema_ is not None
    (table,) = standard.schema_
    assert table.physicalName == ours.table
    assert [p.name for p in table.properties or []] == [c.name for c in ours.columns]
    assert [p.physicalType for p in table.properties or []] == [c.type.sql for c in ours.columns]


def test_the_tables_are_those_of_the_two_sources() -> None:
    project = Project.load()
    assert {c.name for c in project.tables("olist")} == {
        "orders", "order_items", "order_payments", "order_reviews", "customers",
        "geolocation", "products", "sellers", "product_category_translation",
    }  # fmt: skip
    assert [c.name for c in project.tables("avazu")] == ["impressions"]
    order = [c.name for c in project.tables("olist")]
    assert order.index("customers") < order.index("orders") < order.index("order_items")


def test_what_the_flow_needs_is_declared() -> None:
    for contract in Project.load().contracts.values():
        assert contract.key and contract.description and contract.grain and contract.retention_days
        assert all(c.description for c in contract.columns)
        assert all(contract.column(k).required for k in contract.key)
    orders = Project.load().contracts["olist_orders"]
    assert orders.column("order_purchased_at").source_name == "order_purchase_timestamp"
    products = Project.load().contracts["olist_products"]
    # The source's misspelling stays in RAW and is mended in ODS.
    assert products.column("product_name_length").raw_name == "product_name_lenght"
    customers = Project.load().contracts["olist_customers"]
    assert {c.name for c in customers.columns if c.pii == "personal"} == {"zip_code_prefix", "city"}
    assert {c.name for c in customers.columns if c.pii == "pseudonym"} == {
        "customer_id",
        "customer_unique_id",
    }
    avazu = Project.load().contracts["avazu_impressions"]
    assert avazu.partition_column == "hour"
    assert avazu.column("id").type == ColumnType("numeric", 20, 0)


@pytest.fixture
def document() -> dict[str, Any]:
    """A contract as YAML has it, to be spoiled."""
    loaded: dict[str, Any] = yaml.safe_load(
        (ROOT / "contracts/olist/orders.yaml").read_text(encoding="utf-8")
    )
    return loaded


def refusal(document: dict[str, Any], folder: Path) -> ContractError:
    path = folder / "spoiled.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    with pytest.raises(ContractError) as caught:
        read_contract(path)
    assert "spoiled.yaml" in caught.value.message
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("place", "key", "says"),
    [
        ((), "retentionDays", "retentionDays: Extra inputs"),
        (("schema", 0), "tags", "schema.0.tags: Extra inputs"),
        (("schema", 0, "properties", 3), "nullable", "schema.0.properties.3.nullable: Extra inputs"),
        (("schema", 0, "quality", 0), "dimension", "schema.0.quality.0.dimension: Extra inputs"),
    ],
)
def test_a_key_without_a_meaning_is_refused_at_its_place(
    document: dict[str, Any], tmp_path: Path, place: tuple[Any, ...], key: str, says: str
) -> None:
    node = document
    for step in place:
        node = node[step]
    node[key] = "x"
    assert says in refusal(document, tmp_path).message


def custom(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(p for p in document["customProperties"] if p["property"] == name)


def test_a_contract_says_how_deliveries_are_taken(document: dict[str, Any], tmp_path: Path) -> None:
    def taken(**properties: Any) -> Contract:
        fresh = yaml.safe_load(yaml.safe_dump(document))
        kept = [p for p in fresh["customProperties"] if p["property"] != "delivery"]
        fresh["customProperties"] = kept + [{"property": n, "value": v} for n, v in properties.items()]
        path = tmp_path / "orders.yaml"
        path.write_text(yaml.safe_dump(fresh), encoding="utf-8")
        read = read_contract(path)
        assert isinstance(read, Contract)
        return read

    plain = taken()
    assert (plain.delivery_kind, plain.shrink_tolerance) == ("increment", 0.2)
    assert plain.earliest_date == date(2000, 1, 1)
    assert [plain.shrinks(10, after) for after in (10, 12, 8, 7)] == [False, False, False, True]
    assert not plain.shrinks(0, 0)
    for first in ("2016-09-04", date(2016, 9, 4)):
        told = taken(delivery="full", shrinkTolerance=0, earliestDate=first)
        assert (told.delivery_kind, told.shrink_tolerance, told.earliest_date) == (
            "full",
            0.0,
            date(2016, 9, 4),
        )
        assert told.shrinks(10, 9)
    for mistake, says in (
        ({"delivery": "delta"}, "Write full or increment"),
        ({"shrinkTolerance": 20}, "Write a share from 0 to 1"),
        ({"shrinkTolerance": True}, "Write a share from 0 to 1"),
        ({"earliestDate": "2016"}, "Write it as YYYY-MM-DD"),
    ):
        with pytest.raises(ContractError, match=says):
            taken(**mistake)


def test_a_history_is_of_entities_and_has_its_names_for_itself(
    document: dict[str, Any], tmp_path: Path
) -> None:
    document["customProperties"].append({"property": "keepsHistory", "value": True})
    path = tmp_path / "orders.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    read = read_contract(path)
    assert isinstance(read, Contract) and read.history
    assert (read.history.table, read.history.key) == ("olist_orders_history", ("order_id", "valid_from"))
    named = yaml.safe_load(yaml.safe_dump(document))
    named["schema"][0]["properties"][2]["name"] = "valid_to"
    assert "keepsHistory adds valid_to, which the table has" in str(refusal(named, tmp_path))
    document["schema"][0]["properties"][3].update(partitioned=True)
    assert "nothing is said of an event again" in str(refusal(document, tmp_path))


def test_mistakes_are_answered(document: dict[str, Any], tmp_path: Path) -> None:
    def spoiled(change: Any) -> str:
        fresh = yaml.safe_load(yaml.safe_dump(document))
        change(fresh)
        return str(refusal(fresh, tmp_path))

    def prop(d: dict[str, Any], n: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = d["schema"][0]["properties"][n]
        return found

    assert "unknown customProperties keepFor" in spoiled(
        lambda d: d["customProperties"].append({"property": "keepFor", "value": 1})
    )
    assert "lacks fileName" in spoiled(lambda d: d["customProperties"].remove(custom(d, "fileName")))
    assert "unknown physicalType 'varchar'" in spoiled(lambda d: prop(d).update(physicalType="varchar"))
    assert "Write logicalType: timestamp" in spoiled(lambda d: prop(d, 3).update(logicalType="string"))
    assert "Call the table 'olist_orders'" in spoiled(lambda d: d["schema"][0].update(physicalName="orders"))
    assert "no column has primaryKey" in spoiled(
        lambda d: [prop(d).pop(k) for k in ("primaryKey", "primaryKeyPosition")]
    )
    assert "name occurs twice: order_id" in spoiled(lambda d: prop(d, 1).update(name="order_id"))
    assert "a unique rule cannot be decided row by row" in spoiled(
        lambda d: prop(d)["quality"][0].update(metric="duplicateValues", arguments={}, severity="row")
    )
    assert "invalidValues takes validValues, pattern, or" in spoiled(
        lambda d: prop(d)["quality"][0].update(arguments={"between": [1, 2]})
    )
    assert "Write table.column" in spoiled(
        lambda d: prop(d, 1)["relationships"][0].update(to="olist_customers")
    )
    assert "Write hard or soft" in spoiled(
        lambda d: prop(d, 1)["relationships"][0].update(
            customProperties=[{"property": "severity", "value": "row"}]
        )
    )
    assert "severity" in spoiled(lambda d: prop(d)["quality"][0].update(severity="error"))


def test_what_a_computed_table_declares() -> None:
    gold = Project.load().gold
    for model in gold.values():
        assert model.key and model.description and model.grain and model.sql
        assert all(c.description for c in model.columns)
        assert all(model.column(k).required for k in model.key)
        assert model.scope is None or model.column(model.scope)
    orders = gold["fact_order"]
    assert (orders.source, orders.unit, orders.scope) == ("olist", "order_id", "order_id")
    assert orders.column("customer_key").pii == "pseudonym"
    assert {(c.name, r.table, r.severity) for c, r in orders.references} >= {
        ("customer_key", "dim_customer", "hard"),
        ("delivered_date", "dim_date", "hard"),
    }
    assert gold["dim_customer"].personal == {"zip_code_prefix", "city"}


def test_mistakes_in_a_computed_table_are_answered(tmp_path: Path) -> None:
    text = (ROOT / "contracts/gold/customer_rfm.yaml").read_text(encoding="utf-8")

    def spoiled(change: Callable[[dict[str, Any]], Any]) -> str:
        fresh: dict[str, Any] = yaml.safe_load(text)
        change(fresh)
        return str(refusal(fresh, tmp_path))

    assert "lacks unit" in spoiled(lambda d: d["customProperties"].remove(custom(d, "unit")))
    assert "unknown customProperties fileName" in spoiled(
        lambda d: d["customProperties"].append({"property": "fileName", "value": "x.csv"})
    )
    assert "has no column 'order_id'" in spoiled(lambda d: custom(d, "unit").update(value="order_id"))
    assert "scope has no meaning where unit is all" in spoiled(
        lambda d: (
            custom(d, "unit").update(value="all"),
            d["customProperties"].append({"property": "scope", "value": "customer_unique_id"}),
        )
    )
    assert "cannot go to quarantine" in spoiled(
        lambda d: d["schema"][0]["properties"][4].update(
            quality=[
                {
                    "name": "order_count_is_given",
                    "description": "There is a count.",
                    "metric": "nullValues",
                    "mustBe": 0,
                    "severity": "row",
                }
            ]
        )
    )
    assert "partitioned has no meaning" in spoiled(
        lambda d: d["schema"][0]["properties"][1].update(partitioned=True)
    )
    assert "slaProperties has no meaning" in spoiled(
        lambda d: d.update(slaProperties=[{"property": "retention", "value": 1, "unit": "d"}])
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A project of its own, to be spoiled."""
    for part in ("contracts", "sql"):
        shutil.copytree(ROOT / part, tmp_path / part)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("lost", ["contracts/gold/kpi_daily.yaml", "sql/gold/kpi_daily.sql"])
def test_a_computed_table_has_a_contract_and_a_query(copied: Path, lost: str) -> None:
    (copied / lost).unlink()
    with pytest.raises(ContractError, match=r"contracts/gold/kpi_daily.yaml and sql/gold/kpi_daily.sql"):
        Project.load(copied)


@pytest.mark.parametrize(
    ("path", "old", "new", "says"),
    [
        (
            "sql/gold/fact_order.sql",
            "from affected_orders as",
            "from gold.kpi_daily as",
            "Circular gold tables",
        ),
        (
            "sql/gold/dim_date.sql",
            "from parts",
            "from gold.dim_day",
            "reads gold.dim_day, which has no contract",
        ),
        ("sql/gold/dim_date.sql", "from parts", "from ods.orders", "reads ods.orders, which has no contract"),
        ("contracts/gold/kpi_daily.yaml", "to: dim_date.", "to: dim_day.", "points to dim_day"),
        (
            "contracts/gold/kpi_daily.yaml",
            "to: dim_date.calendar_date",
            "to: dim_date.day",
            "no column 'day'",
        ),
        ("contracts/gold/kpi_daily.yaml", "to: dim_date.", "to: olist_orders.", "points to olist_orders"),
        ("contracts/gold/kpi_daily.yaml", "domain: gold", "domain: olist", "unknown customProperties"),
        ("contracts/gold/kpi_daily.yaml", "value: olist", "value: shop", "names source shop"),
        ("contracts/olist/orders.yaml", "domain: olist", "domain: shop", "Call the table 'shop_orders'"),
    ],
)
def test_tables_that_contradict_each_other(copied: Path, path: str, old: str, new: str, says: str) -> None:
    edit(copied / path, old, new)
    with pytest.raises(ContractError) as caught:
        Project.load(copied)
    assert says in caught.value.message + caught.value.hint


def test_files_that_are_called_otherwise(copied: Path) -> None:
    for path in ("contracts/gold/kpi_daily.yaml", "sql/gold/kpi_daily.sql"):
        (copied / path).rename((copied / path).with_stem("headlines"))
    with pytest.raises(ContractError, match="call the table headlines"):
        Project.load(copied)


def test_models_are_told_apart_by_their_domain() -> None:
    model = read_contract(ROOT / "contracts/gold/dim_date.yaml", "select 1")
    assert isinstance(model, GoldModel)
    assert model.sql == "select 1"


@pytest.mark.parametrize(
    "physical", ["numeric", "numeric(12)", "text(5)", "int", "timestamptz", "", "text; drop"]
)
def test_types_this_project_does_not_know_are_refused(physical: str) -> None:
    with pytest.raises(ContractError, match="unknown physicalType"):
        parse_type(physical)


#: Each would become SQL, or leave its folder, where it is used as it is.
HOSTILE = [
    "x text); drop table ops.batch; --",
    'x"; drop table ops.batch; --',
    "x'; select 1; --",
    "../../etc/passwd",
    "a/b",
    "a.b",
    "..",
    ".hidden",
    "öffentlich",
    "\uff4frders",
    "orders\n",
    "orders\u202e",
    "",
    " ",
    "%(x)s",
    "{{ ds }}",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("place", ["table", "column", "source column", "source", "rule", "file"])
def test_names_become_sql_and_paths_so_hostile_ones_are_refused(
    document: dict[str, Any], tmp_path: Path, place: str, name: str
) -> None:
    if (place, name) in (("file", "a.b"), ("table", "")):
        pytest.skip("an ordinary file; a table cannot be without a name, its physical one then is `olist_`")
    table = document["schema"][0]
    if place == "table":
        table |= {"name": name, "physicalName": f"olist_{name}"}
    elif place == "column":
        table["properties"][4]["name"] = name
    elif place == "source column":
        table["properties"][4]["customProperties"] = [{"property": "sourceName", "value": name}]
    elif place == "source":
        document["domain"] = name
    elif place == "rule":
        table["quality"][0]["name"] = name
    else:
        (file,) = [p for p in document["customProperties"] if p["property"] == "fileName"]
        file["value"] = name
    refusal(document, tmp_path)


def test_not_yaml_at_all(tmp_path: Path) -> None:
    path = tmp_path / "spoiled.yaml"
    path.write_text("schema: [", encoding="utf-8")
    with pytest.raises(ContractError, match="not valid YAML"):
        read_contract(path)
