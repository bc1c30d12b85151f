"""What came of every run so far, on record: a line of JSON a run, and the table that people read."""

import json
import os
import platform
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import quantiles

from ops.chaos.control import Control
from ops.chaos.rows import ROWS
from ops.chaos.run import IDLE_S, PATIENCE_S, Outcome
from ops.chaos.sizes import MAY_GROW
from services.standalone import jars

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "RESULTS.md"
HEAD = (
    *("row", "fault", "seeds", "faults", "records", "effects", "lost", "too many", "again"),
    *("moving again, s (p50, p95, worst)", "settled, s (worst)", "restarts"),
    *("largest worker (MiB, fds, threads)", "broken"),
)
INTRO = """\
# Chaos: what came of the faults

Made by `make chaos`; the harness is described in `ops/adr/0088-chaos.md`. {calls}

* *effects*: label rows, escalations and dead letters that the oracle expects. *lost*: those that are not there,
  with the upper end of a 95 % interval (3/N where none is). *too many*: rows or distinct dead letters that it does not
  expect. *again*: records of derived topics that came more than once and changed nothing.
* *moving again*: from a fault's end until every partition that was behind then had committed more. It includes the
  session where a member of a group was killed or cut off, and whatever was broken anew meanwhile.
* *largest worker*: the most that any process of a stage held, of each.
* *broken*: findings against the invariants: I0 the log holds the ledger, I1 conservation, I2 effects, I3 order, I4
  commit safety, I5 consent, I6 no raw call id but on `calls.v1`, I7 liveness (moving again within {idle_s:.0f} s in
  which nothing else is broken, settled within {patience_s:.0f} s), I8 dead letters, I9 bounds (no worker grows in a run
  by more than {grow.mib} MiB, {grow.fds} fds or {grow.threads} threads).
"""


@dataclass(frozen=True, slots=True)
class Told:
    """A run as it is kept."""

    row: str
    seed: int
    at: str
    machine: str
    versions: str
    commit: str
    calls: int
    records: int
    effects: int
    lost: int
    doubled: int
    repeats: int
    faults: Mapping[str, int]
    recovered_s: Sequence[float]
    settled_s: float | None
    withdrawal_s: Sequence[float]
    restarts: int
    reasons: Mapping[str, int]
    broken: Mapping[str, Sequence[str]]
    control: Mapping[str, int] | None = field(default=None)
    peak: Mapping[str, int] | None = field(default=None)  #: the most that any worker held, of each


def told(name: str, outcome: Outcome) -> Told:
    """The run, in numbers and words."""
    found, kinds = outcome.findings, defaultdict[str, int](int)
    for fault in outcome.faults:
        kinds[fault.what] += 1
    return Told(
        row=name,
        seed=outcome.seed,
        at=datetime.now(UTC).isoformat(timespec="minutes"),
        machine=machine(),
        versions=versions(),
        commit=commit(),
        calls=outcome.calls,
        records=found.records,
        effects=found.effects,
        lost=found.lost,
        doubled=found.doubled,
        repeats=found.repeats,
        faults=dict(kinds),
        recovered_s=[round(seconds, 2) for seconds in outcome.recovered_s],
        settled_s=None if outcome.settled_s is None else round(outcome.settled_s, 2),
        withdrawal_s=[round(seconds, 2) for seconds in found.withdrawal_s],
        restarts=outcome.restarts,
        reasons=outcome.reasons,
        broken=dict(found.broken),
        control=None if outcome.control is None else asdict(outcome.control),
        peak=None if outcome.peak is None else asdict(outcome.peak),
    )


