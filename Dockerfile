# Built once with network access, the image needs none afterwards: vocabularies and pages are inside.

FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/dify-exporter
# The dependencies first, so that a change of the code does not install them again.
COPY pyproject.toml requirements.lock ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; o = p['optional-dependencies']; print(*p['dependencies'], *o['aws'], *o['grpc'], *o['mysql'], *o['recorder'], sep='\n')" > dependencies.txt \
    && /opt/dify-exporter/bin/pip install --constraint requirements.lock --requirement dependencies.txt
COPY README.md LICENSE NOTICE ./
COPY exporter ./exporter
RUN /opt/dify-exporter/bin/pip install --no-deps .

FROM python:3.12-slim
RUN groupadd --gid 10001 exporter \
    && useradd --uid 10001 --gid exporter --home-dir /var/lib/dify-exporter --no-create-home --shell /usr/sbin/nologin exporter \
    && install --directory --owner exporter --group exporter --mode 0700 /var/lib/dify-exporter \
    && install --directory /etc/dify-exporter
COPY --from=build /opt/dify-exporter /opt/dify-exporter
ENV PATH=/opt/dify-exporter/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DIFY_EXPORTER_STATE_PATH=/var/lib/dify-exporter/state.db \
    DIFY_EXPORTER_WEB_HOST=0.0.0.0
# dify-exporter.yaml is read from here when it is mounted.
WORKDIR /etc/dify-exporter
USER exporter
VOLUME /var/lib/dify-exporter
EXPOSE 9464
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('DIFY_EXPORTER_WEB_PORT', '9464') + '/healthz', timeout=4)"]
ENTRYPOINT ["dify-exporter"]
CMD ["run"]
