"""The AsyncAPI document, checked by AsyncAPI's own parser: `npm ci` in ops/docs/asyncapi brings it."""

import subprocess
from pathlib import Path

import pytest

from streams.kafka.cloudevents import TYPES

DOCS = Path(__file__).parents[2] / "ops/docs"


@pytest.mark.needs("node", "asyncapi")
def test_the_document_is_asyncapi_and_names_every_message() -> None:
    command = ["node", "check.mjs", str(DOCS / "asyncapi.yaml")]
    done = subprocess.run(command, cwd=DOCS / "asyncapi", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) == TYPES


@pytest.mark.needs("node", "asyncapi")
def test_a_document_that_is_wrong_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "asyncapi.yaml"
    wrong.write_text((DOCS / "asyncapi.yaml").read_text().replace("action: send", "action: shout", 1))
    command = ["node", "check.mjs", str(wrong)]
    done = subprocess.run(command, cwd=DOCS / "asyncapi", capture_output=True, text=True, check=False)
    assert done.returncode == 1
