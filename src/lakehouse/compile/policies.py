"""What each key of the object store may do, as S3 policies: who lands, the pipeline, and readers."""

from __future__ import annotations

import json
from typing import Any

from lakehouse.contract import Project

#: Replaced by the bucket's name where a policy is put to use.
BUCKET = "BUCKET"

_WRITE = [
    "s3:GetObject",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
]

Policy = dict[str, Any]


def open_tables(project: Project) -> list[str]:
    """The tables that everybody may read as they are, ``<layer>.<table>``; bronze is text as landed, and closed."""
    silver = [f"silver.{t.table}" for t in project.silver.values() if not t.personal]
    return sorted(silver + [f"gold.{m.table}" for m in project.gold.values() if not m.personal])


def policies(project: Project, bucket: str = BUCKET, logs: str = "") -> dict[str, Policy]:
    """Key (``landing``, ``pipeline``, ``reader``) → its policy.

    A reader gets by name what is open, so that a new table is closed until somebody has looked at its contract.

    Args:
        project: its contracts say what is open.
        bucket: of landing zone and lake.
        logs: ``<bucket>/<prefix>`` where the logs of tasks go, when that is another bucket.
    """
    readable = ["lake/masked/*", *(f"lake/{name.replace('.', '/')}/*" for name in open_tables(project))]
    return {
        "landing": _policy(bucket, ["landing/*"], {"landing/*": _WRITE}),
        "pipeline": _with_logs(
            _policy(
                bucket,
                ["*"],
                {
                    "landing/*": ["s3:GetObject"],
                    **{f"{own}/*": _WRITE for own in ("lake", "logs", "data-docs", "site")},
                },
            ),
            *logs.partition("/")[::2],
        ),
        "reader": _policy(bucket, [], {path: ["s3:GetObject"] for path in readable}),
    }


def policy_files(project: Project) -> dict[str, str]:
    """Path below the project's root → text, for stores whose policies are set by hand."""
    return {f"policies/{key}.json": json.dumps(p, indent=2) + "\n" for key, p in policies(project).items()}


def _with_logs(policy: Policy, bucket: str, prefix: str) -> Policy:
    """A policy that also lets logs be written to another bucket, below a prefix."""
    if not bucket:
        return policy
    below = f"{prefix.strip('/')}/*" if prefix.strip("/") else "*"
    added = _policy(bucket, ["*"], {below: _WRITE})["Statement"]
    return policy | {"Statement": policy["Statement"] + added}


def _policy(bucket: str, listed: list[str], allowed: dict[str, list[str]]) -> Policy:
    """A policy that lists some prefixes and allows actions on paths. Iceberg's readers need no listing."""
    by_actions: dict[tuple[str, ...], list[str]] = {}
    for path, actions in allowed.items():
        by_actions.setdefault(tuple(actions), []).append(f"arn:aws:s3:::{bucket}/{path}")
    statements: list[dict[str, Any]] = [
        {"Effect": "Allow", "Action": list(actions), "Resource": resources}
        for actions, resources in by_actions.items()
    ]
    if listed:
        prefixes = {"Condition": {"StringLike": {"s3:prefix": listed}}} if listed != ["*"] else {}
        # Who lists all may also ask whether deleted objects are kept: an erasure tells.
        asks = ["s3:ListBucket"] if prefixes else ["s3:ListBucket", "s3:GetBucketVersioning"]
        whole: dict[str, Any] = {"Effect": "Allow", "Resource": [f"arn:aws:s3:::{bucket}"]}
        # Uploads that were broken off, to give them up; MinIO takes no prefix for these.
        uploads = whole | {"Action": ["s3:ListBucketMultipartUploads"]}
        statements[:0] = [whole | {"Action": asks} | prefixes, uploads]
    return {"Version": "2012-10-17", "Statement": statements}
