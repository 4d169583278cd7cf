"""The adapter: a recording server that clients call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import ClassVar, Final

from vcond.media.rtp.ports import RtpPorts
from vcond.sdk import decoding
from vcond.sdk.contract import AdapterHost, ConfigError, Finding, how_to_install
from vcond.sdk.tls import Served
from vcond.sip.server import SipServer
from vcond.sip.settings import Settings
from vcond_siprec import libsrtp
from vcond_siprec.body import METADATA, SDP
from vcond_siprec.check import check
from vcond_siprec.config import SiprecConfig
from vcond_siprec.media import MediaPorts
from vcond_siprec.recorder import Recorder
from vcond_siprec.recordings import Recordings
from vcond_siprec.restart import take_up

TICK: Final = 0.5
"""Seconds between two looks at what time has done."""
AGAIN: Final = 1.0
SELDOM: Final = 30.0
"""Seconds until an address that is in use is tried again: the first time, and at most."""


class SiprecAdapter:
    """Listens for recording clients (RFC 7866) as long as it runs."""

    name: ClassVar[str] = "siprec"
    Config: ClassVar[type[SiprecConfig]] = SiprecConfig

    def __init__(self, config: SiprecConfig) -> None:
        self._config = config

    async def run(self, host: AdapterHost) -> None:
        """Serve until cancelled. What goes on then is written down: see ``restart``."""
        await decoding.load()
        if lacking := await asyncio.to_thread(libsrtp.lacking):
            host.log.warning(
                "audio that is encrypted with these suites will be refused: the installed pylibsrtp does not give them",
                suites=lacking,
                hint=f"{how_to_install('siprec')}; or let clients offer other suites",
            )
        pause = AGAIN
        while True:
            try:
                await self._serve(host)
            except ConfigError as why:  # an address or all ports in use: by somebody who may let them go
                host.attached(False, str(why))
                host.log.error(  # noqa: TRY400 - the operator's to mend
                    "cannot listen for recording clients; retrying", error=str(why), hint="run: vcond check"
                )
                await asyncio.sleep(pause)
                pause = min(2 * pause, SELDOM)

    async def check(self) -> AsyncIterator[Finding]:
        """What recording clients are to be told, and what is wrong with it."""
        for finding in check(self._config):
            yield finding

    async def _serve(self, host: AdapterHost) -> None:
        """Raises ConfigError when an address cannot be listened on."""
        config = self._config
        served = (
            Served(config.certificate, config.key, config.client_ca, "adapters.siprec") if config.certificate else None
        )
        recordings = Recordings(host, config.join, config.join_wait)
        async with RtpPorts(host.clock, bind=config.media_address, ports=config.ports) as ports:
            media = MediaPorts(host, ports, reports=config.reports)
            recorder = Recorder(host, config, media, recordings)
            try:
                async with SipServer(self._settings(), recorder, host.clock) as server:
                    lost = await take_up(host, server, recorder)
                    await media.open()
                    told = []
                    for transport, at, port in config.listeners():
                        context = served.context if served is not None and transport == "tls" else None
                        address = await server.listen(transport, at, port, context)
                        told.append(f"{transport} {address[0]}:{address[1]}")
                    for dialog in lost:
                        server.hang_up(dialog)
                    host.attached(True, f"waiting for recording clients at {', '.join(told)}")
                    while True:
                        await asyncio.sleep(TICK)
                        for dialog in recorder.tick(host.clock.now()):
                            server.hang_up(dialog)
                        recordings.tick(host.clock.now())
            finally:
                media.close()

    def _settings(self) -> Settings:
        config = self._config
        return Settings(
            extensions=frozenset({"siprec"}),
            accept=(SDP, *sorted(METADATA)),
            contact_params=";+sip.srs",
            advertise=config.advertise,
            allowed=tuple(config.allow),
            dialogs=config.max_sessions,
            users=config.users,
            realm=config.realm,
            md5=config.md5,
        )
