# One image for servers and clients.
FROM python:3.11-slim-bookworm AS build
COPY requirements.lock .
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --no-compile --require-hashes -r requirements.lock \
    && rm -rf /venv/lib/python3.11/site-packages/pip*

FROM python:3.11-slim-bookworm
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 ENV_FILE=/app/.env.docker
RUN useradd --system --uid 10001 --no-create-home comanda && install -d -o comanda -g comanda /data
COPY --from=build /venv /venv
WORKDIR /app
COPY .env.docker ./
COPY shared shared
COPY workers workers
COPY clients clients
COPY services services
USER comanda
VOLUME /data
EXPOSE 8888 6000 7000 5000
STOPSIGNAL SIGTERM
CMD ["python", "-m", "services"]
