# docker build --tag voicewire .
# docker run --init --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --pids-limit 512 \
#     --stop-timeout 70 --publish 127.0.0.1:8080:8080 --volume voicewire:/data voicewire

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/voicewire
# the dependencies change less often than the source, and are a layer of their own
COPY requirements.lock ./
RUN /opt/voicewire/bin/pip install --use-pep517 --require-hashes --requirement requirements.lock
COPY LICENSE README.md pyproject.toml ./
COPY voicewire ./voicewire
RUN /opt/voicewire/bin/pip install --no-deps --no-build-isolation .

FROM python:3.11-slim
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin voicewire \
    && install --directory --mode 0700 --owner 10001 --group 10001 /data
COPY --from=build /opt/voicewire /opt/voicewire
ENV PATH=/opt/voicewire/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
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
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 CMD ["python", "-c", \
    "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['VOICEWIRE_PORT'] + '/health', timeout=2)"]
ENTRYPOINT ["voicewire"]
CMD ["serve"]
