"""Which kernels numpy is told to take."""

import pytest

from services.standalone.processor import kernels

WIDE = "avx512f avx512dq avx512bw avx512vl avx512cd"


def test_amd_with_avx512_takes_the_kernels_for_it() -> None:
    told = f"processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu sse {WIDE}\n"

    assert kernels(told) == {"OPENBLAS_CORETYPE": "SkylakeX"}


@pytest.mark.parametrize(
    "told",
    [
        f"vendor_id\t: GenuineIntel\nflags\t\t: fpu {WIDE}\n",
        "vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx2 avx512f\n",
        "vendor_id\t: AuthenticAMD\n",
        "CPU implementer\t: 0x41\nFeatures\t: fp asimd\n",
        "",
    ],
)
def test_any_other_processor_is_left_to_numpy(told: str) -> None:
    assert kernels(told) == {}
