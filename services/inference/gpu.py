"""What the GPU has left, for those who watch it, and whether it is lost."""

from importlib import import_module


def gpu_memory(device: str) -> dict[str, int]:
    """Bytes of the device by `free` and `used`, whoever uses them; empty where it is no GPU."""
    if not device.startswith("cuda"):
        return {}
    free, total = import_module("torch").cuda.mem_get_info(device)
    return {"free": free, "used": total - free}


def is_lost(error: BaseException) -> bool:
    """Whether the GPU failed in the middle of its work: this process cannot use it again, another one may."""
    return any(kind.__name__ == "AcceleratorError" for kind in type(error).__mro__)  # torch is not everywhere
