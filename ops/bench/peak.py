"""Bytes that tensors hold at most, counted operation by operation: also where nothing is computed (device meta)."""

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Peak(TorchDispatchMode):
    """Counts what is made while it is entered, and no view of the weights."""

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known = {each.untyped_storage()._cdata for each in weights}  # noqa: SLF001 - as below

    def __torch_dispatch__(  # torch's own signature
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """Run the operation and count what came out of it."""
        found = func(*args, **(kwargs or {}))
        for each in tree_leaves(found):
            if isinstance(each, Tensor):
                self._count(each)
        return found

    def _count(self, made: Tensor) -> None:
        storage = made.untyped_storage()
        key, size = storage._cdata, storage.nbytes()  # noqa: SLF001 - views share it and nothing else tells
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size
