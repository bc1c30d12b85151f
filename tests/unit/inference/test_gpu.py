import pytest

from services.inference.gpu import gpu_memory


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
