"""User statistics: scores, ranks and profiles."""

import time
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from shared.domain.errors import NotFound
from shared.domain.orders import iso_time
from shared.domain.records import Item, Record
from shared.stores.sqlite.database import Connection

_TOP = 10
_ACTIVE_DAYS = 30
_DAY_SECONDS = 24 * 60 * 60
_LARGEST = 2**62
_LEVELS = range(8)
_BITS = 8
_USER = "SELECT version, best, day FROM users WHERE id = ?"
_SCORE = """
INSERT INTO users (id, version, best, games, played, day, began) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET version = excluded.version, best = excluded.best, games = excluded.games,
    played = excluded.played, day = excluded.day, began = excluded.began"""
_NAME = """
INSERT INTO users (id, name, email, registered) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET name = excluded.name, email = excluded.email, registered = excluded.registered"""
_FORGET_EMPTY = """
DELETE FROM users WHERE id = ? AND version IS NULL AND name IS NULL AND email IS NULL AND registered IS NULL"""
_ADD_RANK = "INSERT INTO ranks VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET users = users + excluded.users"
_ADD_DAY = "INSERT INTO days VALUES (?, ?) ON CONFLICT DO UPDATE SET users = users + excluded.users"
_ADD_COUNT = "INSERT INTO counts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value"
_ABOVE = "SELECT coalesce(sum(users), 0) FROM ranks WHERE level = ? AND range > ? AND range < ?"
_RANKING = """
SELECT id, name, best, games FROM users WHERE best IS NOT NULL ORDER BY best DESC, id LIMIT ?"""


class Ranking:
    """The users in the service's file."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def save_score(self, record: Record) -> None:
        """Stores a user's scores within the caller's transaction; ignores versions older than the known one."""
        item = record.item
        user = to_column_integer(item.get("user_id"))
        if user is None:
            return
        known = self._connection.execute(_USER, (user,)).fetchone() or (None, None, None)
        if known[0] is not None and known[0] >= record.version:
            return
        best, played = to_column_integer(item.get("puntaje_maximo")), item.get("fecha_ultimo_juego")
        day = _day_of(played)
        self._update_ranks(known[1], best, known[2], day)
        games = to_column_integer(item.get("partidas")) or 0
        values = (
            user,
            record.version,
            best,
            games,
            _text_or_none(played),
            day,
            _text_or_none(item.get("fecha_registro")),
        )
        self._connection.execute(_SCORE, values)

    def forget_score(self, item: Item) -> None:
        """Removes a user's scores."""
        user = to_column_integer(item.get("user_id"))
        known = self._connection.execute(_USER, (user,)).fetchone()
        if known is not None:
            self._update_ranks(known[1], None, known[2], None)
            self._connection.execute(_SCORE, (user, None, None, None, None, None, None))
            self._connection.execute(_FORGET_EMPTY, (user,))

    def save_profile(self, item: Item) -> None:
        """Stores a user's profile."""
        user = to_column_integer(item.get("user_id"))
        texts = [_text_or_none(item.get(name)) for name in ("nombre", "email", "fecha_registro")]
        if user is not None:
            self._connection.execute(_NAME, (user, *texts))

    def forget_name(self, item: Item) -> None:
        """Removes a user's profile."""
        self.save_profile({"user_id": item.get("user_id")})
        self._connection.execute(_FORGET_EMPTY, (to_column_integer(item.get("user_id")),))

    def reset(self) -> None:
        """Deletes everything within the caller's transaction."""
        for table in ("users", "ranks", "days"):
            self._connection.execute(f"DELETE FROM {table}")
        self._connection.execute("DELETE FROM counts WHERE name = 'usuarios'")
        self._connection.execute("DELETE FROM meta WHERE name = 'puntajes'")

    def _update_ranks(self, old: int | None, new: int | None, old_day: int | None, new_day: int | None) -> None:
        if old != new:
            for best, users in ((old, -1), (new, 1)):
                if best is not None:
                    rows = [(level, best >> (level * _BITS), users) for level in _LEVELS]
                    self._connection.executemany(_ADD_RANK, rows)
            self._connection.execute(_ADD_COUNT, ("usuarios", (new is not None) - (old is not None)))
            # Sums of scores may be larger than what a column holds.
            total = int(self._read_meta("puntajes") or 0) + (new or 0) - (old or 0)
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('puntajes', ?)", (str(total),))
        if old_day != new_day:
            days = [(day, users) for day, users in ((old_day, -1), (new_day, 1)) if day is not None]
            self._connection.executemany(_ADD_DAY, days)

    def _read_meta(self, name: str) -> str | None:
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def _compute_rank(self, best: int) -> int:
        """Returns the rank: 1 plus the users with a higher score, counted at each level right of the path to `best`."""
        above = 0
        for level in _LEVELS:
            own = best >> (level * _BITS)
            # The next level counts what is beyond this node's siblings.
            end = ((own >> _BITS) + 1) << _BITS if level < _LEVELS[-1] else _LARGEST
            above += self._connection.execute(_ABOVE, (level, own, end)).fetchone()[0]
        return above + 1

    def describe_user(self, user: int) -> Mapping[str, Any]:
        """Returns a user's statistics as clients get them. Raises NotFound."""
        row = self._connection.execute(
            "SELECT name, email, best, games, played, coalesce(registered, began) FROM users WHERE id = ?", (user,)
        ).fetchone()
        if row is None:
            raise NotFound(f"nothing is known of the user {user}", field="user_id", hint="users come with save_score")
        name, email, best, games, played, registered = row
        return {
            "user_id": user,
            "nombre": name,
            "email": email,
            "puntaje_maximo": best,
            "partidas": games or 0,
            "fecha_ultimo_juego": played,
            "fecha_registro": registered,
            "posicion": None if best is None else self._compute_rank(best),
        }

    def describe_all(self) -> dict[str, Any]:
        """Returns the statistics of all users as clients get them."""
        select = self._connection.execute
        row = select("SELECT value FROM counts WHERE name = 'usuarios'").fetchone()
        users = 0 if row is None else row[0]
        now = time.time_ns()
        today = now // 10**9 // _DAY_SECONDS
        (active,) = select("SELECT coalesce(sum(users), 0) FROM days WHERE day > ?", (today - _ACTIVE_DAYS,)).fetchone()
        top = select(_RANKING, (_TOP,)).fetchall()
        ranking = [
            {
                "posicion": self._compute_rank(best),
                "user_id": user,
                "nombre": name,
                "puntaje_maximo": best,
                "partidas": games,
            }
            for user, name, best, games in top
        ]
        total = int(self._read_meta("puntajes") or 0)
        return {
            "total_usuarios": users,
            "usuarios_activos": active,
            "puntaje_promedio": round(total / users, 2) if users else None,
            "puntaje_maximo": top[0][2] if top else None,
            "puntaje_maximo_global": top[0][2] if top else 0,
            "ranking": ranking,
            "timestamp": iso_time(now // 1000),
        }


def to_column_integer(value: Any) -> int | None:
    """A number of a record as a to_column_integer one that a column holds; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return max(min(int(value), _LARGEST), -_LARGEST)


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _day_of(moment: Any) -> int | None:
    try:
        return int(datetime.fromisoformat(moment).timestamp()) // _DAY_SECONDS
    except (TypeError, ValueError, OverflowError, OSError):
        return None
