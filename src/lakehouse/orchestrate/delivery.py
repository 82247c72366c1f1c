"""The sensor that waits for a delivery, or finds at once that there will be none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException

from lakehouse.orchestrate.homes import S3_CONNECTION, bucket
from lakehouse.orchestrate.partition import KEY_FORMAT, partition_key

if TYPE_CHECKING:
    from airflow.sdk import Context


class DeliverySensor(BaseSensorOperator):
    """Succeeds when ``landing/<source>/dt=<partition key>/_manifest.json`` exists.

    The manifest is written last, so a delivery that is still being uploaded is not seen. A day that ended
    less than ``wait_hours`` (a param of the run) ago is waited for in the triggerer, holding no worker; for
    an older one the sensor looks once. No delivery ends as *skipped*, and with it the whole run: a day
    without data is not an incident.

    The access path is the amazon provider's: the hook and the trigger of its ``S3KeySensor``. That class is
    not the base itself, because importing it loads boto3 into every task process of the DAG.
    """

    template_fields: Sequence[str] = ()
    ui_color = "#e8f4ea"

    def __init__(self, *, source: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source

    def execute(self, context: Context) -> None:
        """Look once; then succeed, skip, or wait in the triggerer."""
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook
        from airflow.providers.amazon.aws.triggers.s3 import S3KeyTrigger

        from lakehouse.landing.manifest import manifest_key

        key = partition_key(context)
        manifest = manifest_key(self.source, key)
        if S3Hook(aws_conn_id=S3_CONNECTION).check_for_key(manifest, bucket()):
            self.log.info("Delivered: s3://%s/%s", bucket(), manifest)
            return
        wait = remaining_wait(key, float(context["params"].get("wait_hours") or 0), datetime.now(UTC))
        if wait <= timedelta(0):
            raise AirflowSkipException(f"No delivery of {self.source} for {key}: {manifest} does not exist.")
        self.log.info("Waiting up to %s for s3://%s/%s", wait, bucket(), manifest)
        self.defer(
            trigger=S3KeyTrigger(
                bucket_name=bucket(),
                bucket_key=manifest,
                aws_conn_id=S3_CONNECTION,
                poke_interval=self.poke_interval,
            ),
            timeout=wait,
            method_name="execute_complete",
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> None:
        """What the trigger saw: the delivery, or that the store could not be asked.

        Raises:
            ConnectionError: the store could not be asked; retried, and never taken for *no delivery*.
        """
        if event.get("status") == "error":
            raise ConnectionError(
                f"Waiting for {self.source} {partition_key(context)}: {event.get('message')}"
            )
        self.log.info("Delivered: %s for %s", self.source, partition_key(context))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Skip when the wait is over. ``soft_fail`` would do that too, and hide a broken trigger with it."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowSensorTimeout as error:
            key = partition_key(context)
            raise AirflowSkipException(
                f"No delivery of {self.source} for {key} within wait_hours."
            ) from error


def remaining_wait(key: str, wait_hours: float, now: datetime) -> timedelta:
    """How much longer a missing delivery is waited for, counted from the end of its day (UTC)."""
    day = datetime.strptime(key, KEY_FORMAT).replace(tzinfo=UTC)
    return day + timedelta(days=1, hours=wait_hours) - now
