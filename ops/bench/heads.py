"""Six heads' twelve machines a window: packed, against scikit-learn and Intel's extension of it, on one thread.

Where the environment names the kernels that numpy's OpenBLAS takes, both these and OpenBLAS's own choice are measured.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from results import Measure

WORKER = Path(__file__).with_name("heads_work.py")
NAMED = "OPENBLAS_CORETYPE"


def measure() -> list[Measure]:
    """Each choice of kernels in a process of its own."""
    free = {name: said for name, said in os.environ.items() if name != NAMED}
    found = _measured(free)
    if NAMED in os.environ:
        told = f"{NAMED}={os.environ[NAMED]}"
        found += [replace(each, name=f"{each.name}, {told}", goal="stated") for each in _measured(os.environ)]
    return found


def _measured(environment: Mapping[str, str]) -> list[Measure]:
    given = {**environment, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run((sys.executable, str(WORKER)), stdout=subprocess.PIPE, check=True, text=True, env=given)
    return [Measure(**each) for each in json.loads(ended.stdout)]
