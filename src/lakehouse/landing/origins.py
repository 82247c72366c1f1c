"""Where a source's files come from and what they may be called. Other sources need no entry here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lakehouse.contract import Contract


@dataclass(frozen=True)
class Origin:
    """How a person gets the files.

    Attributes:
        advice: the sentence for a person who has no file yet.
        originals: names under which the publisher offers the one file of a table that is split into days.
    """

    advice: str
    originals: tuple[str, ...] = ()


_ORIGINS = {
    "olist": Origin(
        "Get it from https://www.kaggle.com/datasets/olistbr/brazilian-ecommerce (see data/raw/README.md)."
    ),
    "avazu": Origin(
        "Get it from https://www.kaggle.com/c/avazu-ctr-prediction/data (see data/raw/README.md).",
        ("train.gz", "train", "train.csv", "train.csv.gz"),
    ),
}


def origin(source: str) -> Origin:
    """What is known about a source's files."""
    return _ORIGINS.get(source, Origin("Put the file there, under the name its contract gives."))


def find_file(folder: Path, contract: Contract) -> Path | None:
    """The table's file in a folder, plain or compressed, under its contract's or its publisher's name."""
    originals = origin(contract.source).originals if contract.partition_column else ()
    plain = contract.file_name.removesuffix(".gz")
    candidates = dict.fromkeys((contract.file_name, plain, f"{plain}.gz", *originals))
    return next((folder / name for name in candidates if (folder / name).is_file()), None)
