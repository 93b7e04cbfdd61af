"""Reading CSV files of stock, however they are written, cut or broken; and writing them."""

import codecs
import hashlib
import itertools
import unicodedata
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.csv import reader as sheets
from shared.csv.cells import split_cells
from shared.csv.export import HEAD, export_lines
from shared.csv.lines import MAX_LINE_BYTES
from shared.csv.reader import KEPT_ERRORS, CsvReader, RowError, StockRow
from shared.domain.errors import InvalidParams
from shared.domain.names import fold_names
from shared.domain.stock import MAX_COUNT

HEADER = "store,item,count\n"


class Outcome(NamedTuple):
    rows: list[StockRow]
    faults: list[RowError]
    fault_count: int
    encoding: str
    delimiter: str
    digest: str


def read(*pieces: bytes) -> Outcome:
    reader = CsvReader()
    rows = [row for piece in pieces for row in reader.feed(piece)]
    rows += reader.finish()
    assert reader.rows == len(rows)
    return Outcome(rows, reader.errors, reader.error_count, reader.encoding, reader.delimiter, reader.digest)


def refusal(*pieces: bytes) -> InvalidParams:
    with pytest.raises(InvalidParams) as caught:
        read(*pieces)
    return caught.value


def values(data: bytes | str) -> list[tuple[str, str, int]]:
    outcome = read(data.encode() if isinstance(data, str) else data)
    assert outcome.faults == []
    return [row[1:] for row in outcome.rows]


def fault(line: str) -> RowError:
    """The one fault of a line; the good line behind it must not suffer from it."""
    outcome = read(f"{HEADER}{line}\nRome,Bread,1\n".encode())
    assert [row[1:] for row in outcome.rows] == [("Rome", "Bread", 1)]
    assert outcome.fault_count == 1
    return outcome.faults[0]


def test_the_rows_of_a_plain_file() -> None:
    data = 'store,item,count\nBerlin,Echo Dot,12\nMadrid,"Jamón ibérico, loncheado",0\n'.encode()
    assert read(data) == Outcome(
        rows=[StockRow(2, "Berlin", "Echo Dot", 12), StockRow(3, "Madrid", "Jamón ibérico, loncheado", 0)],
        faults=[],
        fault_count=0,
        encoding="utf-8",
        delimiter=",",
        digest=hashlib.sha256(data).hexdigest(),
    )


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        pytest.param("tienda;artículo;cantidad\nA;Café;1\n".encode(), "utf-8", id="UTF-8"),
        pytest.param("\ufefftienda;artículo;cantidad\nA;Café;1\n".encode(), "utf-8", id="UTF-8 with mark"),
        pytest.param("tienda;artículo;cantidad\nA;Café;1\n".encode("cp1252"), "windows-1252", id="windows-1252"),
        pytest.param("tienda;articulo;cantidad\nA;Café;1\n".encode("cp1252"), "windows-1252", id="later"),
        pytest.param("\ufefftienda;artículo;cantidad\nA;Café;1\n".encode("utf-16-le"), "utf-16", id="UTF-16 LE"),
        pytest.param("\ufefftienda;artículo;cantidad\nA;Café;1\n".encode("utf-16-be"), "utf-16", id="UTF-16 BE"),
    ],
)
def test_encodings(data: bytes, encoding: str) -> None:
    outcome = read(data)
    assert outcome[:5] == ([StockRow(2, "A", "Café", 1)], [], 0, encoding, ";")
    assert read(*(bytes([one]) for one in data)) == outcome


