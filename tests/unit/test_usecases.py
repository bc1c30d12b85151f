from datetime import date
from importlib import resources
from pathlib import Path

import pytest

from streams import usecases
from streams.domain.records import Role
from streams.domain.roles import OneChannel
from streams.domain.rules import Condition, Severity
from streams.domain.schemes import (
    BUILT_IN,
    CC_DEBT,
    CC_SUPPORT,
    EMODB,
    Dimension,
    Disagreement,
    Harmonisation,
    Scheme,
    check,
    raw_labels,
)
from streams.domain.scoring import Asked, OutOfDomain
from streams.usecases import UseCaseError

DEMO = (resources.files("streams") / "builtin" / "demo.yaml").read_text()

OWN_SCHEME = """
name: site
language: de
bundle: site-1
scheme:
  name: site
  dimensions:
    valence:
      classes: {good: [good], bad: [bad, very bad]}
      binary: {}
      neutral: good
      dropped: [unclear]
  harmonisation: {least: 10, disagreement: drop}
rules:
  - name: bad
    severity: low
    when: [{head: valence.full, at_least: {bad: 0.9}}]
    hits: 1
    of: 1
    cool_down_ms: 0
"""


def test_the_built_in_demo_raises_on_negative_and_excited_and_not_neutral_in_two_of_three_windows() -> None:
    [demo] = usecases.load().values()
    assert (demo.name, demo.bundle, demo.demo, demo.scheme) == ("demo", "demo", True, EMODB)
    assert demo.asked == Asked(EMODB, OutOfDomain.MARK)
    [rule] = demo.rules
    assert rule.when == (
        Condition("valence.full", any_of=("negative",)),
        Condition("arousal.full", any_of=("excited",)),
        Condition("category.binary", none_of=("neutral",)),
    )
    assert (rule.hits, rule.of, rule.cool_down_ms, rule.severity) == (2, 3, 60_000, Severity.HIGH)


def test_a_folder_replaces_the_demo_and_may_spell_out_its_own_scheme(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(OWN_SCHEME)
    (tmp_path / "notes.txt").write_text("not read")
    use_cases = usecases.load(tmp_path)
    assert list(use_cases) == ["site"]
    assert use_cases["site"].scheme.heads() == {"valence.full": ("good", "bad")}
    assert use_cases["site"].scheme.harmonisation == Harmonisation(10, Disagreement.DROP)
    assert use_cases["site"].scheme.dimensions["valence"].dropped == ("unclear",)
    assert not use_cases["site"].demo
    asked = use_cases["site"].asked
    assert (asked.out_of_domain, asked.bounded) == (OutOfDomain.ABSTAIN, {"valence.full"})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("least: 10", "leest: 10", "unknown key 'leest' at `$.scheme.harmonisation`; remove it or use one of least"),
        ("least: 10", "least: 0", "least 0; give 1 to keep every label"),
        ("disagreement: drop", "disagreement: maybe", "Invalid enum value 'maybe'"),
        ("neutral: good", "neutral: calm", "dimension 'valence': neutral is 'calm'; name one of good, bad"),
        ("dropped: [unclear]", "dropped: [bad]", "a raw label is in two classes, or in one and dropped"),
        ("bad, very bad", "bad, Very  bad", "raw label 'Very  bad'; write it 'very bad', as corpora have it"),
    ],
)
def test_a_scheme_that_cannot_harmonise_is_refused_when_it_loads(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in OWN_SCHEME
    with pytest.raises(UseCaseError) as refused:
        usecases.parse(OWN_SCHEME.replace(old, new), "site.yaml")
    assert message in str(refused.value)


def test_a_scheme_is_named_or_spelt_out_in_a_file_of_its_own_or_in_a_use_case(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(OWN_SCHEME)
    alone = OWN_SCHEME[OWN_SCHEME.index("scheme:\n") + 8 : OWN_SCHEME.index("rules:")]
    (tmp_path / "alone.yaml").write_text("\n".join(line[2:] for line in alone.splitlines()))
    found = usecases.scheme_named(str(tmp_path / "site.yaml"))
    assert found.heads() == {"valence.full": ("good", "bad")}
    assert usecases.scheme_named(str(tmp_path / "alone.yaml")) == found
    assert usecases.scheme_named("cc-debt") is CC_DEBT


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\ndimensions: {}\n", "has no dimensions"),
        ("name: x\ndimension: {}\n", "missing required field `dimensions`"),
        ("[", "not YAML"),
        (None, "cannot be read"),
    ],
)
def test_a_scheme_file_that_cannot_be_used_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(UseCaseError, match=r"own\.yaml: ") as refused:
        usecases.scheme_named(str(tmp_path / "own.yaml"))
    assert message in str(refused.value)


