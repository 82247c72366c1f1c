"""What contracts may say about persons, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lakehouse.contract import Project
from lakehouse.contract.erasure import Link, followed, handed_on, subject_of
from lakehouse.errors import ContractError

from ..support.lakehouse import copy_project

_PERSON = "          - {property: person, value: subject}\n"
_THROUGH = "          - {property: person, value: through}\n"
_PSEUDONYM = "          - {property: erasedAs, value: pseudonym}\n"


def test_olist_leads_from_reviews_to_persons() -> None:
    project = Project.load()
    contracts = project.contracts
    assert subject_of(contracts, "olist") is contracts["olist_customers"]
    assert subject_of(contracts, "avazu") is None
    assert followed(contracts["olist_order_reviews"]) == Link("olist_orders", "order_id")
    assert handed_on(contracts["olist_customers"], contracts) == (Link("olist_customers", "customer_id"),)
    assert handed_on(contracts["olist_order_reviews"], contracts) == ()
    assert [c.name for c in contracts["olist_customers"].erased_columns] == [
        "customer_unique_id", "zip_code_prefix", "city",
    ]  # fmt: skip


def _edit(table: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = root / "contracts" / "olist" / f"{table}.yaml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    return change


@pytest.mark.parametrize(
    ("table", "old", "new", "said"),
    [
        ("customers", 'value: "00000"', 'value: "0"', "breaks rule zip_code_prefix_has_five_digits"),
        ("customers", "erasedAs, value: erased", 'erasedAs, value: ""', "city is required"),
        (
            "customers",
            "          - {property: erasedAs, value: erased}\n",
            "",
            "city: personal, and would stay",
        ),
        ("customers", _PSEUDONYM, "", "the subject needs erasedAs: pseudonym"),
        ("customers", "person, value: subject", "person, value: somebody", "'somebody'"),
        (
            "customers",
            "erasedAs, value: erased",
            "erasedAs, value: pseudonym",
            "for the column that says who",
        ),
        ("customers", _PERSON + _PSEUDONYM, "", "no column says whose row it is"),
        ("orders", _THROUGH, "", "leads to no person: subject"),
        (
            "orders",
            "            to: olist_customers.customer_id",
            "            to: olist_products.product_id",
            "leads to no",
        ),
        (
            "order_reviews",
            _THROUGH,
            _THROUGH + '          - {property: erasedAs, value: ""}\n',
            "part of the key",
        ),
        ("order_reviews", _THROUGH, _THROUGH.replace("through", "subject"), "the subject needs erasedAs"),
        (
            "order_reviews",
            "        description: When it was answered, Brazilian local time.\n        required: true\n"
            "        customProperties:\n",
            "        description: When it was answered, Brazilian local time.\n"
            "        customProperties:\n          - {property: erasedAs, value: x}\n",
            "only a text can be erasedAs",
        ),
    ],
)
def test_a_contract_that_would_keep_a_person_or_lose_rows_is_refused(
    table: str, old: str, new: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ContractError, match=said):
        copy_project(tmp_path, _edit(table, old, new))


def test_an_id_that_is_stored_again_as_a_reference_has_to_go_with_the_subject(tmp_path: Path) -> None:
    """An order that names the person itself."""
    change = _edit("orders", "to: olist_customers.customer_id", "to: olist_customers.customer_unique_id")
    with pytest.raises(ContractError, match=r"orders\.customer_id holds what says who"):
        copy_project(tmp_path, change)
