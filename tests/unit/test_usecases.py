from importlib import resources
from pathlib import Path

import pytest

from streams import usecases
from streams.domain.rules import Condition, Severity
from streams.domain.schemes import BUILT_IN, EMODB, Dimension, Scheme, check
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
    assert not use_cases["site"].demo


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cool_down_ms: 60000", "cooldown_ms: 60000", "missing required field `cool_down_ms` - at `$.rules[0]`"),
        ("hits: 2", "hits: 2\n    cooldown: 3", "unknown key 'cooldown' at `$.rules[0]`; remove it or use one of name"),
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
    having = [name for name, scheme in BUILT_IN.items() if "very negative" in scheme.heads()["valence.full"]]
    assert having == ["cc-debt"]


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
