"""The lake without personal data: namespace ``masked`` has a copy of every table with personal columns, masked.

It looks like the warehouse's schema ``masked``: the same rows and columns, ``***`` where a personal value is. Every
data file of such a table has a *twin* of the same name below ``lake/masked``, written before the publish that makes
both visible. A reader needs no key for the files themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lakehouse.compile.schemas import gold_schema, silver_schema
from lakehouse.contract import Project
from lakehouse.contract.model import Layer
from lakehouse.home.homes import Homes

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMESPACE = "masked"
MASK = "***"
#: The columns that a masked table masks, in its properties: when they change it is made anew.
MASKED_COLUMNS = "lakehouse.masked-columns"


def location(homes: Homes, table: str) -> str:
    """Where a masked table lies."""
    return f"{homes.lake_root}/{NAMESPACE}/{table}"


def twin(homes: Homes, layer: str, uri: str) -> str:
    """The masked copy of a data file."""
    return f"{homes.lake_root}/{NAMESPACE}/{uri.removeprefix(f'{homes.lake_root}/{layer}/')}"


def personal_tables(project: Project) -> dict[str, tuple[Layer, pa.Schema, frozenset[str]]]:
    """Table with personal columns → its layer, its masked schema, these columns."""
    found: dict[str, tuple[Layer, pa.Schema, frozenset[str]]] = {}
    for kept in project.silver.values():
        if kept.personal:
            found[kept.table] = "silver", masked_schema(silver_schema(kept), kept.personal), kept.personal
    for model in project.gold.values():
        if model.personal:
            found[model.table] = "gold", masked_schema(gold_schema(model), model.personal), model.personal
    return found


def masked_schema(schema: pa.Schema, personal: Iterable[str]) -> pa.Schema:
    """A table's schema with personal columns as text that may be missing."""
    hidden = frozenset(personal)
    return pa.schema(
        [
            pa.field(f.name, pa.string(), metadata=f.metadata) if f.name in hidden else f.with_nullable(True)
            for f in schema
        ]
    )


def write_twin(homes: Homes, uri: str, to: str, personal: frozenset[str]) -> int:
    """Copy a data file, row group by row group, with personal values masked; returns the rows."""
    from lakehouse.home.lake import write

    with homes.filesystem().open_input_file(uri.removeprefix("s3://")) as source:
        file = pq.ParquetFile(source)
        return write(homes, to, masked_schema(file.schema_arrow, personal), _masked(file, personal))


def _masked(file: pq.ParquetFile, personal: frozenset[str]) -> Iterator[pa.RecordBatch]:
    schema = masked_schema(file.schema_arrow, personal)
    for batch in file.iter_batches(batch_size=64 * 1024):
        columns = [
            _mask(column) if name in personal else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _mask(column: pa.Array[Any]) -> pa.Array[Any]:
    """``***`` where there is something."""
    shown: pa.Array[Any] = pc.if_else(pc.is_valid(column), pa.scalar(MASK), pa.scalar(None, pa.string()))
    return shown


def properties(personal: Iterable[str]) -> Mapping[str, str]:
    """What a masked table says of itself."""
    return {MASKED_COLUMNS: ",".join(sorted(personal))}