def keep(file: Path, run: Told) -> None:
    """Append the run to the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lines:
        lines.write(json.dumps(asdict(run)) + "\n")


def kept(file: Path) -> list[Told]:
    """The last run of each row and seed, in the order of the matrix."""
    runs: dict[tuple[str, int], Told] = {}
    for line in file.read_text().splitlines() if file.exists() else ():
        run = Told(**json.loads(line))
        runs[run.row, run.seed] = run
    order = list(ROWS)
    return sorted((run for run in runs.values() if run.row in order), key=lambda run: (order.index(run.row), run.seed))


def render(runs: Sequence[Told]) -> str:
    """All of it as Markdown."""
    by_row: defaultdict[str, list[Told]] = defaultdict(list)
    for run in runs:
        by_row[run.row].append(run)
    calls = f"{sum(run.calls for run in runs)} calls in {len(runs)} runs."
    lines = [
        INTRO.format(calls=calls, idle_s=IDLE_S, patience_s=PATIENCE_S, grow=MAY_GROW),
        *_where(runs),
        "",
        _cells(HEAD),
        _cells(["---"] * len(HEAD)),
    ]
    lines += [_line(name, each) for name, each in by_row.items()]
    lines += ["", *_withdrawals(runs), *_controls(by_row), *_broken(runs), *_faults(by_row)]
    return "\n".join(lines) + "\n"


def of(lost: int, total: int) -> str:
    """`0 of N` with the upper end of its 95 % interval: 3/N."""
    if lost or not total:
        return f"**{lost} of {total}**"
    return f"0 of {total} (< {300 / total:.2g} %)"


def _line(name: str, runs: Sequence[Told]) -> str:
    recovered = sorted(seconds for run in runs for seconds in run.recovered_s)
    settled = [run.settled_s for run in runs]
    broken = sum(len(found) for run in runs for found in run.broken.values())
    cells = (
        name,
        ROWS[name].what,
        ", ".join(str(run.seed) for run in runs),
        str(sum(sum(run.faults.values()) for run in runs)),
        str(sum(run.records for run in runs)),
        str(sum(run.effects for run in runs)),
        of(sum(run.lost for run in runs), sum(run.effects for run in runs)),
        of(sum(run.doubled for run in runs), sum(run.effects for run in runs)),
        str(sum(run.repeats for run in runs)),
        _spread(recovered),
        "never" if None in settled else f"{max(each for each in settled if each is not None):.1f}",
        str(sum(run.restarts for run in runs)),
        _largest([run.peak for run in runs if run.peak is not None]),
        f"**{broken}**" if broken else "0",
    )
    return _cells(cells)


def _largest(peaks: Sequence[Mapping[str, int]]) -> str:
    if not peaks:
        return "-"
    return ", ".join(str(max(peak[what] for peak in peaks)) for what in ("mib", "fds", "threads"))


def _cells(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _spread(seconds: Sequence[float]) -> str:
    if len(seconds) < 2:
        return ", ".join(f"{each:.1f}" for each in seconds) or "-"
    cuts = quantiles(seconds, n=20, method="inclusive")
    return f"{cuts[9]:.1f}, {cuts[18]:.1f}, {seconds[-1]:.1f}"


def _withdrawals(runs: Sequence[Told]) -> Iterator[str]:
    seconds = sorted(each for run in runs for each in run.withdrawal_s)
    if seconds:
        yield f"Withdrawals: {len(seconds)}. From the log's time to the tombstone, under the faults of all rows:"
        yield f"{_spread(seconds)} s (p50, p95, worst)."
        yield ""


def _controls(by_row: Mapping[str, Sequence[Told]]) -> Iterator[str]:
    yield "## The control: a stock Faust agent under the same faults"
    yield ""
    yield "It writes each record's effect to PostgreSQL, all settings Faust's own. It loses because Faust acknowledges"
    yield "the record whose agent raised: when the database goes away, what was being written is committed as done."
    yield ""
    yield "| row | records | committed without an effect | written twice | never come to |"
    yield "| --- | --- | --- | --- | --- |"
    for name, runs in by_row.items():
        if found := [Control(**run.control) for run in runs if run.control is not None]:
            total = sum(each.records for each in found)
            counts = (sum(each.doubled for each in found), sum(each.unfinished for each in found))
            yield f"| {name} | {total} | {of(sum(each.lost for each in found), total)} | {counts[0]} | {counts[1]} |"
    yield ""


def _broken(runs: Sequence[Told]) -> Iterator[str]:
    yield "## What did not hold"
    yield ""
    findings = [
        f"* row {run.row}, seed {run.seed}, {invariant}: {len(found)} findings, such as: {found[0]}"
        for run in runs
        for invariant, found in run.broken.items()
    ]
    yield from findings or ["Nothing."]
    yield ""


def _faults(by_row: Mapping[str, Sequence[Told]]) -> Iterator[str]:
    yield "## Faults that were put in"
    yield ""
    for name, runs in by_row.items():
        counts: defaultdict[str, int] = defaultdict(int)
        for run in runs:
            for what, count in run.faults.items():
                counts[what] += count
        listed = "; ".join(f"{what} {count}" for what, count in sorted(counts.items()))
        yield f"* row {name}: {listed or 'none: what is wrong is in the records'}"


def _where(runs: Sequence[Told]) -> Iterator[str]:
    for where in sorted({(run.machine, run.versions) for run in runs}):
        here = [run for run in runs if (run.machine, run.versions) == where]
        days = sorted({run.at[:10] for run in here})
        commits = ", ".join(sorted({run.commit for run in here}))
        yield f"{days[0]} to {days[-1]}; {'; '.join(where)}; commits {commits}."


def machine() -> str:
    """Processor, cores, memory."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores of {name}, {memory:.0f} GiB"


def versions() -> str:
    """Of everything that takes part."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("faust-streaming", "aiokafka", "psycopg"))
    return f"Python {platform.python_version()}, {packages}, Kafka {jars.KAFKA}"


def commit() -> str:
    """What is checked out, as git says it."""
    said = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return said.stdout.strip() or "unknown"
