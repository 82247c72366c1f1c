"""A small Olist in the published format, with the peculiarities of the real files, the same every time.

Made for a first run without any download. The shares of odd cases are those of the real data; cases that
happen there a handful of times in 100,000 orders happen here a few times as well: every path is walked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl

from lakehouse.landing.sample_words import CATEGORIES, ENDINGS, OPENINGS, PLACES, TITLES, UNTRANSLATED
from lakehouse.landing.sampling import (
    Dice,
    Flags,
    Ints,
    Texts,
    Times,
    blanked,
    csv_bytes,
    degrees,
    money,
    numbered,
    write_files,
    written,
    zips,
)

DEFAULT_ORDERS = 5_000
_MINIMUM_ORDERS = 500
_SEED = 20_181_017
_FIRST_DAY = np.datetime64("2016-09-04T00:00:00", "s")
#: The delivery's date is the day of the last purchase.
_LAST_PURCHASE = np.datetime64("2018-10-17T11:42:07", "s")
_DAY, _HOUR = 86_400, 3_600

_STATUSES = (
    "delivered", "shipped", "canceled", "unavailable", "invoiced", "processing", "created", "approved"
)  # fmt: skip
_STATUS_SHARES = (96_478, 1_107, 625, 609, 314, 301, 5, 2)


def write_sample(folder: Path, orders: int = DEFAULT_ORDERS, seed: int = _SEED) -> dict[str, int]:
    """Write the nine files to ``folder``; data rows by file name. The same arguments give the same bytes.

    Raises:
        LakehouseError: one of the files is there and no sample; nothing is written then.
        ValueError: fewer orders than the odd cases need.
    """
    if orders < _MINIMUM_ORDERS:
        raise ValueError(f"A sample needs at least {_MINIMUM_ORDERS} orders.")
    shop = _Shop(Dice(seed), orders)
    frames = shop.frames()
    write_files(folder, {name: _encoded(name, frame) for name, frame in frames.items()})
    return {name: frame.height for name, frame in frames.items()}


def _encoded(name: str, frame: pl.DataFrame) -> bytes:
    if name == "product_category_name_translation.csv":
        return b"\xef\xbb\xbf" + csv_bytes(frame, final_line_break=False)
    if name in {"olist_order_reviews_dataset.csv", "olist_geolocation_dataset.csv"}:
        return csv_bytes(frame)
    texts = [c for c in frame.columns if (c.endswith("_id") and c != "order_item_id") or "zip" in c]
    return csv_bytes(frame, quote_digits=texts, quote_header=True)


@dataclass(frozen=True)
class _Orders:
    """One entry per order."""

    ids: Texts
    customers: Texts
    status: Texts
    purchased: Times
    approved: Times
    carrier: Times
    received: Times
    estimated: Times
    has_items: Flags


class _Shop:
    """Makes the tables one after the other, so that every foreign key finds its row."""

    def __init__(self, dice: Dice, size: int) -> None:
        self.dice = dice
        self.size = size
        self.orders = self._orders()
        self.product_ids = dice.hex(max(size // 3, 50))
        self.seller_ids = dice.hex(max(size // 32, 20))
        self.seller_place, self.seller_zip = self._addresses(len(self.seller_ids))
        self.customer_place, self.customer_zip, self.persons = self._persons()

    def frames(self) -> dict[str, pl.DataFrame]:
        """Every table as texts, by file name."""
        items, totals = self._items()
        return {
            "olist_customers_dataset.csv": self._customers(),
            "olist_geolocation_dataset.csv": self._geolocation(),
            "olist_order_items_dataset.csv": items,
            "olist_order_payments_dataset.csv": self._payments(totals),
            "olist_order_reviews_dataset.csv": self._reviews(),
            "olist_orders_dataset.csv": self._order_frame(),
            "olist_products_dataset.csv": self._products(),
            "olist_sellers_dataset.csv": self._sellers(),
            "product_category_name_translation.csv": _translation(),
        }

    def _orders(self) -> _Orders:
        dice, size = self.dice, self.size
        status = np.array(_STATUSES)[dice.weighted(size, _STATUS_SHARES)]
        # Rare states, and enough cancelled orders for the rare payments, whatever the size.
        status[:12] = ["created", "created", "approved", *["canceled"] * 6, *["unavailable"] * 3]
        span = int((_LAST_PURCHASE - _FIRST_DAY).astype(np.int64))
        growth = {0: 0.0, 0.003: 0.05, 0.02: 0.16, 0.45: 0.62, 0.999: 0.94, 1: 1.0}
        day = (dice.curve(size, growth) * (span // _DAY)).astype(np.int64)
        clock = dice.curve(size, {0: 0.0, 0.08: 7.0, 0.5: 14.8, 0.9: 21.9, 1: 23.99}) * _HOUR
        purchased = _FIRST_DAY + day * _DAY + clock.astype(np.int64)
        purchased[-1] = _LAST_PURCHASE
        # The last weeks hold only what was cancelled: the others were delivered by then.
        status[purchased > _LAST_PURCHASE - 45 * _DAY] = "canceled"
        return self._milestones(status, purchased)

    def _milestones(self, status: Texts, purchased: Times) -> _Orders:
        dice, size = self.dice, self.size
        approved = purchased + self._seconds({0: 0, 0.02: 300, 0.5: 1_200, 0.6: 3 * _HOUR, 1: 3 * _DAY})
        carrier = approved + self._seconds({0: 2 * _HOUR, 0.5: 1.8 * _DAY, 0.95: 8 * _DAY, 1: 40 * _DAY})
        received = carrier + self._seconds({0: _DAY, 0.5: 6.5 * _DAY, 0.93: 13 * _DAY, 1: 60 * _DAY})
        promise = dice.curve(size, {0: 4, 0.02: 12, 0.12: 18, 0.5: 24, 0.9: 35, 1: 80}).astype(np.int64)
        early = dice.chance(size, 1_359 / 99_441)
        approved = np.where(early, carrier + dice.integers(size, 60, 30 * _HOUR), approved)
        nothing = np.datetime64("NaT", "s")
        status = np.where((status == "delivered") & (received > _LAST_PURCHASE), "shipped", status)
        has_carrier = np.isin(status, ["delivered", "shipped"])
        is_delivered = status == "delivered"
        unapproved = (status == "created") | ((status == "canceled") & dice.chance(size, 0.22))
        undated = np.flatnonzero(is_delivered)[:8]
        received = np.where(is_delivered, received, nothing)
        received[undated] = nothing
        without = {"unavailable": 0.99, "canceled": 0.26, "created": 1.0, "invoiced": 0.006, "shipped": 0.001}
        shares = np.select([status == s for s in without], list(without.values()), 0.0)
        return _Orders(
            ids=dice.hex(size),
            customers=dice.hex(size),
            status=status,
            purchased=purchased,
            approved=np.where(unapproved, nothing, approved),
            carrier=np.where(has_carrier, carrier, nothing),
            received=received,
            estimated=cast(Times, purchased.astype("datetime64[D]") + promise),
            has_items=dice.uniform(size) >= shares,
        )

    def _seconds(self, quantiles: dict[float, float]) -> Ints:
        return self.dice.curve(self.size, quantiles).astype(np.int64)

    def _addresses(self, size: int) -> tuple[Ints, Ints]:
        """Place and zip prefix; a place has a few hundred prefixes, some far more common than others."""
        place = self.dice.weighted(size, [p.weight for p in PLACES])
        first = np.array([p.first_zip for p in PLACES])[place]
        return place, first + (self.dice.uniform(size) ** 2 * 180).astype(np.int64)

    def _persons(self) -> tuple[Ints, Ints, Texts]:
        """Address and person of each order: some persons order again, a few of these have moved by then."""
        dice, size = self.dice, self.size
        known = size - round(size * 0.0336)
        ids = dice.hex(known)
        person = np.concatenate((np.arange(known), dice.integers(size - known, 0, known)))
        home, prefix = self._addresses(known)
        other_place, other_zip = self._addresses(size)
        moved = (np.arange(size) >= known) & dice.chance(size, 0.1)
        moved[known : known + 3] = True
        order = dice.order(size)
        place = np.where(moved, other_place, home[person])[order]
        return place, np.where(moved, other_zip, prefix[person])[order], ids[person][order]

    def _order_frame(self) -> pl.DataFrame:
        o = self.orders
        frame = pl.DataFrame(
            {
                "order_id": o.ids,
                "customer_id": o.customers,
                "order_status": o.status,
                "order_purchase_timestamp": written(o.purchased),
                "order_approved_at": written(o.approved),
                "order_delivered_carrier_date": written(o.carrier),
                "order_delivered_customer_date": written(o.received),
                "order_estimated_delivery_date": written(o.estimated),
            }
        )
        return frame[self.dice.order(self.size)]

    def _customers(self) -> pl.DataFrame:
        frame = pl.DataFrame(
            {
                "customer_id": self.orders.customers,
                "customer_unique_id": self.persons,
                "customer_zip_code_prefix": zips(self.customer_zip),
                "customer_city": _cities(self.customer_place),
                "customer_state": _states(self.customer_place),
            }
        )
        return frame[self.dice.order(self.size)]

    def _sellers(self) -> pl.DataFrame:
        city = _cities(self.seller_place)
        untidy = self.dice.chance(len(city), 0.011)
        untidy[0] = True
        joined = np.char.add(np.char.add(city, " / "), np.char.lower(_states(self.seller_place)))
        return pl.DataFrame(
            {
                "seller_id": self.seller_ids,
                "seller_zip_code_prefix": zips(self.seller_zip),
                "seller_city": np.where(untidy, joined, city),
                "seller_state": _states(self.seller_place),
            }
        )

    def _products(self) -> pl.DataFrame:
        dice, size = self.dice, len(self.product_ids)
        names = np.array([*CATEGORIES, *UNTRANSLATED])
        category = names[dice.weighted(size, [*range(30, 30 - len(CATEGORIES), -1), 0.05, 0.2])]
        category[:2] = UNTRANSLATED
        bare = dice.chance(size, 610 / 32_951)
        bare[2:4] = True
        weight = dice.curve(size, {0: 50, 0.25: 300, 0.5: 700, 0.75: 1_900, 1: 30_000}).astype(np.int64)
        weight[4:7] = 0
        unmeasured = np.arange(size) == 7
        described = {
            "product_category_name": np.where(bare, "", category),
            "product_name_lenght": blanked(dice.integers(size, 20, 64), bare),
            "product_description_lenght": blanked(dice.integers(size, 60, 2_600), bare),
            "product_photos_qty": blanked(dice.weighted(size, [50, 20, 15, 10, 5]) + 1, bare),
        }
        measured = {"product_weight_g": weight, "product_length_cm": dice.integers(size, 16, 70)}
        measured |= {"product_height_cm": dice.integers(size, 2, 45)}
        measured |= {"product_width_cm": dice.integers(size, 11, 60)}
        return pl.DataFrame(
            {"product_id": self.product_ids}
            | described
            | {name: blanked(values, unmeasured) for name, values in measured.items()}
        )

    def _items(self) -> tuple[pl.DataFrame, Ints]:
        """The items, and what each order's items cost with freight, in cents."""
        dice, o = self.dice, self.orders
        count = np.where(o.has_items, 1 + dice.weighted(self.size, [901, 76, 13.4, 5.1, 2.1, 2]), 0)
        order = np.repeat(np.arange(self.size), count)
        number = numbered(count)
        # Mostly the same product again within an order, as in the shop.
        product = (dice.uniform(self.size) ** 2 * len(self.product_ids)).astype(np.int64)[order]
        product = np.where(
            (number > 1) & dice.chance(len(order), 0.3),
            dice.integers(len(order), 0, len(self.product_ids)),
            product,
        )
        price = dice.curve(len(self.product_ids), _PRICES).round(2)[product]
        freight = dice.curve(len(order), {0: 7.39, 0.5: 16.26, 0.9: 34, 1: 220}).round(2)
        freight = np.where(dice.chance(len(order), 0.0034), 0.0, freight)
        cents = np.rint(price * 100).astype(np.int64) + np.rint(freight * 100).astype(np.int64)
        limit = o.purchased[order] + (dice.curve(self.size, {0: 2, 0.9: 7, 1: 20})[order] * _DAY).astype(
            np.int64
        )
        frame = pl.DataFrame(
            {
                "order_id": o.ids[order],
                "order_item_id": number.astype(str),
                "product_id": self.product_ids[product],
                "seller_id": self.seller_ids[product % len(self.seller_ids)],
                "shipping_limit_date": written(limit),
                "price": money(np.rint(price * 100).astype(np.int64)),
                "freight_value": money(np.rint(freight * 100).astype(np.int64)),
            }
        )
        totals = np.bincount(order, weights=cents, minlength=self.size).astype(np.int64)
        return frame[dice.order(frame.height)], totals

    def _payments(self, totals: Ints) -> pl.DataFrame:
        """One to several payments per order, adding up to its items; a few do not, one order has none."""
        dice, o = self.dice, self.orders
        due = np.where(totals > 0, totals, (dice.curve(self.size, _PRICES) * 100).astype(np.int64))
        differs = dice.chance(self.size, 303 / 99_441)
        differs[-4:-1] = True
        due = due + np.where(differs, dice.integers(self.size, 5, 600), 0)
        count = 1 + dice.weighted(self.size, [970.2, 24, 3, 1.1, 0.5, 0.4, 0.3, 0.1])
        undefined = np.zeros(self.size, bool)
        undefined[np.flatnonzero(o.status == "canceled")[:3]] = True
        due, count = np.where(undefined, 0, due), np.where(undefined, 1, count)
        count[np.flatnonzero(o.status == "delivered")[8]] = 0
        order, number = np.repeat(np.arange(self.size), count), numbered(count)
        cents = _shared(due, order, number, count, dice)
        kind = np.array(["credit_card", "boleto", "voucher", "debit_card"])[
            dice.weighted(len(order), [76.8, 19.8, 1.7, 1.5])
        ]
        kind = np.where((count[order] > 1) & (number > 1), "voucher", kind)
        kind = np.where(undefined[order], "not_defined", kind)
        plans = dice.weighted(len(order), [0.03, 33, 16, 14, 9, 7, 5, 2, 5.5, 0.8, 7])
        plans = np.where(kind == "credit_card", plans, 1)
        plans[np.flatnonzero(kind == "credit_card")[:2]] = 0
        frame = pl.DataFrame(
            {
                "order_id": o.ids[order],
                "payment_sequential": number.astype(str),
                "payment_type": kind,
                "payment_installments": plans.astype(str),
                "payment_value": money(cents),
            }
        )
        return frame[dice.order(frame.height)]

    def _reviews(self) -> pl.DataFrame:
        """About one review per order: some orders have two, some reviews are of two orders."""
        dice, o = self.dice, self.orders
        count = dice.weighted(self.size, [7.7, 986.8, 5.5])
        count[20:24] = 2
        order = np.repeat(np.arange(self.size), count)
        size = len(order)
        ids = dice.hex(size)
        # The same questionnaire answered for the next order, too.
        again = np.flatnonzero(dice.chance(size - 1, 0.004) & (order[1:] != order[:-1]))
        ids[again + 1] = ids[again]
        late = np.isnat(o.received) | (o.received > o.estimated)
        score = np.where(
            late[order], dice.weighted(size, [46, 8, 12, 14, 20]), dice.weighted(size, [9, 3, 8, 20, 60])
        )
        asked = np.where(np.isnat(o.received), o.estimated + 2, o.received.astype("datetime64[D]") + 1)[order]
        waited = dice.curve(size, {0: 0.05, 0.5: 1.7, 0.95: 8, 1: 120}) * _DAY
        answered = asked.astype("datetime64[s]") + waited.astype(np.int64)
        message = np.char.add(
            np.array(OPENINGS)[dice.integers(size, 0, len(OPENINGS))],
            np.array(ENDINGS)[dice.integers(size, 0, len(ENDINGS))],
        )
        title = np.array(TITLES)[dice.integers(size, 0, len(TITLES))]
        frame = pl.DataFrame(
            {
                "review_id": ids,
                "order_id": o.ids[order],
                "review_score": (score + 1).astype(str),
                "review_comment_title": np.where(dice.chance(size, 0.12), title, ""),
                "review_comment_message": np.where(dice.chance(size, 0.42), message, ""),
                "review_creation_date": written(asked),
                "review_answer_timestamp": written(answered),
            }
        )
        return frame[dice.order(size)]

    def _geolocation(self) -> pl.DataFrame:
        """Several readings per prefix, a fifth of them twice; a few prefixes have none, a few lie far off."""
        dice = self.dice
        place = np.concatenate((self.customer_place, self.seller_place))
        prefix, first = np.unique(np.concatenate((self.customer_zip, self.seller_zip)), return_index=True)
        heard = ~dice.chance(len(prefix), 0.01)
        prefix, home = prefix[heard], place[first][heard]
        reading = np.repeat(np.arange(len(prefix)), 1 + dice.weighted(len(prefix), [8, 10, 12, 9, 6, 4, 3]))
        size = len(reading)
        centre = np.array([(p.latitude, p.longitude) for p in PLACES])[home[reading]]
        near = np.stack((dice.uniform(size), dice.uniform(size)), axis=1) * 0.12 - 0.06
        spot = centre + near
        spot[:3] = ((41.61, -8.41), (28.01, -15.54), (-23.55, 13.4))
        accents = dice.chance(size, 0.35)
        city = np.where(
            accents, np.array([p.accented for p in PLACES])[home[reading]], _cities(home[reading])
        )
        frame = pl.DataFrame(
            {
                "geolocation_zip_code_prefix": zips(prefix[reading]),
                "geolocation_lat": degrees(spot[:, 0]),
                "geolocation_lng": degrees(spot[:, 1]),
                "geolocation_city": city,
                "geolocation_state": _states(home[reading]),
            }
        )
        twice = np.concatenate((np.arange(size), dice.order(size)[: size // 4]))
        return frame[twice[dice.order(len(twice))]]


_PRICES = {0: 3.5, 0.25: 39.9, 0.5: 74.99, 0.75: 134.9, 0.95: 350, 1: 4_500}


def _translation() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "product_category_name": list(CATEGORIES),
            "product_category_name_english": list(CATEGORIES.values()),
        }
    )


def _shared(due: Ints, order: Ints, number: Ints, count: Ints, dice: Dice) -> Ints:
    """Cents of each payment: later ones pay part of the sum, the first one pays the rest, to the cent."""
    part = np.where(number > 1, dice.uniform(len(order)) / np.maximum(count[order], 1), 0.0)
    cents = (due[order] * part).astype(np.int64)
    rest = due - np.bincount(order, weights=cents, minlength=len(due)).astype(np.int64)
    return np.where(number == 1, rest[order], cents)


def _cities(place: Ints) -> Texts:
    return np.array([p.city for p in PLACES])[place]


def _states(place: Ints) -> Texts:
    return np.array([p.state for p in PLACES])[place]
