import os
import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from streams.speech.products import _abreast, product

#: A product of each shape that voice activity has: (inputs, outputs, rows).
SHAPES = [(128, 130, 128), (195, 128, 128), (384, 64, 64), (128, 64, 32), (64, 128, 32), (256, 512, 32), (128, 1, 32)]
NEIGHBOURS = "tests/unit/speech/test_activity.py::test_neighbours_change_no_bit_of_a_result"


@pytest.mark.parametrize(("inputs", "outputs", "rows"), SHAPES)
def test_a_row_comes_out_the_same_wherever_it_stands_and_beside_however_many(
    inputs: int, outputs: int, rows: int
) -> None:
    rng = np.random.default_rng(1)
    weights, row = rng.standard_normal((inputs, outputs), np.float32), rng.standard_normal(inputs, np.float32)
    with threadpool_limits(1, user_api="blas"):
        multiply = product(weights, 4 * rows, rows)
        alone = multiply(np.tile(row, (rows, 1)))[0]
        for count, place in [
            *((rows, place) for place in range(rows)),
            *((4 * rows, 5 * place) for place in range(24)),
        ]:
            several = rng.standard_normal((count, inputs), np.float32)
            several[place] = row
            assert (multiply(several)[place] == alone).all()


@pytest.mark.parametrize(("inputs", "outputs", "rows"), SHAPES)
def test_rows_abreast_give_the_product(inputs: int, outputs: int, rows: int) -> None:
    rng = np.random.default_rng(2)
    weights, several = rng.standard_normal((inputs, outputs), np.float32), rng.standard_normal((rows, inputs))
    found = _abreast(weights)(several.astype(np.float32))
    assert found == pytest.approx(several @ weights, abs=1e-3)


@pytest.mark.parametrize("kernel", ["Haswell", "Sandybridge"])
def test_neighbours_change_no_bit_on_another_processors_kernels(kernel: str) -> None:
    """OpenBLAS passes by the name of a processor of another make."""
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", NEIGHBOURS]
    environment = {**os.environ, "OPENBLAS_CORETYPE": kernel}
    ended = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-2000:]
