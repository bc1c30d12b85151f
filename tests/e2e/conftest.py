"""The whole stack as a person runs it, one for all tests of this folder."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from e2e.contact_centre import Site

from services.standalone.stack import running_stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with running_stack(tmp_path_factory.mktemp("stack"), demo_bundle=True, partitions=2) as stack:
        yield Site(stack)
