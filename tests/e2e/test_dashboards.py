"""Every question of every dashboard is answered while calls go on, by a real Prometheus that scrapes the real stack."""

import asyncio
import time
from pathlib import Path

import pytest
from e2e.contact_centre import SAMPLES, Site
from e2e.prometheus import prometheus

from ops.dashboards.__main__ import BOARDS
from ops.dashboards.ask import Period, ask
from ops.dashboards.draw import draw

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.needs("prometheus")]

EXEMPT = {"GPU memory"}  #: there is none on this machine
PNG = b"\x89PNG\r\n"
CALM, ANGRY = SAMPLES / "calm.wav", SAMPLES / "angry.wav"


async def test_every_panel_has_data_and_no_alert_fires_while_calls_go_on(site: Site, tmp_path: Path) -> None:
    with prometheus(site.stack, tmp_path / "prometheus") as address:
        began = time.time()
        told = [site.told(sample) for sample in (ANGRY, CALM, ANGRY)]
        told.append(site.told(CALM, site.started(consents=False)))
        await asyncio.gather(*(site.publish(records, speed=3) for records in told))
        await site.drained()
        await asyncio.sleep(3)
        period = Period(began, time.time())
        empty = {
            (board.title, panel.title, expression)
            for board in BOARDS
            for panel in board.panels
            for expression in panel.queries.values()
            if panel.title not in EXEMPT and not await asyncio.to_thread(ask, address, expression, period)
        }
        firing = await asyncio.to_thread(ask, address, 'ALERTS{alertstate="firing"}', period)
        unfed = await asyncio.to_thread(ask, address, "undertone_gpu_bytes", period)
        for board in BOARDS:
            figure = await asyncio.to_thread(draw, board, address, period)
            figure.savefig(tmp_path / f"{board.name}.png", dpi=100)
    assert (empty, unfed) == (set(), [])  # what nothing feeds would have been found
    assert [series.labels["alertname"] for series in firing] == []
    assert all((tmp_path / f"{board.name}.png").read_bytes().startswith(PNG) for board in BOARDS)
