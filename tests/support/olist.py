"""Tiny Olist deliveries, made row by row: every value is known, every row may be changed before it is written."""

from __future__ import annotations

import csv
import hashlib
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

from lakehouse.contract import Project

Row = dict[str, str]
DAY = "2018-03-01"
NEXT_DAY = "2018-03-02"


def ident(kind: str, number: int) -> str:
    """The id of the n-th thing of a kind: 32 hexadecimal digits, always the same."""
    return hashlib.md5(f"{kind}-{number}".encode(), usedforsecurity=False).hexdigest()


@dataclass
class Delivery:
    """Rows of the nine files: table → rows, with the column names of the files."""

    tables: dict[str, list[Row]] = field(default_factory=dict)

    def copy(self) -> Delivery:
        """A delivery that may be changed without changing this one."""
        return deepcopy(self)

    def rows(self, table: str) -> list[Row]:
        """The rows of a table, to be changed in place."""
        return self.tables[table]

    def order(self, number: int) -> Row:
        """The n-th order."""
        return next(r for r in self.rows("orders") if r["order_id"] == ident("order", number))

    def without_order(self, number: int) -> Delivery:
        """A delivery that lacks an order and everything that belongs to it."""
        changed = self.copy()
        order = ident("order", number)
        for table in ("orders", "order_items", "order_payments", "order_reviews"):
            changed.tables[table] = [r for r in changed.tables[table] if r["order_id"] != order]
        return changed

    def only_orders(self, *numbers: int) -> Delivery:
        """A delivery of these orders, with all customers, products and the like."""
        changed = self
        for number in {_number(r) for r in self.rows("orders")} - set(numbers):
            changed = changed.without_order(number)
        return changed.copy()

    def write(self, folder: Path, project: Project) -> Path:
        """Write the files under their original names, replacing what is there; returns the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for contract in project.tables("olist"):
            header = [c.source_name for c in contract.columns]
            with (folder / contract.file_name).open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(header)
                writer.writerows([row.get(name, "") for name in header] for row in self.tables[contract.name])
        return folder


def _number(order: Row) -> int:
    return next(n for n in range(1, 1000) if ident("order", n) == order["order_id"])


def small_shop(orders: int = 4) -> Delivery:
    """A shop with that many orders on 2018-02-01 and the days after it.

    Order n: person n (the last order is person 1's second), two items, 30.n + 5 and 12.50 + 2.50 BRL, paid by
    credit card and voucher, one review with a text. Order 2 is not delivered and has neither items nor review.
    """
    shop = Delivery({t: [] for t in _TABLES})
    for number in range(1, orders + 1):
        _add_order(shop, number, person=1 if number == orders else number)
    shop.tables["products"] = [_product(n) for n in (1, 2)]
    shop.tables["sellers"] = [_seller(n) for n in (1, 2)]
    shop.tables["product_category_translation"] = [
        {"product_category_name": "beleza_saude", "product_category_name_english": "health_beauty"},
        {"product_category_name": "artes", "product_category_name_english": "art"},
    ]
    shop.tables["geolocation"] = [
        _place("01001", "-23.548945985189434", "-46.63467113292871", "sao paulo", "SP"),
        _place("01001", "-23.5501", "-46.6340", "são paulo", "SP"),
        _place("20010", "-22.9035", "-43.2096", "rio de janeiro", "RJ"),
    ]
    return shop


_TABLES = (
    "orders", "order_items", "order_payments", "order_reviews", "customers",
    "geolocation", "products", "sellers", "product_category_translation",
)  # fmt: skip


def _add_order(shop: Delivery, number: int, person: int) -> None:
    order, day = ident("order", number), f"2018-02-{number:02d}"
    delivered = number != 2
    shop.tables["customers"].append(
        {
            "customer_id": ident("customer", number),
            "customer_unique_id": ident("person", person),
            "customer_zip_code_prefix": "01001" if number % 2 else "20010",
            "customer_city": "sao paulo" if number % 2 else "rio de janeiro",
            "customer_state": "SP" if number % 2 else "RJ",
        }
    )
    shop.tables["orders"].append(
        {
            "order_id": order,
            "customer_id": ident("customer", number),
            "order_status": "delivered" if delivered else "canceled",
            "order_purchase_timestamp": f"{day} 10:00:00",
            "order_approved_at": f"{day} 10:20:00",
            "order_delivered_carrier_date": f"{day} 18:00:00" if delivered else "",
            "order_delivered_customer_date": "2018-02-20 12:00:00" if delivered else "",
            "order_estimated_delivery_date": "2018-02-25 00:00:00",
        }
    )
    goods = [(1, f"30.{number:02d}", "5.00"), (2, "12.50", "2.50")] if delivered else []
    for item, price, freight in goods:
        shop.tables["order_items"].append(
            {
                "order_id": order,
                "order_item_id": str(item),
                "product_id": ident("product", item),
                "seller_id": ident("seller", item),
                "shipping_limit_date": f"{day} 23:59:59",
                "price": price,
                "freight_value": freight,
            }
        )
    payments = [("credit_card", f"40.{number:02d}"), ("voucher", "10.00")]
    for sequential, (kind, value) in enumerate(payments, start=1):
        shop.tables["order_payments"].append(
            {
                "order_id": order,
                "payment_sequential": str(sequential),
                "payment_type": kind,
                "payment_installments": "1",
                "payment_value": value,
            }
        )
    if delivered:
        shop.tables["order_reviews"].append(
            {
                "review_id": ident("review", number),
                "order_id": order,
                "review_score": "5",
                "review_comment_title": "",
                "review_comment_message": f'Recebi "tudo", obrigado\n  pedido {number} 😀 ',
                "review_creation_date": "2018-02-21 00:00:00",
                "review_answer_timestamp": "2018-02-22 08:00:00",
            }
        )


def _product(number: int) -> Row:
    return {
        "product_id": ident("product", number),
        "product_category_name": "beleza_saude" if number == 1 else "",
        "product_name_lenght": "40",
        "product_description_lenght": "287",
        "product_photos_qty": "1",
        "product_weight_g": "225",
        "product_length_cm": "16",
        "product_height_cm": "10",
        "product_width_cm": "14",
    }


def _seller(number: int) -> Row:
    return {
        "seller_id": ident("seller", number),
        "seller_zip_code_prefix": "01001",
        "seller_city": "sao paulo",
        "seller_state": "SP",
    }


def _place(prefix: str, latitude: str, longitude: str, city: str, state: str) -> Row:
    return {
        "geolocation_zip_code_prefix": prefix,
        "geolocation_lat": latitude,
        "geolocation_lng": longitude,
        "geolocation_city": city,
        "geolocation_state": state,
    }
