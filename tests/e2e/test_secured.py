"""The whole stream on a broker that denies by default: what comes out, and what a change of all that is secret does."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka.errors import KafkaConnectionError
from e2e.contact_centre import ESCALATED, LABELS, SAMPLES, Site, assert_same

from ops.chaos import rotation
from ops.chaos import site as chaos
from ops.chaos.calls import Mix
from ops.chaos.oracle import bundled
from ops.chaos.rows import Row
from ops.chaos.run import run
from services import cli
from services.emotion.bundle import load_bundle
from services.inference.settings import InferenceSettings
from services.standalone.stack import Stack
from streams.kafka.cloudevents import decode_escalation
from streams.kafka.connection import connection
from streams.kafka.producer import KafkaSender
from streams.kafka.publish import subscribe
from streams.settings import Settings
from streams.topics import ESCALATIONS

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: The short form of row 26: everything is changed once.
ROTATED = Row(
    26,
    "passwords, certificates and their authority changed",
    rotation.rotate,
    mixes=(Mix(media_s=(14, 24)),),
    calls=24,
    lanes=4,
    speed=2.5,
    most_rounds=1,
    real_bundle=True,
    secured=True,
)
SEED = 1


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def secured(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[chaos.Site]:
    async with chaos.running_site(tmp_path_factory.mktemp("secured"), real_bundle=True, secured=True) as secured:
        yield secured


@asynccontextmanager
async def alone(secured: chaos.Site, side: str) -> AsyncIterator[Site]:
    """The stages of one side, which all prove who they are by one mechanism; the others are stopped meanwhile."""
    others = [name for name in secured.workers if not name.endswith(f"-{side}")]
    secured.supervisor.stop(others)
    try:
        yield Site(Stack(secured.folder, secured.publishing, secured.probes, "", secured.supervisor))
    finally:
        for name in others:
            secured.supervisor.add(secured.programs[name])
    await secured.ready()


async def outcome(site: Site, recording: Path) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """The label rows and the escalations of a call."""
    call = await site.publish(site.told(recording))
    await site.settled(call)
    return site.rows(LABELS, call), site.rows(ESCALATED, call)


@pytest.mark.parametrize("side", chaos.SIDES)
async def test_with_security_on_the_samples_get_the_labels_and_the_escalation_that_they_get_without(
    secured: chaos.Site, site: Site, side: str
) -> None:
    follower = Settings.read(secured.told("subscriber", side))
    async with alone(secured, side) as behind, subscribe(follower, ESCALATIONS.name, decode_escalation) as told:
        for name, count in (("calm.wav", 0), ("angry.wav", 1)):
            labels, escalations = await outcome(behind, SAMPLES / name)
            labels_without, escalations_without = await outcome(site, SAMPLES / name)
            assert_same(labels, labels_without)
            assert_same(escalations, escalations_without)
            assert len(escalations) == count
        async with asyncio.timeout(60):
            assert (await anext(told)).rule == escalations[0]["rule"]


async def test_a_trial_needs_no_more_than_its_user_may(
    secured: chaos.Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in secured.told("trial", "a").items():
        monkeypatch.setenv(name, value)
    assert await asyncio.to_thread(cli.run, ["trial", "--wait", "60"]) == 0
    said = capsys.readouterr().out
    assert "Labels: " in said
    assert "rows deleted" in said


async def test_while_all_that_is_secret_changes_nothing_is_lost_and_nothing_comes_twice(
    secured: chaos.Site, tmp_path: Path
) -> None:
    old = [kept(Settings.read(secured.told("relay", side)), tmp_path) for side in chaos.SIDES]
    found = await run(secured, ROTATED, SEED, bundled(load_bundle(InferenceSettings().bundle)))
    assert dict(found.findings.broken) == {}
    assert (found.findings.lost, found.findings.doubled) == (0, 0)
    assert found.findings.effects > 30
    assert {fault.what for fault in found.faults} >= {f"SIGTERM {worker}" for worker in secured.workers}
    assert set(found.reasons) == {"exited with status 0"}  # by SIGTERM alone: who is refused waits
    for side, settings in zip(chaos.SIDES, old, strict=True):
        with pytest.raises(KafkaConnectionError):
            await KafkaSender(connection(settings)).start()
        async with KafkaSender(connection(Settings.read(secured.told("relay", side)))):
            pass


def kept(settings: Settings, folder: Path) -> Settings:
    """The settings with what proves who one is now; the authorities are those that are trusted when they are used."""
    if settings.kafka_cert is None or settings.kafka_key is None:
        return settings  # its password was read
    copies = [Path(shutil.copy(file, folder)) for file in (settings.kafka_cert, settings.kafka_key)]
    return settings.model_copy(update={"kafka_cert": copies[0], "kafka_key": copies[1]})
