from pathlib import Path

import numpy as np
import pytest
import soundfile

from services.standalone.samples import SAMPLES
from services.standalone.samples.make_samples import CHANNELS, MANNERS, main
from streams.domain.records import Role


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_a_telephone_recording_of_two_channels(path: Path) -> None:
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.subtype) == (8000, 2, "ULAW")


def test_the_customers_differ_in_prosody_alone() -> None:
    assert MANNERS["even"].voice == MANNERS["cross"].voice


def test_the_agent_comes_first_as_the_default_order_says() -> None:
    assert CHANNELS == (Role.AGENT, Role.CUSTOMER)


@pytest.mark.needs("espeak-ng")
def test_the_script_remakes_the_samples(tmp_path: Path) -> None:
    main([str(tmp_path)])
    for path in SAMPLES:
        kept, _ = soundfile.read(path, dtype="int16")
        made, _ = soundfile.read(tmp_path / path.name, dtype="int16")
        assert kept.shape == made.shape, "another version of espeak-ng? The samples were made with 1.51"
        assert np.mean(kept == made) > 0.99  # another CPU may round a sample the other way
