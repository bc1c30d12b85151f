import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from unit.training.pages import Page
from unit.training.planted import CATEGORIES, Samples, corpus, plan, seen_as, sounds, sources

from services.emotion.manifest import Score
from services.training.corpora.corpus import Corpus
from services.training.experiment import Done, Job, run
from services.training.report.contents import Report, report
from services.training.report.figures import figure_of_intervals, svg
from services.training.report.judgements import Judgement, judgements
from services.training.report.tables import Column, table
from services.training.report.write import write_report
from services.training.results import Held, System
from streams.domain.schemes import EMODB, Scheme

WINDOWS, CALLS = 240, 24


def spoken(name: str) -> Corpus:
    labels = np.random.default_rng(1).choice(CATEGORIES, WINDOWS, p=(0.4, 0.2, 0.2, 0.2)).tolist()
    calls = [f"call-{at % CALLS}-secret" for at in range(WINDOWS)]
    return corpus(labels, calls, name=name, sexes=["fm"[at % 2] for at in range(WINDOWS)])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Two data sets, one of a name that is no HTML, each way round, in both bands."""
    random, made = np.random.default_rng(2), [spoken("first"), spoken("<second>")]
    told = [np.where(random.random(WINDOWS) < 0.6, seen_as(each), random.integers(4, size=WINDOWS)) for each in made]
    heard = [(each, sounds(each, labels, clear=4.0, layer=1)) for each, labels in zip(made, told, strict=True)]
    both = plan("first", "<second>", across=[{"train": "first", "test": "<second>"}], resamples=200)
    category = Scheme("emodb", {"category": EMODB.dimensions["category"]}, EMODB.harmonisation)
    given = replace(sources(*heard, feature=Samples(layers=2)), scheme=lambda _: category)
    return run(both, given, tmp_path_factory.mktemp("experiment"))


@pytest.fixture(scope="module")
def made(done: Done) -> Report:
    return report(done)


@pytest.fixture(scope="module")
def machines(done: Done) -> Judgement:
    """What the machines said under the full head, in wide band."""
    alone = replace(done, held={system: parts for system, parts in done.held.items() if system.kind == "svm"})
    return next(judgements(alone))


@pytest.fixture(scope="module")
def written(made: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    assert write_report(folder, made) == folder / "report.html"
    return folder


def scored(machines: Judgement, feature: str, band: str, score: Score) -> Judgement:
    system = System("first", "first", band, feature, "svm" if feature != "-" else "majority")
    return replace(machines, system=system, f1=score)


def test_the_best_is_underlined_and_bold_is_whose_interval_overlaps_with_that_of_the_best(machines: Judgement) -> None:
    scores = {"a": Score(0.6, 0.5, 0.7), "b": Score(0.8, 0.7, 0.9), "c": Score(0.5, 0.4, 0.69)}
    every = [scored(machines, name, "wide", score) for name, score in scores.items()]
    (column,) = [Column("first", "first", "category.full", "wide")]
    found = {row.feature: row.cells[0] for row in table(every, [column]).rows}
    assert {name: (cell.best, cell.level) for name, cell in found.items() if cell} == {
        "a": (False, True),
        "b": (True, True),
        "c": (False, False),
    }


def test_a_system_without_a_column_leaves_its_cell_empty_and_a_baseline_stands_in_every_band(
    machines: Judgement,
) -> None:
    score = Score(0.6, 0.5, 0.7)
    every = [scored(machines, "a", "wide", score), scored(machines, "-", "-", score)]
    columns = [Column("first", "first", "category.full", band) for band in ("wide", "telephone")]
    found = {row.feature: [cell is not None for cell in row.cells] for row in table(every, columns).rows}
    assert found == {"a": [True, False], "-": [True, True]}


def test_every_table_has_telephone_beside_wide_band(made: Report) -> None:
    for each in (made.overview, *(chapter.table for chapter in made.chapters)):
        assert [column.band for column in each.columns] == ["wide", "telephone"] * (len(each.columns) // 2)
        assert all(cell is not None for row in each.rows for cell in row.cells)


def test_there_is_a_chapter_for_each_data_set_and_for_each_pair(made: Report) -> None:
    assert [chapter.title for chapter in made.chapters] == ["first", "<second>", "first to <second>"]
    heads = ["category.full", "category.binary"]
    for chapter in made.chapters:
        assert list(dict.fromkeys(column.head for column in chapter.table.columns)) == heads
    assert [column.test for column in made.overview.columns[::2]] == ["first", "<second>", "<second>"]


def test_a_comparison_is_the_difference_of_two_cells(made: Report) -> None:
    chapter = made.chapters[0]
    cells = {
        (column.head, column.band, row.kind): cell.score.value
        for row in chapter.table.rows
        for column, cell in zip(chapter.table.columns, row.cells, strict=True)
        if cell
    }
    compared = [each for each in chapter.comparisons if each.what == "wide, the best"]
    assert len(compared) == 2 * 2
    for each in compared:
        first, second = (name.split()[-1] for name in (each.first, each.second))
        assert each.found.value == pytest.approx(cells[each.head, "wide", first] - cells[each.head, "wide", second])
        assert each.found.low <= each.found.value <= each.found.high
        assert 0 < each.found.p <= 1


def test_bands_and_where_a_system_learnt_are_compared_too(made: Report) -> None:
    assert [each.found.value for each in made.chapters[0].comparisons if each.what == "bands, samples svm"] == [0] * 2
    across = {each.second for each in made.chapters[2].comparisons if each.first == "its own folds"}
    assert across == {"learnt on first"}


def test_the_two_sexes_are_all_segments(made: Report) -> None:
    for head, band in {(each.head, each.band) for each in made.chapters[0].by_sex}:
        found = [each for each in made.chapters[0].by_sex if (each.head, each.band) == (head, band)]
        assert [each.sex for each in found] == ["women", "men"]
        assert sum(each.segments for each in found) == WINDOWS


def test_a_calibration_error_stands_beside_that_of_a_model_whose_every_probability_is_right(made: Report) -> None:
    for chapter in made.chapters:
        assert len(chapter.calibrations) == 2 * 2
        for each in chapter.calibrations:
            assert 0 < each.error["low"] < each.error["perfect"] < each.error["high"] < 1
            assert each.error["ece"] > 0


def test_a_system_of_which_one_fold_has_no_probabilities_is_not_said_to_be_calibrated(done: Done) -> None:
    def without(parts: list[tuple[Job, Held]]) -> list[tuple[Job, Held]]:
        (job, held), *others = parts
        return [(job, replace(held, probabilities={})), *others]

    bare = report(replace(done, held={system: without(parts) for system, parts in done.held.items()}))
    assert not any(chapter.calibrations for chapter in bare.chapters)
    assert not any(name.startswith("reliability") for chapter in bare.chapters for name in chapter.figures)


def test_the_page_is_complete_in_itself_and_well_formed(written: Path) -> None:
    page = Page()
    page.feed((written / "report.html").read_text())
    assert page.open == []
    assert page.loaded
    assert all(place.startswith(("data:image/svg+xml;base64,", "#")) for place in page.loaded)
    assert "first to <second>" in page.text


def test_the_markdown_names_figures_that_are_there(written: Path) -> None:
    text = (written / "report.md").read_text()
    figures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(figures) == 3 * (1 + 2 + 2 + 1)
    assert all((written / figure).is_file() for figure in figures)
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)


def test_both_say_seed_resamples_unit_data_hash_and_versions(done: Done, written: Path) -> None:
    for name in ("report.html", "report.md"):
        text = (written / name).read_text()
        assert "200 resamples of conversations" in text
        assert str(done.plan.seed) in text
        assert all(data.fingerprint in text for data in done.data.values())
        assert "scikit-learn" in text
        assert "feature samples" in text


def test_both_say_how_many_segments_were_left_out_of_learning_with_a_speaker(tmp_path: Path) -> None:
    """Two by two, twelve calls: a fold leaves out the other of the two, with half of the call's segments."""
    labels = np.random.default_rng(1).choice(CATEGORIES, WINDOWS).tolist()
    calls = [f"call {at % 12}" for at in range(WINDOWS)]
    speakers = [f"{at % 12}{'ab'[at // 12 % 2]}" for at in range(WINDOWS)]
    pairs = corpus(labels, calls, speakers=speakers, name="pairs")
    data = [{"corpus": "pairs", "scheme": "emodb", "folds": "speakers"}]
    chosen = plan(data=data, heads=["majority"], features=[], bands=["wide"])
    done = run(chosen, sources((pairs, sounds(pairs, seen_as(pairs), clear=1.0))), tmp_path)
    write_report(tmp_path, report(done))
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text()
        assert "24 folds by speakers" in text
        assert "is not learnt from there (10.0 segments a fold)" in text


def test_neither_says_which_call_or_speaker_anything_is_of(written: Path) -> None:
    for path in written.rglob("*"):
        assert path.is_dir() or "secret" not in path.read_text()


def test_the_same_results_give_the_same_figure(made: Report) -> None:
    drawn = [svg(figure_of_intervals(made.overview)) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert drawn[0].startswith("<?xml")
