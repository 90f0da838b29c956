# One image for every process of ours: orchestrator, worker, API and console, courier, Flower.
#
#   build   installs what requirements/run.lock names, hashes checked, and our own wheel into /venv
#   final   a plain Python with that environment: no compiler, no pip of its own, nobody's root
#
# Where pip needs a registry of your own, give its settings as build arguments, by their names in
# pip's environment: docker build --build-arg PIP_INDEX_URL ... They stay in the first stage. A
# proxy is Docker's own business (HTTPS_PROXY).

FROM python:3.11-slim AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements/build.lock requirements/run.lock requirements/
RUN python -m venv /build \
 && /build/bin/pip install -q --require-hashes -r requirements/build.lock \
 && python -m venv --without-pip /venv \
 && /build/bin/pip --python /venv/bin/python install -q --require-hashes -r requirements/run.lock
COPY pyproject.toml README.md LICENSE ./
COPY envelopes envelopes
COPY orchestrator orchestrator
COPY workers workers
RUN /build/bin/pip wheel -q --no-deps --no-index --no-build-isolation --wheel-dir /wheel . \
 && /build/bin/pip --python /venv/bin/python install -q --no-deps --no-index /wheel/*.whl

FROM python:3.11-slim
# Modules with agents are mounted or copied to /agents.
ENV PATH=/venv/bin:$PATH PYTHONPATH=/agents PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
# A new volume takes its owner from the directory that it is mounted over.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin buckstop \
 && install -d -o buckstop -g buckstop /signing /trusted /agents
COPY --from=build /venv /venv
USER buckstop
WORKDIR /agents
ENTRYPOINT []
CMD ["buckstop", "--help"]
