# docker build --tag voicewire .
# docker build --tag voicewire:kokoro --target kokoro .    with torch and Kokoro, some gigabytes
# docker run --init --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --pids-limit 512 \
#     --stop-timeout 70 --publish 127.0.0.1:8080:8080 --volume voicewire:/data voicewire
# One image is gateway and worker: `docker run … voicewire worker --engine espeak`. compose.yaml runs both.

ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/voicewire
# the dependencies change less often than the source, and are a layer of their own
COPY requirements.lock ./
RUN /opt/voicewire/bin/pip install --use-pep517 --require-hashes --requirement requirements.lock

FROM dependencies AS build
COPY LICENSE README.md pyproject.toml ./
COPY voicewire ./voicewire
COPY clients/javascript/src ./clients/javascript/src
RUN /opt/voicewire/bin/pip install --no-deps --no-build-isolation .

FROM dependencies AS build-kokoro
# TORCH_INDEX names where a build of torch for another device lies, such as one for the CPU alone
ARG TORCH=torch==2.13.0
ARG TORCH_INDEX=
RUN /opt/voicewire/bin/pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$TORCH"
COPY requirements-kokoro.lock ./
RUN /opt/voicewire/bin/pip install --use-pep517 --requirement requirements-kokoro.lock
COPY LICENSE README.md pyproject.toml ./
COPY voicewire ./voicewire
COPY clients/javascript/src ./clients/javascript/src
RUN /opt/voicewire/bin/pip install --no-deps --no-build-isolation .

FROM python:${PYTHON}-slim AS runtime
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin voicewire \
    && install --directory --mode 0700 --owner 10001 --group 10001 /data
ENV PATH=/opt/voicewire/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HF_HOME=/data/hub \
    VOICEWIRE_HOST=0.0.0.0 \
    VOICEWIRE_PORT=8080 \
    VOICEWIRE_DATA_DIR=/data \
    VOICEWIRE_LOG_FORMAT=json
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
# SIGTERM drains for VOICEWIRE_DRAIN_S, 60 s: give --stop-timeout more than that
STOPSIGNAL SIGTERM
# of a gateway; a worker, which has no port, is given another (compose.yaml) or none
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 CMD ["python", "-c", \
    "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['VOICEWIRE_PORT'] + '/health', timeout=2)"]
ENTRYPOINT ["voicewire"]
CMD ["serve"]

FROM runtime AS kokoro
COPY --from=build-kokoro /opt/voicewire /opt/voicewire

FROM runtime AS voicewire
COPY --from=build /opt/voicewire /opt/voicewire
