import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = """
import pytest

def test_that_needs_nothing():
    pass

@pytest.mark.needs("no-such-tool", "recordings-of-nobody")
def test_that_needs_much():
    raise AssertionError("it was run")
"""
SKIPS = """
import pytest

def test_that_runs():
    pass

def test_that_leaves_itself_out():
    pytest.importorskip("no_such_module")

@pytest.mark.xfail(reason="known")
def test_that_is_known_to_fail():
    raise AssertionError
"""
FILE_SKIPS = """
import pytest

pytest.skip("not on this machine", allow_module_level=True)
"""


@pytest.fixture(params=[("0", 0), ("1", 1)], ids=["as it is", "all required"])
def ran(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Runs a file of tests; what the run said, once it ended as it should where a test was left out."""
    required, status = request.param

    def run(tests: str) -> str:
        (tmp_path / "test_some.py").write_text(tests)
        (tmp_path / "test_other.py").write_text("def test_other():\n    pass\n")
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-p", "conftest", str(tmp_path)],
            cwd=tmp_path,
            env=os.environ | {"UNDERTONE_REQUIRE_ALL": required, "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == status, ended.stdout
        return ended.stdout

    return run


def test_what_lacks_its_needs_is_listed_and_fails_the_run_where_all_is_required(ran: Callable[[str], str]) -> None:
    said = ran(TESTS)
    assert "2 passed" in said
    assert "not run: no-such-tool, recordings-of-nobody (" in said
    assert "test_that_needs_much)" in said


def test_what_leaves_itself_out_is_listed_and_fails_the_run_where_all_is_required(ran: Callable[[str], str]) -> None:
    said = ran(SKIPS)
    assert "2 passed, 1 skipped, 1 xfailed" in said
    assert "not run: could not import 'no_such_module'" in said
    assert "test_that_leaves_itself_out)" in said
    assert said.count("not run: ") == 1


def test_a_file_that_leaves_itself_out_is_listed_and_fails_the_run_where_all_is_required(
    ran: Callable[[str], str],
) -> None:
    assert "not run: not on this machine (" in ran(FILE_SKIPS)
