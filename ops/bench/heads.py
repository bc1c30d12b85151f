"""Six heads' twelve machines a window: packed, against scikit-learn and Intel's extension of it, on one thread.

Where `undertone up` tells the service which kernels numpy should take, numpy's own choice is measured as well.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from results import Measure

from services.standalone.processor import kernels_here

WORKER = Path(__file__).with_name("heads_work.py")


def measure() -> list[Measure]:
    """Each choice of kernels in a process of its own."""
    told = kernels_here()
    own = [replace(each, name=f"{each.name}, numpy's own kernels", goal="stated") for each in _measured({}) if told]
    return _measured(told) + own


def _measured(kernels: Mapping[str, str]) -> list[Measure]:
    inherited = {name: said for name, said in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    given = inherited | {"OMP_NUM_THREADS": "1", **kernels}
    ended = subprocess.run((sys.executable, str(WORKER)), stdout=subprocess.PIPE, check=True, text=True, env=given)
    return [Measure(**each) for each in json.loads(ended.stdout)]
