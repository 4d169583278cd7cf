"""`vcond check --loopback` through a real Janus."""

from __future__ import annotations

from pathlib import Path

import janus_peer
import pytest
from daemon_kit import House

from vcond_webrtc.janus.client import Janus
from vcond_webrtc.janus.config import JanusConfig

pytestmark = pytest.mark.peer
ADAPTER = f"""
[adapters.janus]
url = "{{}}"
api_secret = "{janus_peer.API_SECRET}"
admin_key = "{janus_peer.ADMIN_KEY}"
secrets = {{{{ "{janus_peer.ROOM}" = "{janus_peer.ROOM_SECRET}" }}}}
pins = {{{{ "*" = "{janus_peer.ROOM_PIN}" }}}}
"""


async def test_a_room_of_its_own_is_green_and_gone(tmp_path: Path):
    async with janus_peer.running() as janus:
        house = House(tmp_path, extra=ADAPTER.format(janus.url))
        house.write()
        code, printed = await house.command("check", "--loopback")
        lines = [line for line in printed.splitlines() if "loopback janus" in line]
        assert [line.split()[0] for line in lines] == ["ok"] * 4, printed
        assert "audio of 2 parties arrived completely" in lines[2]
        assert code < 2
        keys = {"api_secret": janus_peer.API_SECRET, "admin_key": janus_peer.ADMIN_KEY}
        async with Janus(JanusConfig(url=janus.url, **keys)) as ask:
            assert [room.room for room in await ask.rooms()] == [janus_peer.ROOM]
