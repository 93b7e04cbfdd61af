# One image for servers and clients.
#
#   docker run -p 127.0.0.1:8888:8888 -p 127.0.0.1:5000:5000 -v comanda:/data comanda     every server in one container
#   docker compose up --build                                                             a container each
FROM python:3.11-slim-bookworm AS build
COPY requirements-traces.lock requirements-lake.lock requirements-build.lock ./
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements-traces.lock
# 200 MB that only the analytics lake needs.
ARG LAKE=off
RUN if [ "$LAKE" = on ]; then /venv/bin/pip install --no-cache-dir --require-hashes -r requirements-lake.lock; fi
RUN python -m venv /build && /build/bin/pip install --no-cache-dir --require-hashes -r requirements-build.lock
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY shared shared
COPY workers workers
COPY clients clients
COPY services services
# Modules are compiled here: no container has to do so at each start, and none may write to its image.
RUN /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /venv/bin/pip install --no-cache-dir --no-deps --compile /wheels/*.whl \
    && rm -rf /venv/lib/python3.11/site-packages/pip*

FROM python:3.11-slim-bookworm
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 ENV_FILE=/app/.env.docker
WORKDIR /app
# Any user may keep data in a new volume, as in /tmp: `docker run --user 1234`. Handlers of one's own are modules in
# /handlers, which is the folder `handlers` of the servers.
RUN useradd --system --uid 10001 --no-create-home comanda && install -d -m 1777 /data && install -d /handlers \
    && ln -s /handlers handlers
COPY .env.docker ./
COPY --from=build /venv /venv
USER comanda
EXPOSE 8888 6000 7000 5000
STOPSIGNAL SIGTERM
CMD ["comanda", "run"]
