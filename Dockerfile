# DevFlow itself: one image, three processes (web, worker, edge). compose.yaml shows how they belong together.
FROM python:3.13-slim AS packages
RUN python3 -m venv /venv
WORKDIR /app
COPY requirements.lock ./
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --quiet --require-hashes -r requirements.lock
COPY pyproject.toml ./
COPY devflow/__init__.py devflow/
RUN touch README.md \
 && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --quiet --no-build-isolation --no-deps -e .

FROM python:3.13-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends git openssh-client libcap2-bin \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 devflow \
 && useradd --uid 10001 --gid devflow --create-home --shell /usr/sbin/nologin devflow \
 && install --directory --owner=devflow --group=devflow /data
COPY --from=packages /venv /venv
# The edge listens on 80 and 443 without being root.
RUN setcap cap_net_bind_service=+ep "$(readlink -f /venv/bin/caddy)"
WORKDIR /app
COPY pyproject.toml wsgi.py ./
COPY migrations migrations
COPY templates templates
COPY static static
COPY examples examples
COPY devflow devflow
RUN python3 -m compileall -q devflow wsgi.py
ENV PATH=/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    DEVFLOW_ENV=production DATA_DIR=/data
USER devflow
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ.get(\"PORT\", 8000)}/health/ready', timeout=4)"]
CMD ["python", "-m", "devflow.serve", "web"]