@pytest.mark.parametrize(
    ("data", "line", "column", "found"),
    [
        pytest.param("A,é,1\n".encode() + b"A,\xe9,1\n", 3, 3, "0xE9", id="windows-1252 after UTF-8"),
        pytest.param(b"A,\xe9,1\n" + "A,ñé,1\n".encode(), 3, 3, "U+00F1", id="UTF-8 after windows-1252"),
        pytest.param(b"A,\xe9\x81,1\n", 2, 4, "0x81", id="neither"),
        pytest.param("A,é,1\nA,é".encode() + b"\xc3", 3, 4, "0xC3", id="cut off in a character"),
    ],
)
def test_a_mixture_of_encodings_is_a_fault_of_its_line(data: bytes, line: int, column: int, found: str) -> None:
    data = HEADER.encode() + data + b"\nRome,Bread,1\n"
    outcome = read(data)
    assert read(*data.splitlines(keepends=True)) == outcome
    assert outcome.rows[-1][1:] == ("Rome", "Bread", 1)
    assert outcome.fault_count == 1
    [one] = outcome.faults
    assert (one.line, one.column, one.field) == (line, column, None)
    assert found in one.found


def test_a_byte_order_mark_is_believed() -> None:
    outcome = read(codecs.BOM_UTF8 + HEADER.encode() + b"A,\xe9,1\n")
    assert (outcome.rows, outcome.fault_count, outcome.encoding) == ([], 1, "utf-8")


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("store,item,count", "A,B,1"),
        (' "Store" ;ITEM;"count"', "A;B;1"),
        ("Cantidad\tTIENDA\tArtículo", "1\tA\tB"),
        ("existencias|almacén|producto", "1|A|B"),
        ("unidades,almacen,articulo", "1,A,B"),
        ("store,product,quantity", "A,B,1"),
        ("store,product,stock,price;old", "A,B,1,x"),
        ("store,item,product,count,stock,,", "A,B,x,1,7,,"),
        ("sep=;\nstore;item;count", "A;B;1"),
        ('"SEP=|"\nstore|item|a;b;c;d;e|count', "A|B||1"),
        ("sep=\t\nstore\titem\tcount", "A\tB\t1"),
        ("\n  \nstore,item,count", "A,B,1"),
    ],
)
def test_headers(header: str, row: str) -> None:
    assert values(f"{header}\n{row}\n") == [("A", "B", 1)]


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        (b"", "the file is empty", "store, item and count"),
        (b"\n \r\n", "the file is empty", "store, item and count"),
        (codecs.BOM_UTF16_LE, "the file is empty", "store, item and count"),
        (b"shop;item;count\n", "no column is called store", "found: shop, item, count"),
        (b"a,b\n", "no column is called store or item or count", "found: a, b"),
        (b"store,item,count,Item\n", "two columns are for item: item and Item", "keep one"),
        (b"tienda,almacen,item,count\n", "two columns are for store: tienda and almacen", "keep one"),
        (b"store,item,stock,quantity\n", "two columns are for count", "keep one"),
        (b"Berlin;Echo Dot;12\n", "the first line is data", "store;item;count"),
        (b'"store,item,count\nA,B,1', "the header line cannot be read: expected a closing quote", "CSV"),
        (b"\xefstore\x81,item,count\n", "found the byte 0x81", "CSV"),
        (b"sep=#\nstore#item#count\n", "the delimiter # is not known", "a semicolon"),
        (b"PK\x03\x04" + bytes(99), "an Excel workbook", "save it as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Excel workbook", "save it as CSV"),
        (b"%PDF-1.7\n", "a PDF", "save it as CSV"),
        (b"\x1f\x8b", "gzip", "save it as CSV"),
        (b'[{"store":"A"}]', "JSON", "save it as CSV"),
        (b"<table>", "HTML", "save it as CSV"),
        (HEADER.encode("utf-16-le"), "UTF-16 without a byte-order mark", "save it as CSV"),
        (HEADER.encode("utf-16-be"), "UTF-16 without a byte-order mark", "save it as CSV"),
        (b"\x7fELF\2\0\0\1\n", "a binary file", "save it as CSV"),
        (b"x" * (MAX_LINE_BYTES + 1), "expected a line of at most 65536 bytes", "save it as CSV"),
    ],
)
def test_what_cannot_be_read_is_refused(data: bytes, message: str, hint: str) -> None:
    error = refusal(data)
    assert message in error.message
    assert error.hint is not None
    assert hint in error.hint
    assert refusal(*(bytes([one]) for one in data)).message == error.message


