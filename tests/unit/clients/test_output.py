"""What people see on terminals of every width."""

import pytest

from clients.cli.output import Output

ID = "01a20785-bc40-7c4e-9aeb-000000000001"
IMPORT = {"id": ID, "state": "applied", "rows": 90_000, "applied": 90_000, "name": "a file with quite a long name.csv"}


@pytest.mark.parametrize("width", [30, 60, 80, 200])
def test_rows_show_ids_and_values_as_a_whole(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    output = Output(json=False)
    output.json = False
    output.rows([IMPORT, IMPORT], "imports")
    shown = capsys.readouterr().out
    assert "…" not in shown
    lines = shown.splitlines()
    assert all(len(line) <= width for line in lines)
    assert "".join("".join(lines).split()).count("applied") >= 2
    if width >= 60:
        assert shown.count(ID) == 2
