import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from services.training.corpora.adjudicate import read_verdicts, write_disagreements
from services.training.corpora.corpus import Annotation, Corpus, Cut, Segment
from services.training.errors import CorpusError
from services.training.harmonise import Reason, harmonise
from streams.domain.schemes import CC_SUPPORT, Disagreement, Harmonisation, Scheme

SCHEME = Scheme("own", {"category": CC_SUPPORT.dimensions["category"]}, Harmonisation(least=1))
SAID = [
    ("calm", "calm"),
    ("annoyed", "angry"),
    ("satisfied", "satisfied"),
    ("nervous", "nervous"),
    ("calm", "annoyed"),
    ("nervous", "annoyed"),
    ("calm", "nervous"),
]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    segments = tuple(Segment(f"s{at}", "call.wav", 1000 * at, 1000 * at + 900, "c", "c") for at in range(len(SAID)))
    said = tuple(
        Annotation(f"s{at}", name, {"category": label})
        for at, pair in enumerate(SAID)
        for name, label in zip(("ann", "bob"), pair, strict=True)
    )
    verdicts = (Annotation("s6", "experts", {"category": "nervous"}),)
    return Corpus("own", tmp_path, segments, said, Cut.BY_RULE, verdicts)


def fill(table: Path, verdict: Callable[[dict[str, str]], str]) -> None:
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row | {"verdict": verdict(row)} for row in rows)


def test_experts_get_what_annotators_still_differ_on_after_merging(corpus: Corpus, tmp_path: Path) -> None:
    assert write_disagreements(tmp_path / "experts.csv", corpus, SCHEME) == 2
    assert (tmp_path / "experts.csv").read_text().splitlines() == [
        "segment,recording,start_ms,end_ms,dimension,labels,otherwise,verdict",
        "s4,call.wav,4000,4900,category,ann: calm; bob: annoyed,annoyed,",
        "s5,call.wav,5000,5900,category,ann: nervous; bob: annoyed,no class,",
    ]


def test_what_experts_fill_in_becomes_the_truth_beside_earlier_verdicts(corpus: Corpus, tmp_path: Path) -> None:
    write_disagreements(tmp_path / "experts.csv", corpus, SCHEME)
    fill(tmp_path / "experts.csv", lambda row: "Nervous" if row["segment"] == "s5" else "")
    verdicts = read_verdicts(tmp_path / "experts.csv", corpus, SCHEME)
    assert verdicts == (*corpus.verdicts, Annotation("s5", "experts", {"category": "nervous"}))
    before, after = (harmonise(replace(corpus, verdicts=each), SCHEME) for each in (corpus.verdicts, verdicts))
    assert before.dropped["category"] == {Reason.EMOTIONS: 1}
    assert after.dropped["category"] == {}
    assert write_disagreements(tmp_path / "rest.csv", replace(corpus, verdicts=verdicts), SCHEME) == 1


def test_otherwise_is_no_class_where_the_scheme_drops_what_wavers(corpus: Corpus, tmp_path: Path) -> None:
    dropping = replace(SCHEME, harmonisation=Harmonisation(1, Disagreement.DROP))
    write_disagreements(tmp_path / "experts.csv", corpus, dropping)
    assert "bob: annoyed,no class," in (tmp_path / "experts.csv").read_text().splitlines()[1]


def test_every_line_that_cannot_be_used_is_named(corpus: Corpus, tmp_path: Path) -> None:
    table = tmp_path / "experts.csv"
    table.write_text("segment,dimension,verdict\ns4,category,clam\ns99,category,calm\ns4,mood,calm\n,category,calm\n")
    with pytest.raises(CorpusError) as refused:
        read_verdicts(table, corpus, SCHEME)
    assert [line.removeprefix(f"{table}, ") for line in str(refused.value).splitlines()] == [
        "line 5: no segment",
        (
            "line 2: category is 'clam'; did you mean 'calm'; write one of calm, nervous, angry, annoyed, surprised,"
            " satisfied"
        ),
        "line 3: no segment 's99' in the corpus; leave that column as it was",
        "line 4: no dimension 'mood'; write one of category",
    ]


def test_a_table_that_nobody_filled_in_is_named(corpus: Corpus, tmp_path: Path) -> None:
    write_disagreements(tmp_path / "experts.csv", corpus, SCHEME)
    with pytest.raises(CorpusError, match="no verdict; fill in that column"):
        read_verdicts(tmp_path / "experts.csv", corpus, SCHEME)
