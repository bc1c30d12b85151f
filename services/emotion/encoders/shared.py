"""Encoders that several features read: the weights are held once, to the deepest layer that any of them reads."""

from collections.abc import Callable, Hashable
from threading import RLock
from weakref import WeakSet, finalize, ref

from services.emotion.encoders.encoder import Encoder


class Reader:
    """What one feature has of an encoder. When the last reader goes, so does the encoder."""

    def __init__(self, key: Hashable, encoder: Encoder) -> None:
        self.key, self.encoder = key, encoder
        self.last = encoder.whole

    def exit_at(self, layer: int) -> None:
        """Read nothing after hidden layer `layer`; what no other reader reads is forgotten."""
        self.last = layer
        _forget(ref(self.encoder), self.key)


_lock = RLock()  #: a reader may go while its thread opens another
_readers: WeakSet[Reader] = WeakSet()


def reader(key: Hashable, opened: Callable[[], Encoder]) -> Reader:
    """A reader of all layers of the encoder of this key: the one that others read, or else the one opened.

    It is opened too where the others' has forgotten layers, for these.
    """
    with _lock:
        others = _of(key)
        encoder = others[0].encoder if others else opened()
        _readers.add(found := Reader(key, encoder))
        finalize(found, _forget, ref(encoder), key).atexit = False
        if encoder.last < encoder.whole:
            encoder.deepen(opened())
        return found


def _of(key: Hashable) -> list[Reader]:
    return [each for each in _readers if each.key == key]


def _forget(of: "ref[Encoder]", key: Hashable) -> None:
    """The layers that no reader reads, if there is one left."""
    with _lock:
        encoder, readers = of(), _of(key)
        if encoder is not None and readers:
            encoder.exit_at(max(reader.last for reader in readers))
