"""An experiment as a file says it: which data, described how, judged by what."""

from pathlib import Path
from typing import Any

import msgspec
import yaml

from services.emotion.abstention import Band
from services.training.errors import TrainingError
from services.training.folds import FOLDS, Split
from services.training.intervals import RESAMPLES, SEED, Unit
from services.training.kinds import KINDS


class PlanError(TrainingError):
    """An experiment cannot be run as its file says. The message names the file, the place and the remedy."""


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the file: an unknown key is an error."""


class DataPlan(_Part, frozen=True):
    """A corpus under a scheme."""

    corpus: str  #: folder, below the experiment's file
    scheme: str  #: a built-in one, or a YAML file below the experiment's
    name: str = ""  #: as reports call it; else the folder's
    folds: Split | None = None  #: else the corpus's sessions where it has some, else conversations

    @property
    def called(self) -> str:
        """Its name."""
        return self.name or Path(self.corpus).name


class ModelPlan(_Part, frozen=True):
    """A model that a feature is computed with."""

    source: str  #: a folder or file below the experiment's file, or with `revision` the id of a model on the hub
    revision: str = ""
    sha256: str = ""


class FeaturePlan(_Part, frozen=True):
    """A feature that needs more than its name."""

    name: str
    models: tuple[ModelPlan, ...] = ()
    language: str = ""  #: what is spoken, for features that hear words
    called: str = ""  #: as reports call it; else its name


class Pair(_Part, frozen=True):
    """Learn on one, judge the other."""

    train: str
    test: str


class Plan(_Part, frozen=True):
    """The whole experiment: every feature with every head kind on every data set, in every band."""

    name: str
    data: tuple[DataPlan, ...]
    features: tuple[str | FeaturePlan, ...]
    heads: tuple[str, ...] = ("random", "majority", "svm")
    bands: tuple[Band, ...] = (Band.WIDE, Band.TELEPHONE)
    across: tuple[Pair, ...] = ()  #: cross-corpus
    number_of_folds: int = FOLDS  #: of conversations
    drawn: Unit = Unit.CONVERSATION  #: what the bootstrap draws
    resamples: int = RESAMPLES
    seed: int = SEED

    @property
    def described(self) -> dict[str, FeaturePlan]:
        """Each feature by what it is called."""
        every = [FeaturePlan(each) if isinstance(each, str) else each for each in self.features]
        return {each.called or each.name: each for each in every}


def read_plan(path: Path) -> Plan:
    """Read and check an experiment's file. PlanError with every problem of it."""
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error  # an OSError's own words name the path again
        raise PlanError(f"{path}: cannot be read ({reason}); give a YAML file in UTF-8") from error
    except yaml.YAMLError as error:
        raise PlanError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    return parse_plan(given, str(path))


def parse_plan(given: Any, place: str) -> Plan:  # noqa: ANN401 - as YAML has it
    """The plan that a YAML document says. PlanError with every problem of it."""
    try:
        plan = msgspec.convert(given, Plan)
    except msgspec.ValidationError as error:
        raise PlanError(f"{place}: {error}; correct it there") from error
    if problems := _problems(plan):
        raise PlanError("\n".join(f"{place}: {problem}" for problem in problems))
    return plan


def _problems(plan: Plan) -> list[str]:
    names = [data.called for data in plan.data]
    hears = any(KINDS[kind].hears for kind in plan.heads if kind in KINDS)
    unknown = {name for pair in plan.across for name in (pair.train, pair.test)} - set(names)
    found = [
        (not plan.data, "`data` is empty; name a corpus and a scheme"),
        (not plan.heads, "`heads` is empty; name one"),
        (hears and not (plan.features and plan.bands), "heads that hear need `features` and `bands`; name one of each"),
        (len(set(names)) < len(names), "two data sets have one name; give `name` to each"),
        (len(plan.described) < len(plan.features), "two features have one name; give `called` to each"),
        (bool(unknown), f"`across` names {', '.join(sorted(unknown))}, which `data` does not"),
        (any(pair.train == pair.test for pair in plan.across), "`across` learns and judges on one; folds do that"),
        (plan.number_of_folds < 2, "`number_of_folds` must be 2 or more"),
        (plan.resamples < 100, "`resamples` must be 100 or more: 95 % of fewer are no interval"),
    ]
    problems = [message for is_wrong, message in found if is_wrong]
    return problems + [
        f"no head kind {kind!r}; there are {', '.join(KINDS)}" for kind in plan.heads if kind not in KINDS
    ]
