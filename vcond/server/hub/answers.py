"""What the hub answers when it does not do what is asked, in the words of vcon-server: a JSON object of ``detail``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web

from vcond.base import metrics
from vcond.base.errors import StorageError
from vcond.records.holds import HeldError
from vcond.server.hub.memory import NoRoomError
from vcond.vcon.received import NotTakenError, Problem

log = structlog.get_logger()

NOT_FOUND: Final = "vCon not found"
SOON: Final = 5
"""Seconds after which it is worth to ask again."""


class NoError(Exception):
    """An answer that is no success; counted by ``reason``."""

    def __init__(self, status: int, detail: Any, reason: str, *, wait: int = 0) -> None:
        super().__init__(str(detail))
        self.status, self.detail, self.reason, self.wait = status, detail, reason, wait


def missing(name: str) -> NoError:
    """A query without what it must have."""
    return NoError(422, problems((Problem("missing", ("query", name), "Field required"),)), "invalid")


def wrong(name: str, why: str) -> NoError:
    """A query whose value makes no sense."""
    return NoError(422, problems((Problem("value_error", ("query", name), why),)), "invalid")


def problems(found: tuple[Problem, ...]) -> list[dict[str, Any]]:
    """As FastAPI tells them."""
    return [{"type": one.type, "loc": list(one.loc), "msg": one.msg, "input": None} for one in found]


@web.middleware
async def answers(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Whatever goes wrong is an answer in JSON with the right status; a mistake of ours is in the log."""
    try:
        return await handler(request)
    except ConnectionError:  # who asked is gone
        raise
    except web.RequestPayloadError:
        no = NoError(400, "There was an error parsing the body", "invalid")
    except web.HTTPException as why:
        no = NoError(why.status, why.reason, "request")
    except NoError as why:
        no = why
    except NotTakenError as why:
        no = NoError(422, problems(why.problems), "invalid")
    except NoRoomError:
        no = NoError(503, "too many large vCons at once", "memory", wait=SOON)
    except HeldError as why:
        no = NoError(409, str(why), "held")
    except StorageError as why:
        no = NoError(503, str(why), "storage", wait=SOON)
    except Exception:
        log.exception("internal error in the hub; please report it")
        no = NoError(500, "Internal Server Error", "internal")
    metrics.hub_refused_total.labels(no.reason).inc()
    more = {"Retry-After": str(no.wait)} if no.wait else {}
    return answer(no.status, {"detail": no.detail}, more)


def answer(status: int, value: Any, headers: dict[str, str] | None = None) -> web.Response:
    """JSON."""
    return web.Response(
        status=status, body=msgspec.json.encode(value), content_type="application/json", headers=headers
    )
