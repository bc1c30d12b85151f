from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler
from unit.training.planted import CATEGORIES, Framed, Samples, corpus, plan, seen_as, sounds, sources

from services.emotion.heads import decisions
from services.training.corpora.corpus import Corpus
from services.training.errors import SchemeError
from services.training.experiment import Done, Sources, run
from services.training.machines import fit, machine
from services.training.plan import Plan, PlanError, parse_plan, read_plan
from services.training.results import Times, pooled
from streams.domain.schemes import EMODB, Dimension, Scheme

SHIPPED = Path(__file__).parents[3] / "ops" / "experiments"
CONVERSATIONS = 20
FOLDS = 3
PLAN = plan("planted")
ACROSS = [{"train": "first", "test": "second"}]
SYSTEMS = 2 + 2  # two that hear nothing, the machines in each band


def balanced(name: str = "planted", seed: int = 0) -> Corpus:
    labels = np.random.default_rng(seed).permutation(list(CATEGORIES) * 20).tolist()
    return corpus(labels, [at % CONVERSATIONS for at in range(80)], name=name)


@pytest.fixture
def made() -> Corpus:
    return balanced()


@pytest.fixture
def given(made: Corpus) -> Sources:
    return sources((made, sounds(made, seen_as(made), clear=2.0)))


def killed_after(steps: int) -> Callable[[str, int], Callable[[], None]]:
    """Progress that ends the run once so many folds are done."""

    def progress(what: str, _steps: int) -> Callable[[], None]:
        left = iter(range(steps))

        def tick() -> None:
            if what.startswith("folds") and next(left, None) is None:
                raise KeyboardInterrupt

        return tick

    return progress


def decided(done: Done) -> dict[tuple[object, str], np.ndarray]:
    """Of every system and head, all that was decided."""
    return {
        (system, head): pooled([held for _, held in parts], head)[1]
        for system, parts in done.held.items()
        for head in parts[0][0].heads
    }


def folds_learnt(folder: Path) -> list[str]:
    return [what for what, _ in Times(folder) if not what.startswith("vectors")]


def test_every_segment_is_held_out_once_by_every_system(given: Sources, tmp_path: Path) -> None:
    done = run(PLAN, given, tmp_path)
    assert [(system.feature, system.kind, system.band) for system in done.held] == [
        ("-", "random", "-"),
        ("-", "majority", "-"),
        ("samples", "svm", "wide"),
        ("samples", "svm", "telephone"),
    ]
    for parts in done.held.values():
        for head, classes in done.data["planted"].harmonised.scheme.heads().items():
            rows, decisions = pooled([held for _, held in parts], head)
            np.testing.assert_array_equal(rows, np.arange(80))
            assert decisions.shape[1:] == (80, len(classes))
            assert np.isfinite(decisions).all()


def test_all_systems_and_heads_share_one_split(given: Sources, tmp_path: Path) -> None:
    splits = {
        tuple(sorted((job.fold, tuple(held.rows.tolist())) for job, held in parts))
        for parts in run(PLAN, given, tmp_path).held.values()
    }
    assert len(splits) == 1


