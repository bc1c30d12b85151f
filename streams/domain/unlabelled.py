"""Why a window has no class, or one to be taken with care: a closed list, stored with its label row."""

from enum import StrEnum


class Unlabelled(StrEnum):
    """The reason beside an outcome that is not `labelled`. `distance` also stands beside one that is: a remark."""

    TOO_SHORT = "too_short"  #: abstained: shorter than the bundle was made for
    TOO_LONG = "too_long"  #: abstained: longer than the bundle was made for
    SILENT = "silent"  #: abstained: no signal once a constant offset is taken away
    CLIPPED = "clipped"  #: abstained: too many samples at full scale
    UNVOICED = "unvoiced"  #: abstained: no voiced speech to judge
    BANDWIDTH = "bandwidth"  #: abstained: it came through a narrower band than the bundle was trained on
    DISTANCE = "distance"  #: abstained, or labelled with this remark: unlike anything that the bundle was trained on
    NOT_FINITE = "not_finite"  #: failed: the features or scores are no numbers
    MODEL_ERROR = "model_error"  #: failed: the model raised at this very window
    REFUSED = "refused"  #: failed: the inference service refuses this very window
    OTHER_SCHEME = "other_scheme"  #: failed: the bundle's heads are not those of the use case's scheme
    UNCALIBRATED = (
        "uncalibrated"  #: failed: a rule asks how likely a class is, and the bundle does not tell of its head
    )
    OTHER_BUNDLE = "other_bundle"  #: failed: the inference service serves another bundle than the use case names
