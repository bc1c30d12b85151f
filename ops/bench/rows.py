"""Rows that a goal is set for and that not every machine gives: RESULTS.md says which of them were never taken."""

from collections.abc import Collection, Mapping

XLSR, BASE, WAVLM = "XLS-R-300M shape", "wav2vec 2.0 base shape", "WavLM-large shape"

#: All that `gpu` gives, which holds itself to it.
GPU = (
    *(f"{shape}, bfloat16 off at layer {layer}" for shape in (XLSR, WAVLM) for layer in (0, 12, 24)),
    f"{XLSR}, 24 layers",
    f"{XLSR}, exit at 12",
    f"{XLSR}, against transformers bfloat16 with SDPA, the same layers",
    f"{XLSR}, against transformers bfloat16 with SDPA, ours exits at 12",
    f"{XLSR}, against transformers as it comes, float32",
    f"{WAVLM}, against our {XLSR}",
    f"{WAVLM}, against transformers bfloat16",
    f"{XLSR}, equal labels",
    f"{WAVLM}, equal labels",
    "one window of 5 s, p99",
    "one window of 5 s, against transformers as it comes",
    f"{XLSR}, peak memory of all layers' means / of one's, GPU",
    f"{XLSR}, GPU time a window",
    "six SVM heads, share of the encoder's time",
    "audio on the GPU, share of the encoder's time",
    "copying a window to the GPU",
    f"{XLSR}, windows as recorded against windows made ready",
)

#: Command -> rows that it gives: all that need a GPU, and of the others those that came last.
ROWS: Mapping[str, Collection[str]] = {
    "make bench-gpu": GPU,
    "make bench ONLY=encoder": tuple(f"{shape}, layers executed / needed" for shape in (XLSR, WAVLM)),
    "make bench ONLY=servers": (
        "the built-in bundle, whole judgement",
        *(
            f"ours against the bare model, {model}, p99 beyond two of its batches"
            for model in ("the demo bundle", "a GPU of 0.4 ms a window")
        ),
    ),
}


def untaken(taken: Collection[str]) -> str:
    """A section of RESULTS.md on the rows that are not among these; empty where all are."""
    missing = {command: [name for name in names if name not in taken] for command, names in ROWS.items()}
    lines = [f"* {name} (`{command}`)" for command, names in missing.items() for name in names]
    return "\n".join(["", "## Not measured yet", "", *lines, ""]) if lines else ""
