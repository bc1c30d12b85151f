"""What the GPU has left, for those who watch it."""

from importlib import import_module


def gpu_memory(device: str) -> dict[str, int]:
    """Bytes of the device by `free` and `used`, whoever uses them; empty where it is no GPU."""
    if not device.startswith("cuda"):
        return {}
    free, total = import_module("torch").cuda.mem_get_info(device)
    return {"free": free, "used": total - free}