def test_a_scheme_that_is_neither_built_in_nor_a_file_is_refused_with_those_that_are() -> None:
    with pytest.raises(UseCaseError, match="cc-dept: no built-in scheme; name one of emodb, cc-support, cc-debt"):
        usecases.scheme_named("cc-dept")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cool_down_ms: 60000", "cooldown_ms: 60000", "missing required field `cool_down_ms` - at `$.rules[0]`"),
        ("hits: 2", "hits: 2\n    cooldown: 3", "unknown key 'cooldown' at `$.rules[0]`; remove it or use one of name"),
        (
            "out_of_domain: mark",
            "out_of_domain: shrug",
            "Invalid enum value 'shrug' - at `$.out_of_domain`; correct it",
        ),
        ("demo: true", "demos: true", "unknown key 'demos' at `$`"),
        ("{head: arousal.full, any_of: [excited]}", "{head: arousal.full, anyof: [excited]}", "unknown key 'anyof'"),
        ("any_of: [negative]", "any_of: [very negative]", "head 'valence.full' has no class 'very negative'; name"),
        ("category.binary", "categorie.binary", "no head 'categorie.binary'; name one of category.full"),
        ("severity: high", "severity: panic", "Invalid enum value 'panic' - at `$.rules[0].severity`; correct it"),
        ("hits: 2", "hits: 4", "hits 4 of 3"),
        ("any_of: [negative]", "any_of: [no]", "Expected `str`, got `bool` - at `$.rules[0].when[0].any_of[0]`"),
        ("scheme: emodb", "scheme: emo-db", "no built-in scheme 'emo-db'; name one of emodb, cc-support, cc-debt"),
        ("name: demo\n", "name: other\n", "name is 'other'; call the file other.yaml"),
        ("name: demo\n", "name: [demo\n", "not YAML"),
        ("name: demo\n", "", "missing required field `name`"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_file_the_place_and_the_remedy(
    old: str, new: str, message: str
) -> None:
    assert old in DEMO
    with pytest.raises(UseCaseError) as refused:
        usecases.parse(DEMO.replace(old, new), "demo.yaml")
    assert str(refused.value).startswith("demo.yaml: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_two_rules_of_one_name_are_refused() -> None:
    rule = DEMO[DEMO.index("  - name: negative-and-excited") :]
    with pytest.raises(UseCaseError, match="two rules are called 'negative-and-excited'"):
        usecases.parse(DEMO + rule, "demo.yaml")


def test_a_folder_without_use_cases_or_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UseCaseError, match="no use case in it"):
        usecases.load(tmp_path)
    with pytest.raises(UseCaseError, match="cannot be read"):
        usecases.load(tmp_path / "missing")


@pytest.mark.parametrize("scheme", BUILT_IN.values(), ids=lambda scheme: scheme.name)
def test_the_built_in_schemes_pass_their_check(scheme: Scheme) -> None:
    check(scheme)


def test_very_negative_exists_in_cc_debt_only() -> None:
    having = [name for name, scheme in BUILT_IN.items() if "very negative" in scheme.heads().get("valence.full", ())]
    assert having == ["cc-debt"]


MERGED = {
    "cc-support": {
        "category.full": ("annoyed", "calm", "nervous", "satisfied"),
        "category.binary": ("calm", "rest"),
        "valence.full": ("negative", "neutral", "positive"),
        "valence.binary": ("negative", "rest"),
        "arousal.full": ("excited", "neutral"),
    },
    "cc-debt": {
        "category.full": ("annoyed", "calm", "nervous"),
        "category.binary": ("calm", "rest"),
        "valence.full": ("negative", "neutral", "very negative"),
        "valence.binary": ("neutral", "rest"),
        "arousal.full": ("excited", "neutral", "slightly excited"),
        "arousal.binary": ("neutral", "rest"),
    },
}


@pytest.mark.parametrize("scheme", [CC_SUPPORT, CC_DEBT], ids=lambda scheme: scheme.name)
def test_the_papers_schemes_give_the_classes_of_tables_1_and_2_from_its_6_5_and_4_raw_labels(scheme: Scheme) -> None:
    assert scheme.heads() == MERGED[scheme.name]
    assert {name: len(raw_labels(dimension)) for name, dimension in scheme.dimensions.items()} == {
        "category": 6,
        "valence": 5,
        "arousal": 4,
    }
    assert [dimension.neutral for dimension in scheme.dimensions.values()] == ["calm", "neutral", "neutral"]
    assert scheme.harmonisation == Harmonisation(30, Disagreement.EMOTIONAL)


def test_the_papers_schemes_merge_as_its_section_2_3_says() -> None:
    support, debt = CC_SUPPORT.dimensions, CC_DEBT.dimensions
    assert (
        set(support["category"].classes["annoyed"])
        == set(debt["category"].classes["annoyed"])
        == {
            "annoyed",
            "angry",
        }
    )
    assert set(support["valence"].classes["positive"]) == {"positive", "very positive"}
    assert set(support["arousal"].classes["excited"]) == {"slightly excited", "excited", "very excited"}
    assert set(debt["valence"].classes["neutral"]) == {"neutral", "positive", "very positive"}
    assert set(debt["arousal"].classes["excited"]) == {"excited", "very excited"}
    assert support["category"].dropped == ("surprised",)
    assert debt["category"].dropped == ("satisfied", "surprised")


@pytest.mark.parametrize(
    ("dimension", "message"),
    [
        (Dimension(classes={"a": ("a",)}, binary={}), "1 class; give two or more"),
        (Dimension(classes={"a": ("x",), "b": ("x",)}, binary={}), "a raw label is in two classes"),
        (Dimension(classes={"a": ("a",), "b": ("b",)}, binary={"a": ("a",)}), "binary must put each of a, b"),
        (Dimension(classes={"a": ("a",), "b": ("b",)}, binary={"a": ("a",), "r": ("c",)}), "in one of two"),
    ],
)
def test_a_scheme_whose_classes_do_not_fit_is_refused(dimension: Dimension, message: str) -> None:
    with pytest.raises(ValueError, match="scheme 'site', dimension 'mood': ") as refused:
        check(Scheme("site", {"mood": dimension}))
    assert message in str(refused.value)


def test_a_use_case_may_say_who_speaks_first_on_its_calls() -> None:
    said = OWN_SCHEME.replace("language: de", "language: de\nspeaks_first: agent")
    site = usecases.parse(said, "site.yaml")
    assert (site.speaks_first, site.swap_guard, site.one_channel) == (Role.AGENT, True, None)
    with pytest.raises(UseCaseError, match="name customer or agent"):
        usecases.parse(said.replace("agent", "mixed"), "site.yaml")


def test_announcements_are_files_beside_the_use_case(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(OWN_SCHEME.replace("language: de", "language: de\nannouncements: [hello.wav]"))
    assert usecases.load(tmp_path)["site"].announcements == (tmp_path / "hello.wav",)


def test_who_speaks_first_is_said_once_for_one_channel_and_for_two() -> None:
    assert usecases.load()["demo"].one_channel == OneChannel(Role.AGENT)
    said = "language: de\nspeaks_first: customer\none_channel: {after_ms: 9000}"
    site = usecases.parse(OWN_SCHEME.replace("language: de", said), "site.yaml")
    assert site.one_channel == OneChannel(Role.CUSTOMER, 9000)
    assert site.swap_guard


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ("one_channel: {after_ms: 0}", "speaks_first"),
        ("speaks_first: nobody", "speaks_first"),
        ("speaks_first: agent\none_channel: {after_ms: -1}", "one_channel.after_ms"),
        ("speaks_first: agent\none_channel: {first: customer}", "first"),
        ("speaks_first: agent\nswap_guard: maybe", "swap_guard"),
    ],
)
def test_what_cannot_tell_who_is_who_is_refused_with_its_place(said: str, place: str) -> None:
    with pytest.raises(UseCaseError, match=f"site.yaml: .*{place}"):
        usecases.parse(OWN_SCHEME.replace("language: de", f"language: de\n{said}"), "site.yaml")


@pytest.mark.parametrize("said", ["2027-03-31", '"2027-03-31"'])
def test_a_use_case_says_by_when_people_look_at_it_again(said: str) -> None:
    found = usecases.parse(OWN_SCHEME + f"review_by: {said}\n", "site.yaml")
    assert found.review_by == date(2027, 3, 31)
    assert usecases.parse(OWN_SCHEME, "site.yaml").review_by is None


def test_a_day_that_there_is_not_is_refused_with_its_place() -> None:
    with pytest.raises(UseCaseError, match=r"^site.yaml: .*`\$.review_by`"):
        usecases.parse(OWN_SCHEME + "review_by: 2027-02-31-a\n", "site.yaml")
