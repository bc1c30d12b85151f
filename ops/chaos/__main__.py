"""`python -m ops.chaos [--rows 1,14] [--seeds 5]`: run rows of the fault matrix, print and write what came of them."""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from ops.chaos.oracle import Labeller, bundled, scored
from ops.chaos.results import RESULTS, Told, keep, kept, of, render, told
from ops.chaos.rows import ROWS
from ops.chaos.run import run
from ops.chaos.site import running_site
from services.emotion.bundle import load_bundle
from services.inference.settings import InferenceSettings

KEPT = Path(".undertone/chaos.jsonl")


def main() -> int:
    """Run what the command line names; 1 where a promise broke, or the control lost nothing."""
    arguments = _arguments()
    logging.basicConfig(level=logging.CRITICAL)  # clients shout while their server is away, which is the point
    names = arguments.rows.split(",")
    if unknown := [name for name in names if name not in ROWS]:
        sys.exit(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    ran: list[Told] = []
    for real, secured in product((False, True), repeat=2):
        if chosen := [name for name in names if (ROWS[name].real_bundle, ROWS[name].secured) == (real, secured)]:
            ran += asyncio.run(_site(chosen, seeds, real=real, secured=secured))
    return int(any(each.broken for each in ran) or _control_lost_nothing(ran))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--rows", default=",".join(ROWS), help="rows of the matrix, such as 1,14")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each row")
    parser.add_argument("--first-seed", type=int, default=0)
    return parser.parse_args()


async def _site(names: Sequence[str], seeds: range, *, real: bool, secured: bool) -> list[Told]:
    """Run each row under each seed on one stack."""
    labeller: Labeller = bundled(load_bundle(InferenceSettings().bundle)) if real else scored
    ran: list[Told] = []
    with tempfile.TemporaryDirectory() as folder:
        async with running_site(Path(folder), real_bundle=real, secured=secured) as site:
            for seed in seeds:  # so that a run that is cut short has seen every row
                for name in names:
                    began = time.monotonic()
                    ran.append(told(name, await run(site, ROWS[name], seed, labeller)))
                    _show(ran[-1], time.monotonic() - began)
                    await site.fresh()
    return ran


def _show(done: Told, took_s: float) -> None:
    """Print one run, and write the table anew."""
    keep(KEPT, done)
    RESULTS.write_text(render(kept(KEPT)))
    broken = ", ".join(f"{invariant} ({len(found)})" for invariant, found in done.broken.items()) or "nothing broken"
    count = sum(done.faults.values())
    print(
        f"row {done.row} seed {done.seed}: {count} faults, {done.records} records, lost {of(done.lost, done.effects)}, "
        f"{done.doubled} too many, {done.repeats} again, settled {done.settled_s} s, {broken}, took {took_s:.0f} s",
        flush=True,
    )
    for invariant, found in done.broken.items():
        for finding in found[:3]:
            print(f"    {invariant}: {finding}", flush=True)
    if done.control is not None:
        print(f"    control: {done.control}", flush=True)


def _control_lost_nothing(ran: Sequence[Told]) -> bool:
    """Whether the faults were too mild to show what stock Faust loses; asked of row 14 alone (see RESULTS.md)."""
    found = [run.control["lost"] for run in ran if run.row == "14" and run.control is not None]
    if found and not sum(found):
        print("row 14: the stock Faust agent lost nothing, so this run proves nothing")
    return bool(found) and not sum(found)


if __name__ == "__main__":
    sys.exit(main())
