# One image for servers and clients.
#
#   docker run -p 127.0.0.1:8888:8888 -p 127.0.0.1:5000:5000 -v comanda:/data comanda     every server in one container
#   docker compose up --build                                                             a container each
FROM python:3.11-slim-bookworm AS build
COPY requirements-traces.lock .
# Modules are compiled here: no container has to do so at each start, and none may write to its image.
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements-traces.lock \
    && rm -rf /venv/lib/python3.11/site-packages/pip*
WORKDIR /app
COPY .env.docker ./
COPY shared shared
COPY workers workers
COPY clients clients
COPY services services
RUN python -m compileall -q shared workers clients services

FROM python:3.11-slim-bookworm
# Handlers of one's own are modules in /handlers.
ENV PATH=/venv/bin:$PATH PYTHONPATH=/handlers PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 ENV_FILE=/app/.env.docker
# Any user may keep data in a new volume, as in /tmp: `docker run --user 1234`.
RUN useradd --system --uid 10001 --no-create-home comanda && install -d -m 1777 /data && install -d /handlers
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
USER comanda
EXPOSE 8888 6000 7000 5000
STOPSIGNAL SIGTERM
CMD ["python", "-m", "services"]