def test_a_refusal_says_where() -> None:
    error = refusal(b"\nstore,item,count,Item\n")
    assert (error.line, error.column, error.field) == (2, 18, "item")


def test_a_refused_file_stays_refused() -> None:
    reader = CsvReader()
    for data in (b"a,b\n", HEADER.encode()):
        with pytest.raises(InvalidParams, match="no column is called"):
            reader.feed(data)
    with pytest.raises(InvalidParams, match="no column is called"):
        reader.finish()


def test_a_header_alone_is_a_file_without_rows() -> None:
    assert values(HEADER) == []
    assert values(HEADER.strip()) == []


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_blank_lines(end: str) -> None:
    data = end.join(["store,item,count", "A,B,1", "", " , ,", '"",,', ",,,,,", "A,C,2"]).encode()
    rows = [StockRow(2, "A", "B", 1), StockRow(7, "A", "C", 2)]
    assert read(data).rows == rows
    assert read(*(bytes([one]) for one in data)).rows == rows


@pytest.mark.parametrize(
    ("cells", "row"),
    [
        ("  A , B\t, 1 ", ("A", "B", 1)),
        (' "A" ,"B, ""C""" , "1"', ("A", 'B, "C"', 1)),
        ('A,TV 42" flat,1', ("A", 'TV 42" flat', 1)),
        ("A,Cafe\u0301,1", ("A", "Café", 1)),
        ("A,'=1+1,1", ("A", "=1+1", 1)),
        ("'-A,''@B,1", ("-A", "'@B", 1)),
        ("A,'n Sync,1", ("A", "'n Sync", 1)),
        ("A,=1+1,1", ("A", "=1+1", 1)),
        ("A\xa0,\xa0B,1\xa0", ("A", "B", 1)),
        ("A," + "é" * 200 + ",1", ("A", "é" * 200, 1)),
        ("A," + "e\u0301" * 200 + ",1", ("A", "é" * 200, 1)),
        ("🍞" * 75 + ",B,1", ("🍞" * 75, "B", 1)),
    ],
)
def test_cells(cells: str, row: tuple[str, str, int]) -> None:
    assert values(HEADER + cells) == [row]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("007", 7),
        (" 12 ", 12),
        ("12.0", 12),
        ('"12,00"', 12),
        ("0.000", 0),
        ("1234.000", 1234),
        ("1 234", 1234),
        ("1\xa0234\xa0567", 1_234_567),
        ("1'234", 1234),
        ("1’234.00", 1234),  # noqa: RUF001
        ("1.234.567", 1_234_567),
        ('"1,234,567"', 1_234_567),
        ('"1.234,0"', 1234),
        ('"1,234.00"', 1234),
        ("1000000000", MAX_COUNT),
        ("1.000.000.000", MAX_COUNT),
    ],
)
def test_counts(text: str, count: int) -> None:
    assert values(f"{HEADER}A,B,{text}\n") == [("A", "B", count)]


@pytest.mark.parametrize(
    "text",
    [
        *("-1", "+1", "1.5", '"12,5"', "1e12", "1000000001", "9" * 5000, "twelve", "12 pcs", "١٢", "²", "1 23"),
        *("12.", ".0", "0x10", "1.23.456", '"1.234.567,8"', "1.2345", "01 234", "1 234'567", "NaN", "1_000"),
        '"1,234,567,000,000"',
    ],
)
def test_counts_that_are_none(text: str) -> None:
    one = fault(f"A,B,{text}")
    assert (one.line, one.column, one.field) == (2, 5, "count")
    assert one.expected == "a whole number from 0 to 1000000000"
    assert one.found.rstrip("…") in text
    assert len(one.found) <= 41


