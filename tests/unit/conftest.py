"""Unit tests reach nothing: no sockets."""

from collections.abc import Iterator

import pytest
import pytest_socket


@pytest.fixture(autouse=True)
def _no_sockets() -> Iterator[None]:
    pytest_socket.disable_socket(allow_unix_socket=True)  # asyncio wakes its loop through a pair of them
    yield
    pytest_socket.enable_socket()
