"""The names of all settings, and the detection of misspelt ones."""

import difflib
import os
from collections.abc import Mapping
from typing import NamedTuple

import structlog

from shared.runtime.parent import PARENT_PID
from shared.runtime.settings import read_settings_files

NAMES = frozenset(
    {
        "AGEING_SECONDS",
        "ALLOWED_HOSTS",
        "ATTEMPTS_KEPT",
        "AWS_ENDPOINT_URL",
        "AWS_REGION",
        "AUDIT_LOG_MIB",
        "BACKEND_CONNECTIONS",
        "CORPORATE_DATA",
        "CORPORATE_LOG",
        "CORS_ORIGINS",
        "COVERS_BUCKET",
        "DATA_DIR",
        "DB_PATH",
        "DISK_RESERVE_MIB",
        "DISTRIBUTED_BIND",
        "DISTRIBUTED_HOST",
        "DISTRIBUTED_PORT",
        "DYNAMODB_ENDPOINT",
        "DYNAMODB_PREFIX",
        "EVENT_SECONDS",
        "IDLE_SECONDS",
        "INTAKE_READ_TOKEN",
        "JWT_KEYS",
        "JWT_SECRET",
        "KEEP_FINAL_DAYS",
        "KEEP_AUDIT_DAYS",
        "KEEP_IMPORTS_DAYS",
        "KEEP_LAKE_DAYS",
        "KEEP_MOVEMENTS_DAYS",
        "KEEP_NOTIFICATIONS_DAYS",
        "KEEP_UPLOADS_DAYS",
        "LAKE",
        "LAKE_SECONDS",
        "LAKE_URL",
        "LEASE_SECONDS",
        "LEGACY_ROUTES",
        "LOG_FORMAT",
        "LOG_LEVEL",
        "LOG_REQUESTS",
        "LOW_STOCK",
        "LOW_STOCK_MARGIN",
        "LOW_STOCK_TOPIC_ARN",
        "LOW_STOCK_USER",
        "MAIL_FROM",
        "MAIN_SERVER_BIND",
        "MAIN_SERVER_HOST",
        "MAIN_SERVER_PORT",
        "MAX_ARRAY_ORDERS",
        "MAX_ATTEMPTS",
        "MAX_BODY_BYTES",
        "MAX_CONNECTIONS",
        "MAX_CONNECTIONS_PER_ADDRESS",
        "MAX_COVERS_AT_ONCE",
        "MAX_COVER_BYTES",
        "MAX_DEPTH",
        "MAX_DOCUMENT_BYTES",
        "MAX_EVENTS",
        "MAX_EVENT_STREAMS",
        "MAX_EVENT_STREAMS_PER_ADDRESS",
        "MAX_HEADER_BYTES",
        "MAX_IN_FLIGHT",
        "MAX_NOTIFICATIONS",
        "MAX_INDEX_WRITERS",
        "MAX_OPEN_INDEXES",
        "MAX_PRODUCTS",
        "MAX_PEDIDOS_EN_COLA",
        "MAX_REQUESTS",
        "MAX_RESCUES",
        "MAX_SEARCHES",
        "MAX_SESSIONS_PER_ACCOUNT",
        "MAX_SQL_BYTES",
        "MAX_SQL_QUERIES",
        "MAX_SQL_ROWS",
        "MAX_TRACEBACK_BYTES",
        "MAX_TRANSACTION_BYTES",
        "MAX_UNREAD_BYTES",
        "MAX_UPLOADS",
        "MAX_UPLOAD_BYTES",
        "ONE_SHOT_SECONDS",
        "OPEN_INTERNAL_PORTS",
        "ORDER_HANDLER",
        "ORDER_TIMEOUT_SECONDS",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OUTBOX_DAYS",
        "PASSWORD_MEMORY_KIB",
        "PASSWORD_MIN",
        "PASSWORD_ROUNDS",
        "PAYMENTS",
        "PENDING_MINUTES",
        "PICKLE_KEY",
        "PIPED_SECONDS",
        "PROCESSING_SECONDS",
        "PUBLIC_URL",
        "RATE_LIMIT",
        "RECENT_SHOP_ENTRIES",
        "RECORD_CACHE_MIB",
        "REDIS_URL",
        "REFRESH_TOKEN_DAYS",
        "REQUEST_ID_SCOPE",
        "REQUEST_ID_SECONDS",
        "REQUEST_SECONDS",
        "RETRY_SECONDS",
        "SEARCH",
        "SEARCH_SECONDS",
        "SEARCH_THREADS",
        "SEARCH_URL",
        "SERVER_BIND",
        "SERVER_HOST",
        "SERVER_LEASE_SECONDS",
        "SERVER_PORT",
        "SERVICE_TOKEN",
        "SESSION_COOKIE_HOURS",
        "SHUTDOWN_SECONDS",
        "SLOW_REQUEST_SECONDS",
        "SMTP_URL",
        "SQL_MEMORY_MIB",
        "SQL_SECONDS",
        "STAGE",
        "STALL_SECONDS",
        "STORE",
        "STORE_LOCK_SECONDS",
        "STORE_SECONDS",
        "TCP_PERSIST_BIND",
        "TCP_PERSIST_HOST",
        "TCP_PERSIST_PORT",
        "TENANT_LIMITS",
        "TLS_CA",
        "TLS_CERT",
        "TLS_KEY",
        "TRUSTED_PROXIES",
        "UNSTOCKED_ITEMS",
        "UPLOADS_QUEUE_URL",
        "UPLOAD_SECONDS",
        "WORKER_CONCURRENCY",
        "WORKER_COUNT",
        "WORKER_DOCUMENT_BYTES",
    }
)
"""The settings of all servers. A settings file has those of all, but a server declares only its own."""

# Prefixes of variables that other programs read.
_FOREIGN_PREFIXES = ("AWS_", "COMPOSE_", "DOCKER_", "OTEL_", "PYTHON", "ENV_FILE")
# The similarity of two names from 0 to 1: a misspelt name differs in a letter or two.
_MIN_SIMILARITY = 0.85


class UnknownSetting(NamedTuple):
    """A name that no server reads."""

    name: str
    source: str
    nearest: str | None
    """The setting that was probably meant."""


def find_unknown_settings(environ: Mapping[str, str]) -> list[UnknownSetting]:
    """Returns unknown names in the settings files, and misspelt ones in `environ`.

    The environment contains names of many other programs, so only names similar to a setting are reported from there.
    """
    found = []
    for source, values in read_settings_files(environ):
        found += [UnknownSetting(name, source, _find_nearest(name, 0.6)) for name in values if _is_unknown(name)]
    for name in environ:
        if _is_unknown(name) and (nearest := _find_nearest(name, _MIN_SIMILARITY)) is not None:
            found.append(UnknownSetting(name, "the environment", nearest))
    return found


def warn_of_unknown_settings() -> None:
    """Logs the unknown settings of this process, unless its parent has logged them."""
    if PARENT_PID in os.environ:
        return
    log = structlog.get_logger()
    for unknown in find_unknown_settings(os.environ):
        log.warning("unknown_setting", **{key: value for key, value in unknown._asdict().items() if value is not None})


def _is_unknown(name: str) -> bool:
    return name not in NAMES and not name.startswith(_FOREIGN_PREFIXES)


def _find_nearest(name: str, similarity: float) -> str | None:
    return next(iter(difflib.get_close_matches(name.upper(), NAMES, n=1, cutoff=similarity)), None)
