# The stages, the jobs and the `undertone` command; no torch, no CUDA. From the root of a checkout:
#
#     docker build -f ops/docker/streams.Dockerfile -t undertone-streams:0.1.0 .
#     docker build -f ops/docker/streams.Dockerfile --build-arg EXTRAS= -t undertone-streams:0.1.0 .   # without traces
#     docker build -f ops/docker/streams.Dockerfile --target sbom --output . .     # sbom.json, CycloneDX
#
# PYTHON is the version that the tests run on; pin it by digest where you mirror it (PYTHON_IMAGE=python@sha256:...).
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG EXTRAS=[traces]
WORKDIR /app
RUN python -m venv /opt/venv
COPY pyproject.toml README.md LICENSE ./
COPY streams streams
COPY services services
COPY migrations migrations
# Editable: the migrations lie beside the packages (streams/store/migrate.py).
RUN /opt/venv/bin/pip install --no-cache-dir --editable ".${EXTRAS}"

FROM build AS listed
RUN python -m venv /opt/sbom \
    && /opt/sbom/bin/pip install --no-cache-dir cyclonedx-bom==7.5.0 \
    && /opt/sbom/bin/cyclonedx-py environment --output-file /sbom.json /opt/venv

FROM scratch AS sbom
COPY --from=listed /sbom.json /

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 undertone && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp undertone
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
# HOME and every cache are in /tmp, the one folder that can be written. No library may call home.
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
    HF_HUB_DISABLE_TELEMETRY=1 DO_NOT_TRACK=1
WORKDIR /app
USER 10001:10001
CMD ["undertone", "--help"]
