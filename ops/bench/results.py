"""What was measured: a table for a person, a line each in `.undertone/bench.jsonl`, and `RESULTS.md` made of them."""

import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rows import untaken

ROOT = Path(__file__).parents[2]
LINES = ROOT / ".undertone" / "bench.jsonl"
RESULTS = Path(__file__).with_name("RESULTS.md")
PACKAGES = ("faust-streaming", "aiokafka", "onnxruntime", "numpy", "sqlalchemy", "psycopg", "torch", "transformers")
COLUMNS = ("measure", "value", "baseline", "ratio (min to max)", "goal", "remarks")


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure. `low` and `high` bound the ratio over the rounds, or the value where there is no ratio."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    goal: str = ""
    remarks: str = ""


def compared(name: str, unit: str, pairs: Sequence[tuple[float, float]], *, goal: str, remarks: str) -> Measure:
    """Medians over rounds of (ours, baseline), more being better; the ratio is the median of each round's."""
    ratios = [ours / theirs for ours, theirs in pairs]
    return Measure(
        name=name,
        value=statistics.median(ours for ours, _ in pairs),
        unit=unit,
        baseline=statistics.median(theirs for _, theirs in pairs),
        ratio=statistics.median(ratios),
        low=min(ratios),
        high=max(ratios),
        goal=goal,
        remarks=remarks,
    )


def quantile(values: Sequence[float], q: float) -> float:
    """The value that the share `q` of `values` does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def progress(said: str) -> None:
    """A line for who waits."""
    print(f"{datetime.now(UTC):%H:%M:%S} {said}", file=sys.stderr, flush=True)


def keep(measures: Sequence[Measure]) -> None:
    """Append to the lines, print the table, and write the newest figure of every measure to RESULTS.md."""
    LINES.parent.mkdir(exist_ok=True)
    about = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": _machine(), "versions": _versions()}
    with LINES.open("a") as file:
        for measure in measures:
            file.write(json.dumps(asdict(measure) | about) + "\n")
    print(_table([asdict(measure) for measure in measures]))
    newest = {line["name"]: line for line in map(json.loads, LINES.read_text().splitlines())}
    RESULTS.write_text(_page(list(newest.values())))


def _page(lines: Sequence[dict[str, object]]) -> str:
    taken = sorted({(str(line["at"])[:10], str(line["machine"]), str(line["versions"])) for line in lines})
    head = "# Bench\n\nWritten by `make bench` from `.undertone/bench.jsonl`: the newest figure of each measure.\n"
    where = "\n".join(f"* {at}, {machine}; {versions}" for at, machine, versions in taken)
    page = f"{head}Ratios are taken within one run, ours and the baseline in turn.\n\n{where}\n\n{_table(lines)}\n"
    return page + untaken({str(line["name"]) for line in lines})


def _table(lines: Sequence[dict[str, object]]) -> str:
    rows = ["| " + " | ".join(COLUMNS) + " |", "| --- | ---: | ---: | ---: | --- | --- |"]
    return "\n".join(rows + [_row(line) for line in lines])


def _row(line: dict[str, object]) -> str:
    ratio, spread = line["ratio"], ""
    if line["low"] is not None:
        spread = f" ({_figure(line['low'])} to {_figure(line['high'])})"
    value = f"{_figure(line['value'])} {line['unit']}" + ("" if ratio is not None else spread)
    shown = "" if ratio is None else f"{_figure(ratio)}{spread}"
    baseline = "" if line["baseline"] is None else _figure(line["baseline"])
    return f"| {line['name']} | {value} | {baseline} | {shown} | {line['goal']} | {line['remarks']} |"


def _figure(value: object) -> str:
    number = float(str(value))
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}"


def _machine() -> str:
    model = platform.processor() or platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        named = [line.partition(":")[2].strip() for line in cpus.read_text().splitlines() if "model name" in line]
        model = named[0] if named else model
    return f"{len(os.sched_getaffinity(0))} cores of {model}"


def _versions() -> str:
    return ", ".join([f"CPython {platform.python_version()}", *filter(None, map(_version, PACKAGES))])


def _version(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:  # no measure here needs it
        return ""
