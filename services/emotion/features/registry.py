"""Every feature by its name."""

from services.emotion.features.feature import Feature, FeatureError
from services.emotion.features.functionals import Functionals

FEATURES = {Functionals.name: Functionals}


def open_feature(name: str) -> Feature:
    """The feature of this name. Raises FeatureError."""
    if name not in FEATURES:
        raise FeatureError(f"feature {name!r}: there is none of this name; choose one of {', '.join(FEATURES)}")
    return FEATURES[name]()
