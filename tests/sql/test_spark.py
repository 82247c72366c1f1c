"""Every query runs on Spark as sqlglot writes it, and gives DuckDB's rows. Slow; run by `make test-spark`."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from lakehouse.compile.gold_tables import gold_query
from lakehouse.compile.refs import references
from lakehouse.contract import Contract, Project
from lakehouse.landing import sample_avazu, sample_olist
from lakehouse.landing.origins import find_file

from .portable import queries, to_spark

_MISSING = [
    what
    for what, present in (
        ("pyspark (`make test-spark` installs it)", importlib.util.find_spec("pyspark")),
        ("Java 17 on PATH", shutil.which("java")),
    )
    if not present
]
pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(bool(_MISSING), reason=f"NOT TESTED ON SPARK, missing: {', '.join(_MISSING)}"),
]

PROJECT = Project.load()
QUERIES = queries(PROJECT)
#: Each is put into every column of every landed table: what one engine might read and the other not.
ODD_TEXTS = (
    *(
        "",
        " ",
        " padded ",
        "\u00a0padded\u00a0",
        "x",
        "é",
        "-1",
        "+1",
        "007",
        "1.5",
        "1.50",
        "1e5",
        ".5",
        "1.",
    ),
    *(
        "1_000",
        "0x1F",
        "NaN",
        "infinity",
        "99999999999999999999",
        "true",
        "TRUE",
        "t",
        "2018-02-30",
        "2018-02-28",
    ),
    *(
        "2018-02-28 10:00:00",
        "2018-02-28T10:00:00.5",
        "2018-02-28 24:00:00",
        "18-2-8",
        "today",
        "14103005",
        "141030ab",
    ),
)


class Engines:
    """The same relations in DuckDB and in Spark, carried over as Parquet files."""

    def __init__(self, folder: Path) -> None:
        from pyspark.sql import SparkSession

        self.folder = folder
        self.duck = duckdb.connect()
        settings = {
            "spark.ui.enabled": "false",
            "spark.sql.shuffle.partitions": "2",
            # Technical times are UTC, and casts between kinds of times go by the session's zone.
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.warehouse.dir": str(folder / "warehouse"),
        }
        builder = SparkSession.builder.master("local[2]").appName("lakehouse")
        for name, value in settings.items():
            builder = builder.config(name, value)
        self.spark: Any = builder.getOrCreate()
        self.spark.sparkContext.setLogLevel("ERROR")
        for schema in ("ods", "gold", "affected", "changed"):
            self.duck.execute(f"create schema {schema}")
            self.spark.sql(f"create database {schema}")

    def make(self, relation: str, query: str) -> None:
        """A table of DuckDB."""
        self.duck.execute(f"create or replace table {relation} as {query}")

    def share(self, relation: str) -> None:
        """Let Spark have a table of DuckDB, as it is now."""
        path = self.folder / "shared" / relation
        path.mkdir(parents=True, exist_ok=True)
        self.duck.execute(f"copy (from {relation}) to '{path}/data.parquet' (format parquet)")
        self.spark.sql(f"drop table if exists {relation}")
        self.spark.sql(f"create table {relation} using parquet location '{path}'")

    def difference(self, query: str, name: str) -> list[tuple[Any, ...]]:
        """Rows that only one of the engines returns."""
        for relation in sorted(references(query) | ({"raw_input"} if "from raw_input" in query else set())):
            self.share(relation)
        path = self.folder / "results" / name
        self.spark.sql(to_spark(query)).write.mode("overwrite").parquet(str(path))
        self.make("expected", query)
        columns = ", ".join(
            f"cast({column} as {kind}) as {column}"
            for column, kind in self.duck.execute(
                "select column_name, data_type from duckdb_columns() where table_name = 'expected'"
            ).fetchall()
        )
        self.make("actual", f"select {columns} from read_parquet('{path}/*.parquet')")
        return self.duck.execute(
            "(select 'duckdb', * from (from expected except all from actual) limit 5) union all "
            "(select 'spark', * from (from actual except all from expected) limit 5)"
        ).fetchall()


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    """DuckDB with everything computed from the sample: a first delivery, and a later one that changed something."""
    folder = tmp_path_factory.mktemp("spark")
    sample_olist.write_sample(folder / "olist", orders=1_000)
    sample_avazu.write_sample(folder / "avazu", rows=3_000)
    both = Engines(folder)
    for contract in PROJECT.contracts.values():
        raw_input(both, contract)
        names = ", ".join(c.name for c in contract.columns)
        conformed = QUERIES[f"conform {contract.table}"]
        both.make(f"ods.{contract.table}", f"select {names} from ({conformed}) where _rank = 1")
        if contract.history:
            states = "date '2018-09-01' as valid_from, cast(null as date) as valid_to, false as is_deleted"
            both.make(f"ods.{contract.history.table}", f"select {names}, {states} from ods.{contract.table}")
    for table in PROJECT.silver:
        both.duck.execute(f"create view changed.{table} as from ods.{table}")
    compute(both)
    say(both, "olist_products", "1 as product_weight_g", "product_weight_g % 7 = 0")
    say(both, "olist_sellers", "'elsewhere' as city", "zip_code_prefix < '3'")
    compute(both)
    yield both
    both.spark.stop()


def raw_input(both: Engines, contract: Contract) -> None:
    """The table's sample as text, twice in part, and rows with odd texts."""
    file = find_file(both.folder / contract.source, contract)
    texts = ", ".join(f"'{c.raw_name}': 'varchar'" for c in contract.columns)
    source = f"read_csv('{file}', columns = {{{texts}}}, header = true, quote = '\"', auto_detect = false)"
    names = [c.raw_name for c in contract.columns]
    odd = " union all ".join(
        f"select {', '.join('odd.text' if n == changed else n for n in names)} "
        f"from (from {source} limit 3) as sample cross join odd"
        for changed in names
    )
    both.duck.execute("create or replace table odd (text text)")
    both.duck.executemany("insert into odd values (?)", [[text] for text in ODD_TEXTS])
    rows = f"select {', '.join(names)} from {source}"
    both.make(
        "raw_input",
        f"select *, 'batch' as _batch_id, row_number() over () as _source_line, date '2018-09-01' as _delivery "
        f"from ({rows} union all (from ({rows}) limit 50) union all {odd})",
    )


