"""Statistics of users, against what a list that is sorted anew says."""

import random
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.distributed.ranking import Ranking
from shared.domain.errors import NotFound
from shared.domain.records import Record
from tests.support.distributed_file import open_in_memory


@pytest.fixture
def board(connection: sqlite3.Connection) -> Ranking:
    return Ranking(connection)


def score(user: int, best: object, version: int = 1, **members: object) -> Record:
    item = {"user_id": user, "puntaje_maximo": best, "partidas": version, **members}
    return Record(item, version)


def rank(board: Ranking, user: int) -> object:
    return board.describe_user(user)["posicion"]


@given(st.lists(st.integers(-(10**15), 10**15) | st.integers(-300, 300), min_size=1, max_size=40), st.randoms())
def test_rank_is_one_and_the_number_of_higher_scores(scores: list[int], shuffle: random.Random) -> None:
    with open_in_memory() as connection:
        check_ranks(Ranking(connection), scores, shuffle)


def check_ranks(board: Ranking, scores: list[int], shuffle: random.Random) -> None:
    for user, first in enumerate(shuffle.sample(scores, len(scores))):
        board.save_score(score(user, first))
    for user, best in enumerate(scores):
        board.save_score(score(user, best, version=2))
    for user, best in enumerate(scores):
        assert rank(board, user) == 1 + sum(other > best for other in scores)
    stats = board.describe_all()
    assert stats["total_usuarios"] == len(scores)
    assert stats["puntaje_maximo"] == max(scores)
    assert stats["puntaje_promedio"] == round(sum(scores) / len(scores), 2)
    assert [row["puntaje_maximo"] for row in stats["ranking"]] == sorted(scores, reverse=True)[:10]


def test_older_versions_than_known_are_left(board: Ranking) -> None:
    board.save_score(score(1, 50, version=3))
    board.save_score(score(1, 20, version=2))
    assert board.describe_user(1)["puntaje_maximo"] == 50


def test_removed_scores_count_no_more_and_may_come_back(board: Ranking) -> None:
    board.save_profile({"user_id": 1, "nombre": "Ana", "email": 7})
    board.save_score(score(1, 50, version=3))
    board.save_score(score(2, 40))
    board.forget_score({"user_id": 1})
    assert (rank(board, 1), rank(board, 2), board.describe_user(1)["nombre"]) == (None, 1, "Ana")
    board.save_score(score(1, 30))
    assert (rank(board, 1), board.describe_all()["total_usuarios"]) == (2, 2)
    with pytest.raises(NotFound):
        board.describe_user(9)


def test_registered_is_what_the_users_table_says_or_the_first_game(board: Ranking) -> None:
    board.save_score(score(1, 50))
    assert board.describe_user(1)["fecha_registro"] is None
    board.save_score(score(1, 50, version=2, fecha_registro="2026-02-01T00:00:00Z"))
    assert board.describe_user(1)["fecha_registro"] == "2026-02-01T00:00:00Z"
    board.save_profile({"user_id": 1, "fecha_registro": "2025-01-01T00:00:00Z"})
    assert board.describe_user(1)["fecha_registro"] == "2025-01-01T00:00:00Z"
    board.save_profile({"user_id": 1})
    board.forget_score({"user_id": 1})
    with pytest.raises(NotFound):
        board.describe_user(1)


def test_user_of_whom_nothing_is_left_takes_no_room(board: Ranking, connection: sqlite3.Connection) -> None:
    for user in (1, 2, 3):
        board.save_profile({"user_id": user, "nombre": "Ana"})
        board.save_score(score(user, 50))
    board.forget_score({"user_id": 1})
    board.forget_name({"user_id": 2})
    board.forget_name({"user_id": 3})
    board.forget_score({"user_id": 3})
    assert (board.describe_user(1)["nombre"], board.describe_user(2)["nombre"], rank(board, 2)) == ("Ana", None, 1)
    assert connection.execute("SELECT count(*) FROM users").fetchone() == (2,)


@pytest.mark.parametrize("best", [10**38, -(10**38), None, "x", True])
def test_odd_scores_of_other_services_break_nothing(best: object, board: Ranking) -> None:
    board.save_score(score(1, best, fecha_ultimo_juego="never"))
    board.save_score(score(2, 5, fecha_ultimo_juego="2020-01-01T00:00:00Z"))
    assert board.describe_all()["usuarios_activos"] == 0
    assert rank(board, 2) in (1, 2)
