"""From a corpus and a bundle to the list that annotators get, on the sample calls' real speech."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
import typer
from typer.testing import CliRunner

from services.emotion.bundle import DEMO, Bundle, load_bundle
from services.emotion.features.feature import Array, Feature
from services.standalone.samples import ANGRY
from services.training.corpora.corpus import Annotation, Corpus, Cut, Segment
from services.training.corpora.folder import write_corpus
from services.training.corpora.manifest import read_manifest
from services.training.errors import CorpusError
from services.training.pool import hear_pool, unannotated, write_list
from services.training.select_command import select

#: Some of the customer's speech in the sample, and a stretch in which only the agent speaks.
SPEECH_MS = ((3_900, 8_800), (12_200, 17_100), (20_200, 29_900), (31_800, 36_400), (38_100, 42_700))
HUSH_MS = (9_000, 12_000)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(DEMO)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """The sample as a corpus of which one segment is annotated, in a folder of recordings."""
    samples, rate = soundfile.read(ANGRY, dtype="int16")
    (tmp_path / "calls").mkdir()
    soundfile.write(tmp_path / "calls" / "one.wav", samples, rate, subtype="PCM_16")
    segments = tuple(
        Segment(f"s{at}", "one.wav", start, end, "c1", "one", channel=1, language="de")
        for at, (start, end) in enumerate((*SPEECH_MS, HUSH_MS))
    )
    said = (Annotation("s0", "ann", {"category": "calm"}),)
    return Corpus("calls", tmp_path / "calls", segments, said, Cut.BY_RULE)


def test_the_pool_is_what_nobody_has_annotated_and_the_bundle_judges(corpus: Corpus, bundle: Bundle) -> None:
    left = unannotated(corpus)
    assert [segment.id for segment in left] == ["s1", "s2", "s3", "s4", "s5"]
    heard = []
    pool = hear_pool(bundle, corpus, left, lambda: heard.append(1))
    assert [segment.id for segment in pool.segments] == ["s1", "s2", "s3", "s4"]
    assert (dict(pool.passed), len(heard)) == ({"silent": 1}, 5)
    assert len(pool.vectors) == 4
    for shares in pool.probabilities.values():
        assert shares.sum(axis=1) == pytest.approx(np.ones(4), abs=1e-5)


class Counting:
    """A feature that says how many windows it was asked to describe."""

    def __init__(self, feature: Feature) -> None:
        self._feature, self.rate, self.described = feature, feature.rate, 0

    def vectors(self, windows: Sequence[Array]) -> Array:
        self.described += len(windows)
        return self._feature.vectors(windows)


def test_a_window_is_described_once(corpus: Corpus, bundle: Bundle) -> None:
    counting = Counting(bundle.feature)
    pool = hear_pool(replace(bundle, feature=counting), corpus, unannotated(corpus))
    assert counting.described == len(pool.segments) == 4


def test_an_experts_verdict_is_an_annotation_too(corpus: Corpus) -> None:
    decided = replace(corpus, verdicts=(Annotation("s3", "experts", {"category": "angry"}),))
    assert [segment.id for segment in unannotated(decided)] == ["s1", "s2", "s4", "s5"]


def test_a_corpus_with_nothing_left_is_refused(corpus: Corpus) -> None:
    said = tuple(Annotation(segment.id, "ann", {"category": "calm"}) for segment in corpus.segments)
    with pytest.raises(CorpusError, match="calls: every segment has an annotation; import or prepare more calls"):
        unannotated(replace(corpus, annotations=said))


def test_a_corpus_of_which_the_bundle_judges_nothing_is_refused(corpus: Corpus, bundle: Bundle) -> None:
    with pytest.raises(CorpusError, match=r"calls: the bundle judges no segment of it \(silent 1\)"):
        hear_pool(bundle, corpus, corpus.segments[-1:])


def test_a_bundle_without_probabilities_is_refused(corpus: Corpus, bundle: Bundle) -> None:
    unsure = replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, calibration={}))
    with pytest.raises(CorpusError, match="bundle 'demo' gives no probabilities; train it on more windows of each"):
        hear_pool(unsure, corpus, unannotated(corpus))


def test_annotators_fill_in_a_manifest_that_is_read_back_with_the_same_segments(corpus: Corpus, tmp_path: Path) -> None:
    chosen = [corpus.segments[at] for at in (3, 1)]
    (tmp_path / "lists").mkdir()
    table = tmp_path / "lists" / "next.csv"
    write_list(table, corpus, chosen)
    with table.open(newline="") as file:
        rows = [row | {"annotator": "ann", "category": "angry"} for row in csv.DictReader(file)]
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    back = read_manifest(table).corpus
    own = ("start_ms", "end_ms", "speaker", "conversation", "channel", "language")
    assert [[getattr(each, name) for name in own] for each in back.segments] == [
        [getattr(each, name) for name in own] for each in chosen
    ]
    assert [said.labels for said in back.annotations] == [{"category": "angry"}] * 2


def test_a_list_that_is_there_is_not_written_over(corpus: Corpus, tmp_path: Path) -> None:
    table = tmp_path / "next.csv"
    table.write_text("filled in\n")
    with pytest.raises(CorpusError, match="is there already, filled in perhaps; name a new file"):
        write_list(table, corpus, corpus.segments)
    assert table.read_text() == "filled in\n"


@pytest.fixture
def command() -> Callable[..., str]:
    app = typer.Typer()
    app.command()(select)

    def run(*arguments: object) -> str:
        result = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
        assert result.exit_code == 0
        return result.output

    return run


def test_the_command_lists_as_many_segments_as_there_is_time_for(
    corpus: Corpus, tmp_path: Path, command: Callable[..., str]
) -> None:
    write_corpus(tmp_path / "corpus", corpus)
    table = tmp_path / "next.csv"
    shown = command(tmp_path / "corpus", table, "--bundle", DEMO, "--budget", 2)
    assert "2 of 5 segments that nobody has annotated" in shown
    assert "1 are not judged by the bundle: silent" in shown
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert {row["path"] for row in rows} == {"calls/one.wav"}
    assert {row[name] for row in rows for name in ("annotator", "category", "valence", "arousal")} == {""}
