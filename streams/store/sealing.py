"""A call's state at rest: AES-256-GCM under a key of its own, derived from its epoch's key.

Layout: version (1 byte), length of the epoch id (1 byte), epoch id, nonce (12 bytes), ciphertext with its tag.
One key a call, because a state is sealed every second: a key for a whole epoch would come near the 2**32 messages
that random nonces allow. Once an epoch's key is destroyed, its states are unreadable wherever a backup holds them.
"""

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from streams.domain.privacy import Epoch

_VERSION = 1
_NONCE_BYTES = 12


class SealError(ValueError):
    """A sealed state cannot be opened: its epoch was destroyed, or it is not what was sealed for this call."""


def seal(epoch: Epoch, call: str, state: bytes) -> bytes:
    """Encrypt the state of the call with pseudonym `call`."""
    header = bytes([_VERSION, len(epoch.id)]) + epoch.id.encode()
    nonce = os.urandom(_NONCE_BYTES)
    return header + nonce + _cipher(epoch, call).encrypt(nonce, state, header + call.encode())


def unseal(epochs: Sequence[Epoch], call: str, sealed: bytes) -> bytes:
    """Decrypt what `seal` made for the same call; raises SealError."""
    if len(sealed) < 2 or sealed[0] != _VERSION:
        raise SealError("not a sealed state of a known version")
    header, rest = sealed[: 2 + sealed[1]], sealed[2 + sealed[1] :]
    epoch = next((epoch for epoch in epochs if epoch.id.encode() == header[2:]), None)
    if epoch is None:
        raise SealError("sealed under an epoch that is not in the epoch file: was its key destroyed?")
    nonce, ciphertext = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
    try:
        return _cipher(epoch, call).decrypt(nonce, ciphertext, header + call.encode())
    except (InvalidTag, ValueError):
        raise SealError("sealed for another call, under another key, or changed since") from None


def _cipher(epoch: Epoch, call: str) -> AESGCM:
    info = b"undertone/call-state/1:" + call.encode()
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(epoch.key))
