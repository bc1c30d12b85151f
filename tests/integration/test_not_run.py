import os
import subprocess
import sys
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


@pytest.mark.parametrize(("required", "status"), [("0", 0), ("1", 1)])
def test_what_lacks_its_needs_is_listed_and_fails_the_run_where_all_is_required(
    tmp_path: Path, required: str, status: int
) -> None:
    (tmp_path / "test_needs.py").write_text(TESTS)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-p", "conftest", str(tmp_path)],
        cwd=tmp_path,
        env=os.environ | {"UNDERTONE_REQUIRE_ALL": required, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == status, ended.stdout
    assert "1 passed" in ended.stdout
    assert "not run: no-such-tool, recordings-of-nobody (" in ended.stdout
    assert "test_that_needs_much)" in ended.stdout
