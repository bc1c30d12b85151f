"""What numpy has to be told of the processor before it is imported."""

from pathlib import Path

#: What OpenBLAS's kernels for AVX-512 ask of a processor.
_WIDE = frozenset({"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"})


def kernels(cpuinfo: str) -> dict[str, str]:
    """Environment of a program that multiplies matrices, given Linux's account of the processor.

    OpenBLAS takes AMD's processors with AVX-512 for older ones: the products of its six heads then take twice as long.
    """
    fields = [line.partition(":") for line in cpuinfo.splitlines()]
    flags = next((set(said.split()) for name, _, said in fields if name.strip() == "flags"), set())
    return {"OPENBLAS_CORETYPE": "SkylakeX"} if "AuthenticAMD" in cpuinfo and flags >= _WIDE else {}


def kernels_here() -> dict[str, str]:
    """The same of this machine; nothing where it is not Linux."""
    told = Path("/proc/cpuinfo")
    return kernels(told.read_text()) if told.exists() else {}