@pytest.mark.parametrize("text", ["1.234", '"1,234"', "12.000"])
def test_a_count_that_can_be_read_in_two_ways_is_not_guessed(text: str) -> None:
    assert "without a separator" in fault(f"A,B,{text}").expected


@pytest.mark.parametrize(
    ("line", "column", "field", "expected", "found"),
    [
        ("A,B", 4, None, "3 cells", "2 cells"),
        ("A", 2, None, "3 cells", "1 cell"),
        ("A,Jam, sliced,1", 15, None, "3 cells", "4 cells"),
        ("A,B,1,", 7, None, "3 cells", "4 cells"),
        ('A, "B,1', 4, None, "a closing quote on the same line", '"B,1'),
        ('A,"B"C,1', 6, None, "the end of the cell after its closing quote", "C,1"),
        (",B,1", 1, "store", "a name", "an empty cell"),
        ('A,"",1', 3, "item", "a name", "an empty cell"),
        ("A,B,", 5, "count", "a whole number from 0 to 1000000000", "an empty cell"),
        ("A,B\x07C,1", 3, "item", "a name without control characters", "the character U+0007"),
        ("A,B\0C,1", 3, "item", "a name without control characters", "the character U+0000"),
        ("A,B\x85C,1", 3, "item", "a name without control characters", "the character U+0085"),
        ("A,B\ufffdC,1", 3, "item", "a name without control characters", "the character U+FFFD"),
        ("A,B,1\x07", 5, "count", "a whole number from 0 to 1000000000", "1\ufffd"),
        ("A" * 101 + ",B,1", 1, "store", "a name of at most 100 characters", "101 characters"),
        ("🍞" * 76 + ",B,1", 1, "store", "a name of at most 300 bytes in UTF-8", "304 bytes"),
        ("A," + "B" * 201 + ",1", 3, "item", "a name of at most 200 characters", "201 characters"),
        ("A," + "€" * 167 + ",1", 3, "item", "a name of at most 500 bytes in UTF-8", "501 bytes"),
        ("x" * (MAX_LINE_BYTES + 1), 1, None, "a line of at most 65536 bytes", "a longer one"),
    ],
)
def test_faults(line: str, column: int, field: str | None, expected: str, found: str) -> None:
    assert fault(line) == RowError(line=2, column=column, field=field, expected=expected, found=found)


def test_every_bad_cell_of_a_row_is_a_fault() -> None:
    assert [one.field for one in read(f"{HEADER},,x\n".encode()).faults] == ["store", "item", "count"]


def test_a_row_that_stands_there_twice() -> None:
    outcome = read(f"{HEADER}A,Café,1\nB,Café,1\nA,Cafe\u0301,2\nA, Café ,3\n".encode())
    assert [row[:2] for row in outcome.rows] == [(2, "A"), (3, "B")]
    assert [(one.line, one.column, one.field, one.found) for one in outcome.faults] == [
        (4, 3, "item", "Café of A, which stands on line 2 already"),
        (5, 4, "item", "Café of A, which stands on line 2 already"),
    ]


@pytest.mark.parametrize(
    "line", ["A,CAF\u00c9", "a,caf\u00e9", "A,Caf\u00e9\u00ad", '"A","cafe\u0301"', "A,Caf\u00e9\u00a0", "A,Caf\ufb00"]
)
def test_a_row_that_stands_there_twice_in_another_spelling(line: str) -> None:
    first = "Caf\u00e9" if "\ufb00" not in line else "CaFFF"
    outcome = read(f"{HEADER}A,{first},1\n{line},2\nA,Echo  Dot,3\nA,echo dot,4\n".encode())
    assert [row[2] for row in outcome.rows] == [first, "Echo  Dot"]
    assert [one.line for one in outcome.faults] == [3, 5]


def test_a_name_that_nobody_can_see() -> None:
    assert fault("A,\u3164,1").expected == "a name with a visible character"
    assert fault("\u00ad,x,1").field == "store"


