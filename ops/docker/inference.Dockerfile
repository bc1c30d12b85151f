# The inference service, with torch and its CUDA libraries for features that come out of trained networks. From the
# root of a checkout:
#
#     docker build -f ops/docker/inference.Dockerfile -t undertone-inference:0.1.0 .
#     docker build -f ops/docker/inference.Dockerfile --build-arg EXTRAS= -t undertone-inference:0.1.0-small .
#     docker build -f ops/docker/inference.Dockerfile --target sbom --output . .   # sbom.json, CycloneDX
#
# Bundles on the project's own functionals need no torch: EXTRAS= leaves 5 GB of it out. A bundle of your own:
#
#     FROM undertone-inference:0.1.0
#     COPY bundle /bundle
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG EXTRAS=[models]
WORKDIR /app
RUN python -m venv /opt/venv
COPY pyproject.toml README.md LICENSE ./
COPY streams streams
COPY services services
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
EXPOSE 8000
CMD ["python", "-m", "services.inference"]
