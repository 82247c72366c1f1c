"""Two days of ad impressions in the published format of the Avazu competition, the same every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from lakehouse.landing.sampling import Dice, csv_bytes, gzip_bytes, write_files

DEFAULT_ROWS = 20_000
FILE_NAME = "train.gz"
_SEED = 20_141_021
_HOURS = 34
_FIRST_DAY = 141_021

#: Hash-like columns and how many values each has; the first value of each is by far the most common.
_HASHES = {
    "site_id": 300,
    "site_domain": 220,
    "site_category": 18,
    "app_id": 350,
    "app_domain": 60,
    "app_category": 22,
    "device_id": 3_000,
    "device_ip": 9_000,
    "device_model": 1_200,
}
#: Anonymised numbers with the values each takes.
_NUMBERS = {
    "device_type": ("1", "0", "4", "5"),
    "device_conn_type": ("0", "2", "3", "5"),
    "C14": tuple(str(15_700 + 37 * n) for n in range(180)),
    "C15": ("320", "300", "216", "728"),
    "C16": ("50", "250", "36", "90"),
    "C17": tuple(str(1_700 + 13 * n) for n in range(70)),
    "C18": ("0", "3", "2", "1"),
    "C19": ("35", "39", "167", "43", "161", "47"),
    "C20": ("-1", "100084", "100148", "100111", "100077"),
    "C21": ("79", "23", "48", "61", "157", "33"),
}


def write_sample(
    folder: Path, rows: int = DEFAULT_ROWS, seed: int = _SEED, hours: int = _HOURS
) -> dict[str, int]:
    """Write ``train.gz`` to ``folder``, impressions of so many hours; data rows by file name.

    The same arguments give the same rows; the compressed bytes depend on the zlib at hand as well.

    Raises:
        LakehouseError: a ``train.gz`` that is no sample is there; it is left alone.
    """
    frame = _impressions(Dice(seed), rows, hours)
    write_files(folder, {FILE_NAME: gzip_bytes(csv_bytes(frame))})
    return {FILE_NAME: frame.height}


def _impressions(dice: Dice, rows: int, hours: int) -> pl.DataFrame:
    """One row per impression, in order of the hour; the first hour holds a third of the rows."""
    hour = np.sort(dice.weighted(rows, [rows / 2, *[rows / hours] * (hours - 1)]))
    written = (_FIRST_DAY + hour // 24) * 100 + hour % 24
    columns: dict[str, pl.Series] = {
        "id": pl.Series(dice.raw(rows), dtype=pl.UInt64).cast(pl.String),
        "click": pl.Series(dice.chance(rows, 0.17).astype(np.int8)).cast(pl.String),
        "hour": pl.Series(written).cast(pl.String),
        "C1": pl.Series(_skewed(dice, rows, np.array(["1005", "1002", "1010", "1001"]))),
        "banner_pos": pl.Series(_skewed(dice, rows, np.array(["0", "1", "2", "7"]))),
    }
    columns |= {n: pl.Series(_skewed(dice, rows, dice.hex(size, 8))) for n, size in _HASHES.items()}
    columns |= {n: pl.Series(_skewed(dice, rows, np.array(v))) for n, v in _NUMBERS.items()}
    return pl.DataFrame(columns)


def _skewed(dice: Dice, rows: int, values: np.typing.NDArray[np.str_]) -> np.typing.NDArray[np.str_]:
    """Values of which early ones are more common."""
    return values[(dice.uniform(rows) ** 4 * len(values)).astype(np.int64)]