def test_a_name_whose_key_would_be_too_long() -> None:
    assert fault(f"A,{chr(0x149) * 200},1").expected == "a name of at most 500 bytes in UTF-8"


def test_a_file_that_was_cut_off() -> None:
    assert values(f"{HEADER}A,B,1") == [("A", "B", 1)]
    assert read(f"{HEADER}A,B".encode()).faults[0].found == "2 cells"
    assert read(f'{HEADER}A,"B'.encode()).faults[0].found == '"B'
    assert read(codecs.BOM_UTF16_LE + f"{HEADER}A,B,12".encode("utf-16-le")[:-1]).faults[0].found == "1\ufffd"


def test_a_fault_is_encoded_without_what_is_not_known() -> None:
    [one] = read(f"{HEADER}A\n".encode()).faults
    assert msgspec.to_builtins(one) == {"line": 2, "column": 2, "expected": "3 cells", "found": "1 cell"}


def test_faults_are_counted_but_not_all_kept() -> None:
    outcome = read(HEADER.encode() + b"A\n" * (KEPT_ERRORS + 5))
    assert (len(outcome.faults), outcome.fault_count) == (KEPT_ERRORS, KEPT_ERRORS + 5)
    assert outcome.faults[-1].line == KEPT_ERRORS + 1


def test_a_line_is_as_long_as_it_is_however_it_comes() -> None:
    head = HEADER.replace("count", "count,note").encode()
    for size, good in ((MAX_LINE_BYTES, 2), (MAX_LINE_BYTES + 1, 1), (2 * MAX_LINE_BYTES, 1)):
        data = head + b"A,B,1," + b"x" * (size - 6) + b"\r\nA,C,1,\r\n"
        assert len(read(data).rows) == good
        assert read(data) == read(data[:50], data[50:70_000], data[70_000:]) == read(*[data[:-9], data[-9:]])


# Pieces that mean something to the reader come up often enough to meet each other.
PIECES = [HEADER.encode(), b"sep=;\n", b"store;item;count\r\n", "\ufeffstore,item,count\n".encode("utf-16-le")]
PIECES += [codecs.BOM_UTF8, codecs.BOM_UTF16_BE, b"A,B,1\n", b"A;B;1\r", b"\n", b"\r", b"\r\n", b'"', b'""', b",", b";"]
PIECES += ["é".encode(), "é".encode("cp1252"), b"\x81", b"\0", b"'=", b"1.234", b" ", b"x" * 70_000, "🍞".encode()]
FILES = st.one_of(
    st.binary(max_size=60),
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=4)), max_size=12).map(b"".join),
    st.lists(st.sampled_from(PIECES[4:]), max_size=12).map(lambda parts: HEADER.encode() + b"".join(parts)),
)


def outcome_or_refusal(pieces: list[bytes]) -> Outcome | tuple[object, ...]:
    try:
        return read(*pieces)
    except InvalidParams as error:
        return (error.message, error.hint, error.line, error.column, error.field)


@given(FILES, st.lists(st.integers(0, 1000), max_size=8).map(sorted))
def test_any_bytes_give_the_same_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    whole = outcome_or_refusal([data])
    bounds = [0, *(min(cut, len(data)) for cut in cuts), len(data)]
    assert outcome_or_refusal([data[a:b] for a, b in itertools.pairwise(bounds)]) == whole
    if len(data) < 1000:
        assert outcome_or_refusal([bytes([one]) for one in data]) == whole


CELLS = st.one_of(
    st.sampled_from(
        ["A", "B", "1", "12", "0", "", " ", "é", "e\u0301", "'=", "1.0", "²", "\ufffd", "\ufeff", "🍞" * 76]
    ),
    st.text(st.characters(exclude_characters='",\r\n', exclude_categories=["Cs"]), max_size=4),
)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=5))
def test_the_fast_way_says_the_same_as_the_careful_one(rows: list[tuple[str, str, str]]) -> None:
    """Quotes anywhere in a line lead it the careful way."""
    fast, careful = (
        read(("store,item,count,note\n" + "".join(f"{','.join(row)},{note}\n" for row in rows)).encode())
        for note in ("x", '"x"')
    )
    assert fast[:3] == careful[:3]


