"""The benchmark of the search, with few books: every kind of query has a figure, and misspelt titles are found."""

import csv
from pathlib import Path

from tests.benchmarks.search import measure_search

_COLUMNS = ("title", "authors", "language_code", "original_publication_year", "average_rating", "ratings_count")


def test_the_benchmark_of_the_search_measures_every_kind_of_query(tmp_path: Path) -> None:
    titles = tmp_path / "books.csv"
    with titles.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(_COLUMNS)
        for title in ("The Sparrow Garden", "Winter Harbour Lights", "Letters From Mountain"):
            rows.writerow((title, "Ana Paz", "en", "1999.0", "4.1", "12"))
    figures = measure_search(200, titles, queries=2, edits=1)
    assert figures.books == 200
    assert min(figures.indexed, figures.indexed_by_cpu, figures.mebibytes, figures.edit.median) > 0
    assert len(figures.times) == 14
    assert all(0 <= times.median <= times.p99 for times in figures.times)
    assert figures.recall["one typo"] == 1
