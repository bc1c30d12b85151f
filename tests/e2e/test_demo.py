"""The demo as `make demo` runs it: a stack of its own, from nothing to the figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

#: With any of these a stack that a person runs would not start, or would score by other rules.
UNFIT = {
    "UNDERTONE_USE_CASES": "nowhere",
    "UNDERTONE_RETENTION_DAYS": "3",
    "UNDERTONE_KAFKA_SECURITY": "SASL_SSL",
    "UNDERTONE_INFERENCE_BUNDLE": "nowhere",
    "UNDERTONE_TYPO": "1",
}


def test_the_demo_accounts_for_every_millisecond_and_escalates_the_angry_call_alone_whatever_is_set(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "services.cli", "demo"]
    ended = subprocess.run(command, cwd=tmp_path, env=os.environ | UNFIT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = json.loads((tmp_path / ".undertone" / "demo.json").read_text())
    assert told["fates_sum_up"] is True
    assert told["windows"] == told["labels"] > 0
    assert told["dead_letters"] == 0
    assert {call["name"]: len(call["escalations"]) for call in told["by_call"]} == {"calm.wav": 0, "angry.wav": 1}
    for call in told["by_call"]:
        assert "window" not in call["fates_ms"]["0 agent"]
        assert {sum(fates.values()) for fates in call["fates_ms"].values()} == {call["published_ms"]}
    assert "ESCALATION HIGH  angry.wav" in ended.stdout
    assert not (tmp_path / ".undertone" / "demo" / "kafka" / "data").exists()
