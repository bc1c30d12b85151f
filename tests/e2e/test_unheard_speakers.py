"""Calls of speakers that the bundle never heard, through the whole stack: shares are printed, no threshold is set."""

import sys
from pathlib import Path

import numpy as np
import pytest
from e2e.contact_centre import Site
from scipy.stats import binomtest

from services.standalone.stack import running_stack
from services.training.corpora.folder import read_corpus
from services.training.spliced import splice
from services.training.train import Plan, train

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.needs("recordings")]

LEFT_OUT = ("03", "08", "11", "14")  #: two men, two women
CALLS = 4  #: of each speaker and emotion
SEED = 20261123


async def test_every_call_of_an_unheard_speaker_is_scored_and_the_shares_that_escalate_are_told(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = recordings / "emodb4"
    train(Plan(corpus=root, out=tmp_path / "bundle", left_out=LEFT_OUT))
    calls = _spliced(root, tmp_path)
    given = {"UNDERTONE_INFERENCE_BUNDLE": str(tmp_path / "bundle")}
    async with running_stack(tmp_path / "stack", demo_bundle=True, partitions=2, given=given) as stack:
        site = Site(stack)
        escalated: dict[str, list[bool]] = {"anger": [], "neutral": []}
        for emotion, paths in calls.items():
            for path in paths:
                call = await site.publish(site.told(path))
                await site.settled(call)
                assert site.rows("SELECT FROM labels WHERE call = %s AND outcome = 'labelled'", call)
                escalated[emotion].append(bool(site.rows("SELECT FROM escalations WHERE call = %s", call)))
    with capsys.disabled():
        for emotion, raised in escalated.items():
            share = binomtest(sum(raised), len(raised)).proportion_ci(method="wilson")
            interval = f"[{share.low:.2f}, {share.high:.2f}]"
            sys.stdout.write(f"\n{emotion} calls escalated: {sum(raised)} of {len(raised)} {interval}")


def _spliced(root: Path, folder: Path) -> dict[str, list[Path]]:
    corpus, rng = read_corpus(root), np.random.default_rng(SEED)
    said = {each.segment: each.labels["category"] for each in corpus.annotations}
    calls: dict[str, list[Path]] = {"anger": [], "neutral": []}
    for speaker in LEFT_OUT:
        others = [each for each in corpus.segments if each.speaker != speaker and said[each.id] == "neutral"]
        for emotion, paths in calls.items():
            own = [each for each in corpus.segments if each.speaker == speaker and said[each.id] == emotion]
            for number in range(CALLS):
                paths.append(folder / f"{speaker}-{emotion}-{number}.wav")
                splice(paths[-1], corpus.recordings, own, others, rng)
    return calls
