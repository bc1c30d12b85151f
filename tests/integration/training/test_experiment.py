"""The command itself, on real speech."""

import re
from pathlib import Path

import pytest

from services.cli import run

PLAN = """
name: emodb4
data: [{{corpus: {corpus}, scheme: emodb, folds: speakers}}]
features: [functionals-1]
bands: [telephone]
drawn: speaker
resamples: 200
"""


@pytest.mark.needs("recordings")
def test_an_experiment_on_emodb_reproduces_what_is_known_of_the_projects_features_and_goes_on_where_it_stopped(
    recordings: Path, tmp_path: Path
) -> None:
    plan, out = tmp_path / "emodb4.yaml", tmp_path / "out"
    plan.write_text(PLAN.format(corpus=recordings / "emodb4"))
    assert run(["experiment", "run", str(plan), "--out", str(out)]) == 0
    text = (out / "report.md").read_text()
    recall = text[text.index("### Unweighted average recall") :]
    (found,) = re.findall(r"\| functionals-1 \| svm \| \*\*<u>([\d.]+)</u>\*\* \[", recall)
    assert float(found) == pytest.approx(84.0, abs=1)  # ops/experiments/LOG.md, 2026-11-23
    before = (out / "times.jsonl").read_text()
    (out / "report.md").unlink()
    assert run(["experiment", "run", str(plan), "--out", str(out)]) == 0
    assert (out / "times.jsonl").read_text() == before
    assert (out / "report.md").read_text() == text


def test_a_plan_that_cannot_be_run_is_one_line_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("name: x\ndata: []\nfeatures: [functionals-1]\n")
    assert run(["experiment", "run", str(plan), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.strip() == f"{plan}: `data` is empty; name a corpus and a scheme"
    assert not (tmp_path / "out").exists()
