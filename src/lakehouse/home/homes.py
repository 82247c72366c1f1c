"""The two homes as one object, made at the edge (command line, Airflow task, test) and passed down."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, cast

from psycopg2.errors import LockNotAvailable
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url

from lakehouse.errors import LakehouseError
from lakehouse.home.settings import Settings

if TYPE_CHECKING:
    import pyarrow.fs as pafs
    from mypy_boto3_s3 import S3Client
    from sqlalchemy.engine import ExceptionContext

    from lakehouse.home.iceberg import LakeCatalog

#: Spark, Trino and pyiceberg must all call the catalog by this name: it is a key in the catalog's tables.
CATALOG_NAME = "lakehouse"

#: How long anybody waits for the object store: for a connection, and for the next bytes of an answer.
_CONNECT_S = 5
_SILENT_S = 20

#: Sessions write and read values one way, whatever the database's or the role's defaults are.
_SESSION = {
    "timezone": "UTC",
    "datestyle": "ISO,YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "transform_null_equals": "off",
    # A machine that has vanished holds its locks for a minute, not for hours.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
#: The same seen from here: a server that has vanished is waited for a minute.
_KEEPALIVE = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}


def open_engine(url: URL, application_name: str) -> Engine:
    """An engine on the warehouse; nothing is contacted yet. The one place that makes engines."""
    options = " ".join(f"-c {name}={value}" for name, value in _SESSION.items())
    engine = create_engine(
        # COPY and the catalog need this driver.
        url.set(drivername="postgresql+psycopg2"),
        pool_pre_ping=True,
        connect_args={"options": options, "application_name": application_name, **_KEEPALIVE},
    )
    event.listen(engine, "handle_error", _explain)
    return engine


def not_free() -> LakehouseError:
    """What to tell when a lock was not free in time."""
    return LakehouseError(
        "Another session has a table of the warehouse locked, and did not end in time.",
        "Wait for its end, or end it, and run this again. Who it is: "
        "`select pid, usename, application_name, state, query from pg_stat_activity`.",
    )


def _explain(context: ExceptionContext) -> None:
    if isinstance(context.original_exception, LockNotAvailable):
        raise not_free() from context.original_exception


@dataclass(frozen=True)
class S3Access:
    """How to reach the object store."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"


def s3_access(settings: Settings) -> S3Access:
    """How the settings say that the object store is reached."""
    return S3Access(
        settings.s3_endpoint, settings.access_key, settings.secret_key.get_secret_value(), settings.region
    )


@dataclass(frozen=True)
class Homes:
    """Warehouse (Postgres) and lake (Iceberg on S3). Nobody outside this room opens a connection to them."""

    engine: Engine
    s3: S3Access
    bucket: str
    #: Where gates write their pages: a folder or s3://<bucket>/<prefix>; nowhere when empty.
    data_docs: str = ""

    @classmethod
    def open(cls, settings: Settings | None = None, *, landing: bool = False) -> Homes:
        """Make the homes from settings; nothing is contacted yet.

        ``landing``: with the key of who lands files, which may write there and nowhere else.
        """
        settings = settings or Settings()
        engine = open_engine(make_url(settings.required_dsn()), "lakehouse")
        access = s3_access(settings)
        if landing and settings.landing_access_key:
            secret = settings.landing_secret_key.get_secret_value()
            access = replace(access, access_key=settings.landing_access_key, secret_key=secret)
        return cls(engine, access, settings.bucket, settings.data_docs)

    @property
    def lake_root(self) -> str:
        """Where the Iceberg tables live: ``s3://<bucket>/lake``."""
        return f"s3://{self.bucket}/lake"

    def s3_client(self) -> S3Client:
        """A boto3 client, which threads may share."""
        return s3_client(self.s3)

    def ensure_bucket(self) -> None:
        """Create the bucket when it is missing."""
        ensure_bucket(self.s3, self.bucket)

    def filesystem(self) -> pafs.S3FileSystem:
        """The same store for pyarrow; paths are ``<bucket>/<key>``."""
        return _filesystem(self.s3)

    def catalog(self, bind: Connection | Engine | None = None, *, writes_only: bool = False) -> LakeCatalog:
        """The Iceberg catalog in the warehouse's database.

        Bound to an open connection, its commits join that connection's transaction: this is what lets one
        COMMIT publish both homes. ``writes_only``: its commits write their objects and change no table.
        """
        from lakehouse.home.iceberg import LakeCatalog, WritingCatalog

        catalog = (WritingCatalog if writes_only else LakeCatalog)(
            CATALOG_NAME,
            **{
                "uri": self.engine.url.render_as_string(hide_password=False),
                "warehouse": self.lake_root,
                "init_catalog_tables": "false",
                "s3.endpoint": self.s3.endpoint,
                "s3.access-key-id": self.s3.access_key,
                "s3.secret-access-key": self.s3.secret_key,
                "s3.region": self.s3.region,
            },
        )
        catalog.filesystem = self.filesystem()
        catalog.engine.dispose()  # it has looked for its tables through a connection of its own
        # The catalog only ever calls what engines and connections have in common.
        catalog.engine = cast(Engine, bind if bind is not None else self.engine)
        return catalog


@cache
def _filesystem(access: S3Access) -> pafs.S3FileSystem:
    """The one place that makes file systems; making one takes longer than writing a small file."""
    import pyarrow.fs as pafs

    return pafs.S3FileSystem(  # type: ignore[call-arg] # the stubs lack an option
        access_key=access.access_key or None,
        secret_key=access.secret_key or None,
        region=access.region,
        endpoint_override=access.endpoint or None,
        scheme="http" if access.endpoint.startswith("http://") else "https",
        connect_timeout=_CONNECT_S,
        request_timeout=_SILENT_S,
        # A small file is one request then, not the three of an upload in parts, of which a killed sender leaves some.
        allow_delayed_open=True,
    )


def ensure_bucket(access: S3Access, bucket: str) -> None:
    """Create a bucket when it is missing."""
    from botocore.exceptions import ClientError

    client = s3_client(access)
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        if code == "403":  # it is there; this key may not look at it as a whole
            return
        if code not in ("404", "NoSuchBucket"):
            raise
        client.create_bucket(Bucket=bucket)


def abort_uploads(client: S3Client, bucket: str, key: str) -> int:
    """Give up the uploads of an object that nobody will complete; returns how many.

    Whoever is killed while it sends an object in parts leaves the parts: no listing of objects shows them.
    """
    listed = client.list_multipart_uploads(Bucket=bucket, Prefix=key).get("Uploads", [])
    mine = [upload["UploadId"] for upload in listed if upload["Key"] == key]
    for upload_id in mine:
        client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
    return len(mine)


@cache
def s3_client(access: S3Access) -> S3Client:
    """The one place that makes clients, so that its settings hold everywhere."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=access.endpoint or None,
        aws_access_key_id=access.access_key or None,
        aws_secret_access_key=access.secret_key or None,
        region_name=access.region,
        config=Config(
            # The newer default checksums break some S3-compatible stores.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"max_attempts": 5, "mode": "standard"},
            connect_timeout=_CONNECT_S,
            read_timeout=_SILENT_S,
            s3={"addressing_style": "path"},
        ),
    )
