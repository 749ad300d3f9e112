# The bot alone. ComfyUI has an image of its own: deploy/comfyui/Dockerfile.
FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
COPY requirements.txt /
RUN /venv/bin/pip install -r /requirements.txt && /venv/bin/python -m compileall -q /venv/lib

FROM python:3.12-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin fullet
COPY --from=build /venv /venv
WORKDIR /app
COPY bot.py ./
COPY modules ./modules
COPY flujos ./flujos
# the one folder that is written to: by SQLite if DATABASE_URL is empty, and by check --fusion
RUN python -m compileall -q modules && install -d -o fullet -m 0700 database
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 METRICS_PORT=9100
USER 10001
VOLUME /app/database
# without METRICS_PORT there is nothing to ask; then it is healthy while its process lives
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", "import os, urllib.request as http; port = os.environ.get('METRICS_PORT') or '0'; port == '0' or http.urlopen(f'http://127.0.0.1:{port}/healthz', timeout=4)"]
# no shell in between, so that SIGTERM reaches the bot, which then lets running pictures finish
ENTRYPOINT ["python", "bot.py"]
