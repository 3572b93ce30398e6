# syntax=docker/dockerfile:1
# One image for all programs: `artbank` itself, Prefect's server and workers, Dask's scheduler and workers.
#
#   docker build -t artbank:cpu .
#   docker build -t artbank:cuda --build-arg TORCH_BACKEND=cu128 .
#
# TORCH_BACKEND is one of uv's backends, for which uv uses PyTorch's own index; empty takes torch from the same index as
# everything else. Pass a package mirror as a secret of the build, which no layer keeps:
# --secret id=pip,src=pip.conf --secret id=uv,src=uv.toml
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS python
# Debian keeps only the latest version of a package, so a pinned version would break the build.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3 tini \
    && rm -rf /var/lib/apt/lists/* /var/log/*

FROM python AS build
ARG UV_VERSION=0.13.9
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python3 -m venv /opt/uv \
    && /opt/uv/bin/pip install --no-cache-dir --disable-pip-version-check "uv==${UV_VERSION}" \
    && python3 -m venv --without-pip /opt/venv
ENV UV_PYTHON=/opt/venv/bin/python UV_PYTHON_DOWNLOADS=never UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1
ARG TORCH=torch==2.13.0
ARG TORCH_BACKEND=cpu
RUN --mount=type=secret,id=uv,target=/etc/uv/uv.toml \
    /opt/uv/bin/uv pip install ${TORCH_BACKEND:+--torch-backend="${TORCH_BACKEND}"} "${TORCH}"
COPY requirements-runtime.txt /tmp/
RUN --mount=type=secret,id=uv,target=/etc/uv/uv.toml \
    /opt/uv/bin/uv pip install -r /tmp/requirements-runtime.txt
COPY pyproject.toml README.md LICENSE /opt/artbank/
COPY artbank /opt/artbank/artbank
COPY artbank_cli /opt/artbank/artbank_cli
COPY artbank_prefect /opt/artbank/artbank_prefect
COPY flows /opt/artbank/flows
COPY tasks /opt/artbank/tasks
COPY deployments /opt/artbank/deployments
# Editable, so that deployments find the flows, and the model's weights exist only once.
RUN --mount=type=secret,id=uv,target=/etc/uv/uv.toml \
    /opt/uv/bin/uv pip install --no-deps -e /opt/artbank \
    && python3 -m compileall -q /opt/artbank \
    && rm -rf /opt/artbank/build

FROM python
ARG TORCH_BACKEND=cpu
# torch.compile needs a C compiler for kernels on a GPU; without one the UNet runs uncompiled, with a warning.
# hadolint ignore=DL3008
RUN if [ -n "${TORCH_BACKEND}" ] && [ "${TORCH_BACKEND}" != cpu ]; then \
        apt-get update \
        && apt-get install -y --no-install-recommends gcc libc6-dev python3-dev \
        && rm -rf /var/lib/apt/lists/* /var/log/*; \
    fi
# Fixed ids, so that volumes and pod security can refer to them.
RUN groupadd --gid 10001 artbank \
    && useradd --uid 10001 --gid 10001 --no-log-init --create-home --shell /usr/sbin/nologin artbank \
    && install -d -o 10001 -g 10001 /cache
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/artbank /opt/artbank
# Programs write only to /cache (use a volume) and /tmp, so the root may be read-only.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ARTBANK_HOME=/opt/artbank \
    ARTBANK_CACHE=/cache/artbank \
    HF_HOME=/cache/huggingface \
    TORCHINDUCTOR_CACHE_DIR=/cache/inductor \
    TRITON_CACHE_DIR=/cache/triton \
    PREFECT_HOME=/tmp/prefect \
    PREFECT_LOGGING_EXTRA_LOGGERS=artbank \
    PREFECT_RESULTS_DEFAULT_SERIALIZER=json \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    DO_NOT_TRACK=1 \
    DASK_DISTRIBUTED__WORKER__DAEMON=False \
    DASK_TEMPORARY_DIRECTORY=/tmp \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
WORKDIR /tmp
VOLUME ["/cache"]
# Each program is healthy in its own way; compose.yaml and deployments/kubernetes define the checks.
HEALTHCHECK NONE
# The init process reaps decoders that a killed flow run leaves behind.
ENTRYPOINT ["tini", "--"]
CMD ["artbank", "--help"]
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG BASE
LABEL org.opencontainers.image.title="artbank" \
      org.opencontainers.image.description="Galleries into reusable painting styles, photo archives into art." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
