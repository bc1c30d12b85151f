"""Encoders on a CPU, against transformers on the same layers; and the work that they do beyond what is needed."""

import json
import os
import subprocess
import sys
from pathlib import Path

from results import Measure

WORKER = Path(__file__).with_name("encoder_work.py")


def measure() -> list[Measure]:
    """In a process of its own, with a thread for each core, as transformers has by itself."""
    given = os.environ | {"OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))}
    ended = subprocess.run((sys.executable, str(WORKER)), stdout=subprocess.PIPE, check=True, text=True, env=given)
    return [Measure(**each) for each in json.loads(ended.stdout)]
