"""The task that looks for a delivery, and which deliveries are still awaited."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from lakehouse.orchestrate.homes import S3_CONNECTION, bucket
from lakehouse.orchestrate.partition import KEY_FORMAT, partition_key

if TYPE_CHECKING:
    from airflow.sdk import Context

#: How long after its end a day belongs to the clock, whose run may be on its way.
_CLOCK = timedelta(minutes=10)


class DeliveryOperator(BaseOperator):
    """Succeeds when ``landing/<source>/dt=<partition key>/_manifest.json`` exists, else skips the run.

    The manifest is written last, so a delivery that is still being uploaded is not seen. A day without data is not
    an incident, and nobody waits here: a run that waited for hours would make every other one invisible in the
    grid. ``<source>_catch_up`` starts a run when a recent delivery comes late.
    """

    template_fields: Sequence[str] = ()
    ui_color = "#e8f4ea"

    def __init__(self, *, source: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source

    def execute(self, context: Context) -> str:
        """Look once.

        Returns the manifest's address.

        Raises:
            AirflowSkipException: there is no delivery.
        """
        key = partition_key(context)
        if not is_delivered(self.source, key):
            raise AirflowSkipException(
                f"No delivery of {self.source} for {key}. One that comes late is taken up by {self.source}_catch_up "
                "for as long as it is awaited; after that run the day by hand."
            )
        found = f"s3://{bucket()}/{_manifest(self.source, key)}"
        self.log.info("Delivered: %s", found)
        return found


def is_delivered(source: str, key: str) -> bool:
    """Whether a delivery is complete in the landing zone."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    return bool(S3Hook(aws_conn_id=S3_CONNECTION).check_for_key(_manifest(source, key), bucket()))


def _manifest(source: str, key: str) -> str:
    from lakehouse.landing.manifest import manifest_key

    return manifest_key(source, key)


def awaited_days(wait_hours: float, now: datetime) -> list[str]:
    """The days, oldest first, that ended less than ``wait_hours`` ago (UTC), yet not just now."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    ends = [midnight - timedelta(days=n) for n in range(int(wait_hours // 24) + 2)]
    awaited = [end for end in ends if _CLOCK <= now - end < timedelta(hours=wait_hours)]
    return [(end - timedelta(days=1)).strftime(KEY_FORMAT) for end in reversed(awaited)]
