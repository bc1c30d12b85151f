"""The two calls that the demo plays where no recording is given; `make_samples.py` made them.

They prove that the parts fit together, nothing about real voices.
"""

from pathlib import Path

CALM = Path(__file__).with_name("calm.wav")
ANGRY = Path(__file__).with_name("angry.wav")
SAMPLES = (CALM, ANGRY)
