"""The whole stack as a person runs it, one for all tests of this folder, and an eye on whom it speaks to."""

import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from e2e.collector import Collector
from e2e.collector import collector as listening
from e2e.contact_centre import Site
from e2e.sockets import Sockets

from services.standalone.stack import running_stack


@pytest.fixture(scope="session")
def sockets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sockets]:
    """Watches every process that is started from now on."""
    sockets = Sockets(tmp_path_factory.mktemp("sockets") / "asked")
    thread = threading.Thread(target=sockets.watch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).with_name("watched")), prepend=":")
        patch.setenv("WATCHED_SOCKETS", str(sockets.file))
        thread.start()
        yield sockets
        sockets.stopped.set()
        thread.join()


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Takes the spans of publishers that trace; no trace that begins in the stack is kept."""
    with listening() as found:
        yield found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory, sockets: Sockets, collector: Collector) -> AsyncIterator[Site]:
    given = {"UNDERTONE_TRACES": collector.address, "UNDERTONE_TRACES_RATIO": "0"}
    folder = tmp_path_factory.mktemp("stack")
    async with running_stack(folder, demo_bundle=True, partitions=2, given=given) as stack:
        yield Site(stack)
    assert sockets.foreign() == set()
