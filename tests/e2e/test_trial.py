"""What an operator runs first."""

import asyncio

import pytest
from e2e.contact_centre import Site

from services.cli import run

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_trial_sees_its_labels_and_leaves_nothing_behind(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNDERTONE_FOLDER", str(site.stack.folder))
    assert await asyncio.to_thread(run, ["trial", "--wait", "60"]) == 0
    told = capsys.readouterr().out
    assert "Labels: " in told
    assert "failed" not in told
    assert "rows deleted" in told