def say(both: Engines, table: str, change: str, where: str) -> None:
    """What a later delivery says of some rows: it ends their states and begins others."""
    history = f"ods.{table}_history"
    said = f"where valid_from = date '2018-09-01' and {where}"
    begins = f"select * replace (date '2018-09-15' as valid_from, {change}) from {history} {said}"
    both.duck.execute(f"insert into {history} {begins}")
    both.duck.execute(f"update {history} set valid_to = date '2018-09-15' {said}")


def compute(both: Engines) -> None:
    """Units and gold on DuckDB; what gold held before is what was served."""
    for model in PROJECT.gold.values():
        columns = ", ".join(f"{c.name} {c.type.sql}" for c in model.columns)
        both.duck.execute(f"create table if not exists gold.{model.table} ({columns})")
    for source in PROJECT.sources:
        waiting = {m.unit for m in PROJECT.models(source) if m.scope is not None}
        while waiting:
            for unit in sorted(waiting):
                sql = PROJECT.affected_sql(source, unit)
                if not references(sql) & {f"affected.{other}" for other in waiting}:
                    both.make(f"affected.{unit}", sql)
                    waiting.remove(unit)
                    break
        for table in PROJECT.stage_order(source, "gold"):
            both.make("staged", gold_query(PROJECT.gold[table]))
            both.make(f"gold.{table}", "from staged")


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_spark_gives_the_same_rows(engines: Engines, name: str) -> None:
    kind, _, subject = name.partition(" ")
    table = subject.partition(".")[0]
    if kind == "conform":
        raw_input(engines, PROJECT.contracts[table])
    elif kind == "rule":
        schema = "gold" if table in PROJECT.gold else "ods"
        engines.make("staged", f"from {schema}.{table}")
    assert engines.difference(QUERIES[name], name.replace(" ", "_").replace("/", "_")) == []
    if kind != "rule":
        assert engines.duck.execute("select count(*) > 0 from expected").fetchone() == (True,), (
            "nothing compared"
        )