def is_name(text: str, characters: int, size: int) -> bool:
    unfit = any(unicodedata.category(one) == "Cc" or one in "\u2028\u2029\ufeff\ufffd" for one in text)
    folded = fold_names(text)
    size_of_key = max(len(text.encode()), len(folded.encode()))
    return bool(folded) and not unfit and len(text) <= characters and size_of_key <= size


def names(characters: int, size: int) -> st.SearchStrategy[str]:
    alphabet = st.one_of(st.sampled_from("'=+-@\",; A＝"), st.characters(exclude_categories=["Cs"]))  # noqa: RUF001
    texts = st.text(alphabet, min_size=1, max_size=12).map(lambda text: unicodedata.normalize("NFC", text.strip()))
    return texts.filter(lambda text: is_name(text, characters, size))


ROWS = st.lists(
    st.tuples(names(100, 300), names(200, 500), st.integers(0, MAX_COUNT)),
    max_size=6,
    unique_by=lambda row: (fold_names(row[0]), fold_names(row[1])),
)


@given(ROWS)
def test_what_is_exported_is_read_back(rows: list[tuple[str, str, int]]) -> None:
    assert values(HEAD + export_lines(rows)) == rows


def test_an_export_is_made_for_spreadsheets() -> None:
    data = HEAD + export_lines([("=A", '-B, "C"', 1), ("'@A", "\tB", 2), ("A", "'B", 3)])
    assert data == b"\xef\xbb\xbfstore,item,count\r\n'=A,\"'-B, \"\"C\"\"\",1\r\n''@A,'\tB,2\r\nA,'B,3\r\n"


# What a file may cost.


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines that have been looked at cell by cell, which costs ten times what a good row does."""
    found: list[str] = []

    def counted(line: str, delimiter: str) -> Any:
        found.append(line)
        return split_cells(line, delimiter)

    monkeypatch.setattr(sheets, "split_cells", counted)
    return found


@pytest.mark.parametrize("blank", ["", " ", ",,", " , ,\t", "\xa0", ",\xa0,", "," * 5000])
def test_lines_of_blanks_cost_no_close_look(looks: list[str], blank: str) -> None:
    found = read((HEADER + "A,x,1\n" + f"{blank}\n" * 3000 + "A,y,2\n").encode())
    assert found.rows == [StockRow(2, "A", "x", 1), StockRow(3003, "A", "y", 2)]
    assert found.fault_count == 0
    assert looks == []


@pytest.mark.parametrize("line", ["a", '"', '""', "\0", "A,x,1", "A,x,-"])
def test_a_file_without_rows_is_refused_before_its_end(
    looks: list[str], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheets, "MAX_BAD_LINES", 1000)
    found = refusal((HEADER + "A,x,1\n").encode(), *[f"{line}\n".encode() * 200] * 10)
    assert "no good row" in found.message
    assert len(looks) == 1001


def test_columns_are_bounded(looks: list[str]) -> None:
    assert "1000 columns" in refusal(("a," * 1000 + HEADER).encode()).message
    found = read((HEADER + "x," * 5000 + "\nA,y,2\n").encode())
    assert found.rows == [StockRow(3, "A", "y", 2)]
    assert found.faults == [RowError(line=2, column=1, expected="at most 1000 cells", found="5001 cells")]
    assert looks == []


@pytest.mark.parametrize("line", ["\n", "sep=,\n"])
def test_the_header_is_among_the_first_lines(line: str) -> None:
    assert read((line * 999 + HEADER).encode()).rows == []
    assert "first 1000 lines" in refusal((line * 1000 + HEADER).encode()).message
