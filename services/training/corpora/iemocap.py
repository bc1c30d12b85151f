"""The IEMOCAP release as it is unpacked: `SessionN/dialog/EmoEvaluation/*.txt` and `SessionN/sentences/wav/`.

C. Busso et al., *IEMOCAP: interactive emotional dyadic motion capture database*, LREV 42, 2008.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from services.training.corpora.corpus import EXPERTS, Annotation, Corpus, Cut, Segment
from services.training.corpora.recordings import Found, Header, found, read_headers

#: The release's codes of what most annotators agreed on.
AGREED = {
    "ang": "anger",
    "dis": "disgust",
    "exc": "excited",
    "fea": "fear",
    "fru": "frustration",
    "hap": "happiness",
    "neu": "neutral",
    "oth": "other",
    "sad": "sadness",
    "sur": "surprise",
    "xxx": "no agreement",
}
SOURCE = "IEMOCAP, SAIL, University of Southern California; its licence is for research"

_TURN = re.compile(r"\[[\d.]+ - [\d.]+\]\t(Ses(\d\d)([FM])_((?:impro|script)\w+)_([FM])\w*)\t(\w+)\t\[.*\]")
_CATEGORIES = re.compile(r"C-(E\d+):\t([^()]*)")
_AFFECT = re.compile(r"A-(E\d+):\tval\s+(\d);\s*act\s+(\d);")


@dataclass(slots=True)
class _Turn:
    """An utterance and what each annotator said of it."""

    place: str
    session: str
    dialog: str  #: Ses01F_impro01
    id: str
    number: str  #: 01
    scene: str  #: impro01
    sex: str
    agreed: str
    said: defaultdict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))

    @property
    def recording(self) -> str:
        """Path below the release."""
        return f"{self.session}/sentences/wav/{self.dialog}/{self.id}.wav"


def read_iemocap(release: Path) -> Found:
    """The release's utterances: its sessions are the folds, its agreement is the verdict, `excited` is kept apart.

    Annotators who gave one category and a valence or arousal from 1 to 5 are kept, the actors' words on themselves are
    not. Scripted utterances have their script as `text`, improvised ones none.
    """
    problems: list[str] = []
    tables = sorted(release.glob("Session*/dialog/EmoEvaluation/[!.]*.txt"))
    if not tables:
        problems.append(f"{release}: no Session*/dialog/EmoEvaluation/*.txt; name the folder that holds Session1")
    turns = [turn for table in tables for turn in _turns(table, problems)]
    headers = read_headers(release, (turn.recording for turn in turns), problems)
    segments = tuple(_segment(turn, headers.get(turn.recording)) for turn in turns)
    said = (Annotation(turn.id, name, labels) for turn in turns for name, labels in sorted(turn.said.items()))
    verdicts = tuple(Annotation(turn.id, EXPERTS, {"category": turn.agreed}) for turn in turns)
    corpus = Corpus("iemocap", release, segments, tuple(said), Cut.BY_CORPUS, verdicts, SOURCE)
    return found(corpus, headers, problems)


def _turns(table: Path, problems: list[str]) -> Iterator[_Turn]:
    turn: _Turn | None = None
    for number, line in enumerate(table.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if line.startswith("["):
            if turn is not None:
                yield turn
            turn = _turn(line, table, f"{table}, line {number}", problems)
        elif turn is not None:
            _annotate(turn, line)
    if turn is not None:
        yield turn


def _turn(line: str, table: Path, place: str, problems: list[str]) -> _Turn | None:
    matched = _TURN.fullmatch(line.strip())
    if matched is None or matched[6] not in AGREED:
        problems.append(f"{place}: no utterance with one of {', '.join(AGREED)}; unpack the release again")
        return None
    session = table.parents[2].name
    dialog = matched[1].rpartition("_")[0]
    return _Turn(place, session, dialog, matched[1], matched[2], matched[4], matched[5].lower(), AGREED[matched[6]])


def _annotate(turn: _Turn, line: str) -> None:
    if matched := _CATEGORIES.match(line):
        labels = [label.strip().lower() for label in matched[2].split(";") if label.strip()]
        if len(labels) == 1 and labels[0] in AGREED.values():
            turn.said[matched[1]]["category"] = labels[0]
    elif matched := _AFFECT.match(line):
        turn.said[matched[1]] |= {"valence": matched[2], "arousal": matched[3]}


def _segment(turn: _Turn, header: Header | None) -> Segment:
    return Segment(
        id=turn.id,
        recording=turn.recording,
        start_ms=0,
        end_ms=header.duration_ms if header else 0,
        speaker=f"{turn.number}{turn.sex}",
        conversation=turn.dialog,
        session=turn.session,
        sex=turn.sex,
        language="en",
        text=turn.scene if turn.scene.startswith("script") else "",
    )
