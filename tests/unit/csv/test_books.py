"""CSV files of books: what is read, what is left out, and what is no book."""

from decimal import Decimal
from pathlib import Path

import pytest

from shared.csv.books import BookReader, BookRow
from shared.csv.reader import KEPT_ERRORS
from shared.domain.errors import InvalidParams

SAMPLE = (Path(__file__).parents[3] / "clients/samples/books.csv").read_bytes()


def read(data: bytes | str, size: int = 7001) -> tuple[list[BookRow], BookReader]:
    reader = BookReader(exponent=2, this_year=2026)
    raw = data.encode() if isinstance(data, str) else data
    rows: list[BookRow] = []
    for start in range(0, len(raw), size):
        rows += reader.feed(raw[start : start + size])
    return rows + reader.finish(), reader


@pytest.mark.parametrize("size", [1, 17, 1_000_000])
def test_the_sample_of_real_books_is_read_whole(size: int) -> None:
    rows, reader = read(SAMPLE, size)
    assert (len(rows), reader.error_count, reader.note_count, reader.without_isbn) == (200, 0, 3, 13)
    assert rows == read(SAMPLE)[0]
    hunger = next(row for row in rows if row.claim == "9780439023481")
    assert hunger.members == {
        "isbn": "9780439023481",
        "title": "The Hunger Games (The Hunger Games, #1)",
        "author": "Suzanne Collins",
        "language": "eng",
        "publication_year": 2008,
        "rating": Decimal("4.34"),
        "ratings": 4780653,
    }
    assert min(row.members.get("publication_year", 0) for row in rows) < 0
    assert max(row.members["author"].count(",") for row in rows) == 46


@pytest.mark.parametrize(
    ("isbn", "isbn13", "found", "notes"),
    [
        ("439023483", "9.78043902348e+12", "9780439023481", 0),
        ("0-439-02348-3", "", "9780439023481", 0),
        ("", "9780439023481", "9780439023481", 0),
        ("80442957X", "", "9780804429573", 0),
        ("439023484", "", None, 1),
        ("439023484", "9780439023481", "9780439023481", 0),
        ("", "9.78043902348e+12", None, 0),
        ("", "9780439023482", None, 0),
        ("", "978-0439023482", None, 1),
        ("439", "", None, 1),
    ],
)
def test_isbns_are_restored_and_never_made_up(isbn: str, isbn13: str, found: str | None, notes: int) -> None:
    (row,), reader = read(f"isbn,isbn13,title\n{isbn},{isbn13},T\n")
    assert (row.members["isbn"], reader.note_count, reader.without_isbn) == (found, notes, found is None)
    assert row.claim == found or row.claim.startswith("title:")


def test_columns_are_found_by_their_names() -> None:
    text = "Id\tTítulo\tAutores\tPrecio\tCategoría\tStock\tPages\nx\t Año  uno \tAna, Eva\t12,90\tNovela\t7\t120.0\n"
    (row,), _ = read(text)
    assert (row.members, row.stock) == (
        {"title": "Año uno", "author": "Ana, Eva", "price": 1290, "category": "Novela", "pages": 120, "isbn": None},
        7,
    )


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (",1,1", "title"), ("a\u0007,1,1", "title"), ("x" * 501 + ",1,1", "title"), ("T,1.234,1", "price"),
        ("T,0,1", "price"), ("T,free,1", "price"), ("T,-1,1", "price"), ("T,1,-1", "stock"), ("T,1,1.5", "stock"),
        ("T,1", None), ("T,1,1,1", None), ('"T,1,1', None),
    ],
)  # fmt: skip
def test_a_row_that_is_no_book_names_its_cell(line: str, field: str | None) -> None:
    rows, reader = read(f"title,price,stock\nA,1,1\n{line}\nB,2,2\n")
    assert [row.members["title"] for row in rows] == ["A", "B"]
    (error,) = reader.errors
    assert (error.line, error.field) == (3, field)


def test_values_that_cannot_be_read_are_left_out_with_a_note() -> None:
    text = "title,year,rating,language,pages\nA,MCM,9,español,0\nB,2999,4.333,en-US,1\nC,-720.0,4.3,es,2\n"
    rows, reader = read(text)
    assert [note.field for note in reader.notes] == [
        "language", "publication_year", "pages", "rating", "publication_year", "rating",
    ]  # fmt: skip
    assert rows[1].members == {"title": "B", "language": "en-US", "pages": 1, "isbn": None}
    assert rows[2].members["publication_year"] == -720


def test_a_book_stands_once_in_a_file() -> None:
    text = "isbn,title,author,year\n,Odas,Neruda,1954\n,ODAS ,neruda,1954\n,Odas,Neruda,1955\n"
    rows, reader = read(f"{text}0439023483,A,,\n9780439023481,B,,\n")
    assert [row.line for row in rows] == [2, 4, 5]
    assert [(error.line, error.field) for error in reader.errors] == [(3, "title"), (6, "isbn")]
    assert "line 2" in reader.errors[0].found


@pytest.mark.parametrize("text", ["", "\n\n", "isbn,price\n1,2\n", "{}\n", "a\0b,title\n", ",".join(["x"] * 2000)])
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(InvalidParams):
        read(text)


def test_errors_and_notes_have_a_bound() -> None:
    rows, reader = read("title,year\n" + ",1\n" * 300 + "".join(f"T{number},x\n" for number in range(300)))
    assert (len(rows), reader.error_count, reader.note_count) == (300, 300, 300)
    assert len(reader.errors) == len(reader.notes) == KEPT_ERRORS
