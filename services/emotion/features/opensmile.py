"""eGeMAPSv02 (Eyben et al., IEEE TAFFC 7, 2016) and ComParE 2016 (Schuller et al., Interspeech 2016), by openSMILE.

openSMILE is an extra, never installed by default: audEERING's licence forbids commercial use.
"""

from collections.abc import Sequence

import numpy as np

from services.emotion.features.feature import Array, FeatureError

LICENCE = "openSMILE: audEERING's research licence forbids commercial use, running a contact centre included"
SETS = {"egemaps": ("eGeMAPSv02", 88), "compare16": ("ComParE_2016", 6373)}
RATE = 16_000
SHORTEST = RATE // 10  #: under 0.1 s openSMILE has no frames for every contour


class OpenSmile:
    """One of openSMILE's sets of functionals as a feature."""

    rate, layers, licence = RATE, 1, LICENCE

    def __init__(self, name: str) -> None:
        import opensmile  # noqa: PLC0415 - the registry says what is known of it without it

        chosen, self.values = SETS[name]
        self.name, self.version = name, f"{chosen} {opensmile.__version__}"
        level = opensmile.FeatureLevel.Functionals
        self._smile = opensmile.Smile(opensmile.FeatureSet[chosen], level, sampling_rate=RATE, num_workers=1)

    def vectors(self, windows: Sequence[Array]) -> Array:
        """(n, 1, values)."""
        if any(len(window) < SHORTEST for window in windows):
            raise FeatureError(f"{self.name}: a window under 0.1 s is too short for openSMILE; leave it out")
        rows = [self._smile.process_signal(window, RATE).to_numpy(np.float32) for window in windows]
        return np.array(rows, np.float32).reshape(-1, 1, self.values)