@pytest.mark.parametrize("steps", [0, 7, FOLDS * SYSTEMS - 1])
def test_a_run_that_was_killed_goes_on_where_it_stopped(given: Sources, tmp_path: Path, steps: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(PLAN, given, tmp_path / "killed", killed_after(steps))
    assert len(folds_learnt(tmp_path / "killed")) == steps + 1
    resumed, whole = run(PLAN, given, tmp_path / "killed"), run(PLAN, given, tmp_path / "whole")
    assert len(folds_learnt(tmp_path / "killed")) == SYSTEMS * FOLDS
    assert sorted(folds_learnt(tmp_path / "killed")) == sorted(folds_learnt(tmp_path / "whole"))
    expected = decided(whole)
    for key, found in decided(resumed).items():
        np.testing.assert_array_equal(found, expected[key])


def test_a_file_that_was_half_written_does_not_count(given: Sources, tmp_path: Path) -> None:
    run(PLAN, given, tmp_path)
    victim = next((tmp_path / "held-out").rglob("*.npz"))
    victim.with_suffix(".part").write_bytes(victim.read_bytes()[:100])
    victim.unlink()
    run(PLAN, given, tmp_path)
    assert len(folds_learnt(tmp_path)) == SYSTEMS * FOLDS + 1
    assert victim.is_file()


def test_a_time_that_a_full_disk_left_torn_does_not_count_and_spoils_no_other(given: Sources, tmp_path: Path) -> None:
    run(PLAN, given, tmp_path)
    with (tmp_path / "times.jsonl").open("a") as file:
        file.write('{"what": "torn", "sec')
    Times(tmp_path).add("after", 1.0)
    assert run(PLAN, given, tmp_path).seconds >= 1.0
    assert folds_learnt(tmp_path)[-1] == "after"


def test_nothing_is_done_twice(given: Sources, tmp_path: Path) -> None:
    run(PLAN, given, tmp_path)
    run(plan("planted", resamples=500), given, tmp_path)  # of what is drawn later, no decision follows
    assert len(folds_learnt(tmp_path)) == SYSTEMS * FOLDS


def test_another_seed_recording_label_or_feature_version_is_done_anew(made: Corpus, tmp_path: Path) -> None:
    told = sounds(made, seen_as(made), clear=2.0)
    run(PLAN, sources((made, told)), tmp_path)
    changed = {
        "seed": (plan("planted", seed=5), sources((made, told))),
        "recording": (PLAN, sources((made, told | {"0.wav": told["1.wav"]}))),
        "label": (PLAN, sources((balanced(seed=1), told))),
        "version": (PLAN, sources((made, told), feature=Samples(version="2"))),
    }
    for name, (of, given) in changed.items():
        before = len(folds_learnt(tmp_path))
        run(of, given, tmp_path)
        again = 2 if name == "version" else SYSTEMS  # the baselines hear no feature
        assert len(folds_learnt(tmp_path)) - before == again * FOLDS, name


def test_machines_learn_on_one_corpus_and_judge_all_of_another(tmp_path: Path) -> None:
    first, second = balanced("first"), balanced("second", seed=3)
    given = sources(
        *((each, sounds(each, seen_as(each), clear=8.0, seed=at)) for at, each in enumerate((first, second)))
    )
    crossed = plan("first", "second", heads=["svm"], bands=["wide"], across=ACROSS)
    done = run(crossed, given, tmp_path)
    (across,) = [system for system in done.held if system.train != system.test]
    ((job, held),) = done.held[across]
    assert (across.train, across.test, job.fold) == ("first", "second", "all")
    assert held.decisions["category.full"][0].argmax(axis=1).tolist() == seen_as(second).tolist()


def test_across_corpora_only_heads_of_the_same_classes_are_judged(tmp_path: Path) -> None:
    first = balanced("first")
    labels = ["anger", "happiness", "neutral"] * 20  # without sadness category and its binary head differ
    second = corpus(labels, [at % CONVERSATIONS for at in range(60)], name="second")
    given = sources(*((each, sounds(each, seen_as(each), clear=8.0)) for each in (first, second)))
    crossed = plan("first", "second", heads=["svm"], bands=["wide"], across=ACROSS)
    done = run(crossed, given, tmp_path)
    (((job, _),),) = [parts for system, parts in done.held.items() if system.train != system.test]
    assert job.heads == ("category.binary", "valence.full", "valence.binary", "arousal.full")


def test_corpora_without_a_head_in_common_are_refused(tmp_path: Path) -> None:
    first = balanced("first")
    second = corpus(["anger", "happiness"] * 30, [at % CONVERSATIONS for at in range(60)], name="second")
    category = Dimension({"anger": ("anger",), "happiness": ("happiness",)}, {})
    two = Scheme("two", {"category": category}, EMODB.harmonisation)
    given = sources(*((each, sounds(each, seen_as(each), clear=8.0)) for each in (first, second)))
    given = replace(given, scheme={"emodb": EMODB, "two": two}.__getitem__)
    data = [{"corpus": "first", "scheme": "emodb"}, {"corpus": "second", "scheme": "two"}]
    with pytest.raises(SchemeError, match="first and second have no head of the same classes"):
        run(plan(data=data, across=ACROSS), given, tmp_path)


def test_a_corpus_is_not_judged_by_machines_that_learnt_its_own_recordings_under_another_name(tmp_path: Path) -> None:
    made = balanced()
    again = replace(made, name="again", recordings=made.recordings / ".." / made.recordings)
    told = sounds(made, seen_as(made), clear=8.0)
    given = sources((made, told), (again, told))
    crossed = plan("planted", "again", across=[{"train": "planted", "test": "again"}])
    with pytest.raises(SchemeError, match=r"planted and again share recordings \(80, such as .*0\.wav\)"):
        run(crossed, given, tmp_path)


def test_the_layer_is_the_one_that_holds_the_label_and_chosen_without_the_test_segments(
    made: Corpus, tmp_path: Path
) -> None:
    given = sources((made, sounds(made, seen_as(made), clear=3.0, layer=1)), feature=Samples(layers=2))
    done = run(plan("planted", heads=["svm"], bands=["wide"]), given, tmp_path)
    (parts,) = done.held.values()
    assert [held.layer for _, held in parts] == [1] * FOLDS
    assert all(held.layers.shape == (2,) and held.layers[1] > held.layers[0] + 0.3 for _, held in parts)


def test_the_svm_is_scikit_learns_and_the_clipped_one_is_the_bundles(made: Corpus, tmp_path: Path) -> None:
    heard = sounds(made, seen_as(made), clear=2.0)
    heard["0.wav"][3] = 40.0  # further out than a bundle lets a value count
    found = run(plan("planted", heads=["svm", "svm-clipped"], bands=["wide"]), sources((made, heard)), tmp_path)
    vectors, wanted = np.stack(list(heard.values())), seen_as(made)
    for fold in range(FOLDS):
        train, test = found.data["planted"].folds.train(fold), found.data["planted"].folds.test(fold)
        scaler = StandardScaler().fit(vectors[train].astype(float))
        theirs = machine(1 / vectors.shape[1]).fit(scaler.transform(vectors[train].astype(float)), wanted[train])
        targets = {head: classes[train] for head, classes in found.data["planted"].harmonised.targets.items()}
        packed = decisions(fit(EMODB, vectors[train], targets), vectors[test])["category.full"]
        (ours,), (clipped,) = (parts[fold][1].decisions["category.full"] for parts in found.held.values())
        np.testing.assert_allclose(
            ours, theirs.decision_function(scaler.transform(vectors[test].astype(float))), atol=1e-6
        )
        np.testing.assert_allclose(clipped, packed, atol=1e-12)
        assert not np.allclose(ours, clipped, atol=1e-3)


@pytest.mark.parametrize("kind", ["svm", "svm-clipped"])
def test_a_folds_probabilities_follow_from_its_training_segments_alone(tmp_path: Path, kind: str) -> None:
    random, sessions = np.random.default_rng(4), np.arange(400) // 100
    labels = random.permutation(list(CATEGORIES) * 100)
    others = np.where(sessions == 0, np.roll(labels, 1), labels)  # as many of each, of other segments of session 0
    held = []
    for said in (labels, others):
        made = corpus(said.tolist(), [at // 5 for at in range(400)], sessions=sessions.tolist())
        given = sources((made, sounds(made, [CATEGORIES.index(label) for label in labels], clear=2.0)))
        (parts,) = run(plan("planted", heads=[kind], bands=["wide"]), given, tmp_path).held.values()
        held.append([found for _, found in parts])
    judged, told = (each[0].probabilities["category.full"] for each in held)
    np.testing.assert_array_equal(judged, told)
    np.testing.assert_allclose(judged.sum(axis=1), 1)
    learnt, changed = (each[1].probabilities["category.full"] for each in held)
    assert not np.allclose(learnt, changed, atol=1e-3)


def test_a_head_with_too_few_training_segments_of_a_class_has_no_probabilities(tmp_path: Path) -> None:
    made = corpus(list(CATEGORIES) * 40, [at // 8 for at in range(160)])
    given = sources((made, sounds(made, seen_as(made), clear=2.0)))
    (parts,) = run(plan("planted", heads=["svm"], bands=["wide"]), given, tmp_path).held.values()
    assert [set(held.probabilities) for _, held in parts] == [{"valence.binary", "arousal.full"}] * FOLDS


def test_networks_learn_from_frames_what_machines_learn_from_vectors(tmp_path: Path) -> None:
    made = corpus(["anger", "neutral"] * 24, [at // 4 for at in range(48)])
    given = sources((made, sounds(made, seen_as(made), clear=1000.0)), feature=Framed())
    emotional = {"emotional": ("anger",), "neutral": ("neutral",)}
    two = Scheme("two", {"category": Dimension(emotional, {})}, EMODB.harmonisation)
    given = replace(given, scheme={"emodb": two}.__getitem__)
    done = run(plan("planted", heads=["dnn-sp"], bands=["wide"], number_of_folds=2), given, tmp_path)
    ((key, decisions),) = decided(done).items()
    assert key[1] == "category.full"
    assert decisions[0].argmax(axis=1).tolist() == [0, 1] * 24
    assert not any(held.probabilities for parts in done.held.values() for _, held in parts)  # too few were kept back
    assert not list((tmp_path / "scratch").rglob("*.pt"))  # checkpoints go once their fold is kept


def test_networks_give_probabilities_where_enough_training_segments_were_kept_back(tmp_path: Path) -> None:
    made = corpus(["anger", "neutral"] * 340, [at // 4 for at in range(680)])
    given = sources((made, sounds(made, seen_as(made), clear=3.0)), feature=Framed())
    emotional = {"emotional": ("anger",), "neutral": ("neutral",)}
    two = Scheme("two", {"category": Dimension(emotional, {})}, EMODB.harmonisation)
    given = replace(given, scheme={"emodb": two}.__getitem__)
    done = run(plan("planted", heads=["dnn-sp"], bands=["wide"], number_of_folds=2), given, tmp_path)
    for ((_, held),) in zip(*done.held.values(), strict=True):
        np.testing.assert_allclose(held.probabilities["category.full"].sum(axis=1), 1)


def test_networks_without_a_feature_that_has_frames_are_refused_before_anything_is_done(
    given: Sources, tmp_path: Path
) -> None:
    with pytest.raises(PlanError, match="heads dnn-sp pool frames, and no feature here has any"):
        run(plan("planted", heads=["svm", "dnn-sp"]), given, tmp_path)
    assert not folds_learnt(tmp_path)


def test_a_plan_is_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("name: x\ndata: [{corpus: ../emodb4, scheme: emodb, folds: speakers}]\nfeatures: [functionals-1]\n")
    read = read_plan(path)
    assert read.data[0].called == "emodb4"
    assert (read.heads, read.drawn.value) == (("random", "majority", "svm"), "conversation")
    assert isinstance(read, Plan)


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_experiments_that_are_shipped_are_plans(path: Path) -> None:
    assert read_plan(path).name == path.stem


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"fetures": ["x"]}, "Object contains unknown field `fetures`"),
        (
            {"heads": ["svm", "dnn"]},
            "no head kind 'dnn'; there are random, majority, svm, svm-clipped, dnn-sp, dnn-attcp",
        ),
        ({"data": []}, "`data` is empty"),
        ({"features": []}, "heads that hear need `features` and `bands`"),
        ({"bands": ["narrow"]}, r"Invalid enum value 'narrow' - at `\$\.bands\[0\]`"),
        ({"across": [{"train": "a", "test": "c"}]}, "`across` names c, which `data` does not"),
        ({"across": [{"train": "a", "test": "a"}]}, "learns and judges on one"),
        ({"resamples": 3}, "must be 100 or more"),
        ({"number_of_folds": 1}, "must be 2 or more"),
        ({"features": ["a", {"name": "b", "called": "a"}]}, "two features have one name"),
        ({"features": [{"model": "b"}]}, r"Object (contains unknown field `model`|missing required field `name`)"),
        ({"data": [{"corpus": "x/a", "scheme": "s"}, {"corpus": "y/a", "scheme": "s"}]}, "two data sets have one name"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused_with_file_and_place(change: dict[str, object], line: str) -> None:
    given = {"name": "x", "data": [{"corpus": "a", "scheme": "emodb"}], "features": ["samples"]}
    with pytest.raises(PlanError, match=rf"plan\.yaml: .*{line}"):
        parse_plan(given | change, "plan.yaml")


def test_every_problem_of_a_plan_is_told_at_once() -> None:
    given = {"name": "x", "data": [], "features": [], "heads": ["svm", "x"], "resamples": 1}
    with pytest.raises(PlanError) as refused:
        parse_plan(given, "plan.yaml")
    assert len(str(refused.value).splitlines()) == 4


def test_a_file_that_is_no_plan_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"gone\.yaml: cannot be read"):
        read_plan(tmp_path / "gone.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(PlanError, match=r"bad\.yaml: not YAML"):
        read_plan(tmp_path / "bad.yaml")
