"""All of the API of one daemon, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from vcond.base.time import SECOND, Instant, rfc3339
from vcond.capture.levels import Levels
from vcond.capture.live_feed import LiveFeed
from vcond.config.schema import ApiConfig
from vcond.delivery import Outbox
from vcond.server.api.access import AccessRecord, Telling
from vcond.server.api.app import PREFIX, Api
from vcond.server.api.calls import Calls, Doors
from vcond.server.api.erasures import Erasures
from vcond.server.api.events import Events
from vcond.server.api.guard import LINK, Guard, Who
from vcond.server.api.records import Records
from vcond.server.api.search import Index, Search, WordIndex
from vcond.server.api.server import ApiServer
from vcond.server.api.stored import Stored
from vcond.server.api.tokens import Tokens, roles_of
from vcond.server.doors import Door
from vcond.storage.files import Files


class ApiParts:
    """``reads`` and ``writes`` are for the admin socket: tokens are made and revoked there only."""

    def __init__(
        self, config: ApiConfig, *, doors: Doors, feed: LiveFeed, levels: Levels, outbox: Outbox, files: Files, state_dir: Path,
        now: Callable[[], int], tell: Telling, index: Index, words: WordIndex, sign: Callable[[bytes], bytes] | None, hub: bool,
    ) -> None:  # fmt: skip
        """``now``: nanoseconds since the epoch; ``tell``: the ledger; ``index``, ``words``: who is in which vCon, and which words; ``sign``: as vCons are signed;
        ``hub``: this is one.

        Raises ConfigError for a certificate that cannot be used.
        """
        self._tokens = Tokens(state_dir / "api-tokens.json", files, lambda: now() / SECOND)
        self.access = AccessRecord(state_dir / "access.jsonl", files, now, tell)
        guard = self._guard = Guard(self._tokens, lambda: now() / SECOND, config.public_url)
        self._events = Events(feed, config.max_watchers, levels)
        calls = Calls(doors, self._events, self.access, guard, hub=hub)
        stored = Stored(outbox, files)
        search = Search(outbox, stored, index, words, self.access)
        records = Records(outbox, stored, self.access, guard, sign)
        self._api = Api([*calls.routes, *Erasures(doors, self.access).routes, *search.routes, *records.routes], guard)
        self.server = ApiServer(config, self._api)
        self.reads: dict[str, Door] = {"tokens": self._list}
        self.writes: dict[str, Door] = {
            "token-create": self._create,
            "token-revoke": self._revoke,
            "page-link": self._link,
        }

    def mount(self, app: web.Application) -> None:
        """Serve it on the admin socket, too."""
        app.add_subapp(PREFIX, self._api.app(self._api.guard.local))

    async def start(self) -> None:
        """Read the tokens, and serve."""
        await asyncio.to_thread(self._tokens.load)
        await self.server.start()

    async def close(self) -> None:
        """Stop serving; who follows events is told the end first."""
        await self._events.close()
        await self.server.close()
        self.access.close()

    @property
    def base_url(self) -> str:
        """Where it answers; empty when it does not."""
        return self.server.base_url

    @property
    def trouble(self) -> str:
        """What keeps it from its work; empty when all is well. No call is lost by it."""
        return self.server.trouble or self._tokens.trouble

    async def _list(self, _: dict[str, str]) -> Any:
        return [
            {"id": one.id, "name": one.name, "roles": one.all_roles, "created": _date(one.created), "expires": _date(one.expires),
             "good": self._tokens.get(one.id) is not None}
            for one in self._tokens.list()
        ]  # fmt: skip

    async def _create(self, query: dict[str, str]) -> Any:
        days = query.get("days", "")
        if not days.isdecimal() or len(days) > 5:
            raise ValueError("days must be a whole number")
        roles = query.get("roles", "").split(",")
        token = await asyncio.to_thread(self._tokens.create, query.get("who", ""), roles, int(days))
        return {"token": token, "url": self.server.base_url}

    async def _link(self, query: dict[str, str]) -> Any:
        """Where a browser is logged in, once, with some roles."""
        roles = roles_of(query.get("roles", "").split(","))
        if not self.base_url:
            raise LookupError(f"there is no page: {self.server.trouble or 'set api.listen, then restart vcond'}")
        return {"url": f"{self.base_url}/login?code={self._guard.link(Who('vcond page', roles))}", "seconds": LINK}

    async def _revoke(self, query: dict[str, str]) -> Any:
        token = await asyncio.to_thread(self._tokens.revoke, query.get("id", ""))
        return {"id": token.id, "name": token.name}


def _date(seconds: int) -> str:
    return rfc3339(Instant(seconds * SECOND))
