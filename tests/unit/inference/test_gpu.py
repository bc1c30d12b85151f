import pytest

from services.inference.gpu import gpu_memory, is_lost


class Cuda:
    @staticmethod
    def mem_get_info(device: str) -> tuple[int, int]:
        assert device == "cuda:1"
        return 30, 100


class Torch:
    cuda = Cuda


def test_what_a_gpu_has_is_free_or_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.inference.gpu.import_module", lambda _: Torch)
    assert gpu_memory("cuda:1") == {"free": 30, "used": 70}


def test_without_a_gpu_there_is_nothing_to_show() -> None:
    assert gpu_memory("cpu") == {}


def test_a_gpu_that_fails_at_its_work_is_lost_and_one_without_memory_is_not() -> None:
    torch = pytest.importorskip("torch")
    assert is_lost(torch.AcceleratorError("an illegal memory access was encountered"))
    assert not is_lost(torch.OutOfMemoryError())
    assert not is_lost(ValueError())
