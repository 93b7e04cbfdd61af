"""Coverage-guided fuzzing of the wire (atheris): `python -m tests.chaos.fuzz -max_total_time=60`.

A finding is written to a file crash-…; what is wrong with it becomes a unit test.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["shared.wire", "shared.domain", "services.intake"]):
    from tests.chaos.wire import check

_SEEDS = (
    b'{"cliente":"a","productos":["x",{"producto":"y","cantidad":2,"precio":0.80}],"direccion":"d"}\n',
    b'{"cliente":"a","productos":["x"],"direccion":"d","request_id":7,"prioridad":"alta"}{"action":"ping"}',
    b'[{"cliente":"a","productos":["x"],"direccion":"d","no_antes_de":"2030-01-31T08:00:00Z"}]\nstatus 7\n',
    b'{"a":"\\ud83d\\ude00","b":[1e5,-0,true,null]}\r\0\xff\xf4list estado=listo cliente="Ana Paz"\r\n',
    b"GET / HTTP/1.1\r\n\r\n",
)


def one_input(data: bytes) -> None:
    """The first three bytes say where the rest is cut."""
    check(data[3:], data[:3])


def main() -> None:
    """Fuzzes as libFuzzer's flags say, from requests of every kind."""
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(_SEEDS):
            Path(corpus, str(number)).write_bytes(b"\x01\x05\x19" + seed)
        atheris.Setup([*sys.argv, corpus], one_input)
        # Ends the process by itself, with a status of its own.
        atheris.Fuzz()


if __name__ == "__main__":
    main()
