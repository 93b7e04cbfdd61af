"""Which versions of Python CI runs the suite under, on machines that have several."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("bash", "dirname", "head", "id", "sort", "tail")


def run_ci(folder: Path, *versions: str) -> subprocess.CompletedProcess[str]:
    """Runs it on a machine with these versions and a `make` that tells how it was called."""
    places = folder / "bin"
    places.mkdir()
    for tool in TOOLS:
        (places / tool).symlink_to(str(shutil.which(tool)))
    bash = str(places / "bash")
    for version in versions:
        name = "python" + version.rpartition(".")[0]
        says = f'echo "{version} {places / name}"' if version >= "3.11" else "exit 1"
        (places / name).write_text(f"#!{bash}\n{says}\n")
    (places / "make").write_text(f'#!{bash}\necho "make $*"\n')
    for file in (places / "make", *places.glob("python3*")):
        file.chmod(0o755)
    (folder / "clone" / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", folder / "clone" / ".ci")
    command = [bash, str(folder / "clone" / ".ci" / "run")]
    return subprocess.run(command, env={"PATH": str(places)}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("versions", "tested"),
    [(["3.11.2"], ["3.11.2"]), (["3.13.0", "3.11.2", "3.12.1"], ["3.11.2", "3.13.0"]), (["3.14.0"], ["3.14.0"])],
)
def test_the_oldest_and_the_newest_are_tested(tmp_path: Path, versions: list[str], tested: list[str]) -> None:
    done = run_ci(tmp_path, *versions)
    assert done.returncode == 0, done.stderr
    calls = [line for line in done.stdout.splitlines() if line.startswith("make ")]
    wanted = [f"make test PYTHON={tmp_path}/bin/python{one.rpartition('.')[0]} VENV=.venv-{one}" for one in tested]
    assert calls == [wanted[0].replace("make test", "make lint"), *wanted]


def test_a_machine_without_a_python_that_is_new_enough_says_so(tmp_path: Path) -> None:
    done = run_ci(tmp_path)
    assert done.returncode == 2
    assert "3.11 or newer" in done.stderr
