"""Six heads' twelve machines a window: packed, against scikit-learn and Intel's extension of it, on one thread.

numpy's OpenBLAS takes its AVX2 kernels on AMD's processors with AVX-512; there both choices are measured.
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
WIDE = {"OPENBLAS_CORETYPE": "SkylakeX"}  #: read once, when numpy is imported


def measure() -> list[Measure]:
    """Each choice of kernels in a process of its own."""
    found = _measured({})
    if _amd_with_avx512():
        found += [replace(each, name=f"{each.name}, {'='.join(*WIDE.items())}") for each in _measured(WIDE)]
    return found


def _measured(kernels: Mapping[str, str]) -> list[Measure]:
    given = os.environ | {"OMP_NUM_THREADS": "1", **kernels}
    ended = subprocess.run((sys.executable, str(WORKER)), stdout=subprocess.PIPE, check=True, text=True, env=given)
    return [Measure(**each) for each in json.loads(ended.stdout)]


def _amd_with_avx512() -> bool:
    about = Path("/proc/cpuinfo")
    told = about.read_text() if about.exists() else ""
    return "AuthenticAMD" in told and "avx512dq" in told
