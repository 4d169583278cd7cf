"""What an answer of a receiver means that is no conserver, and not the documented success. Pure.

One answer judges the vCon: 422 with a JSON object, by which the receiver's own program says what is wrong with it.
All others judge the way to it, and are set right by somebody: no vCon is given up for them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec
from yarl import URL

from vcond.delivery.sinks.answers import (
    INVALID,
    LATER,
    SIZE_LIMITS,
    WHOLE_SINK,
    elsewhere,
    place,
    retry_after,
    speaker,
)
from vcond.delivery.sinks.http_client import Answer
from vcond.sdk.sink import Refused, Retry, bounded

FULL: Final = 507
"""RFC 4918 section 11.5: no room."""
AGAIN: Final = "vcond retries by itself, or at once with: vcond outbox retry"
_LATER: Final = {
    409: "the receiver is still busy with this vCon, or has another one under its `webhook-id`: look at its log",
    FULL: "make room at the receiver",
}
_HELD: Final = {
    401: "the receiver refuses `{secret}`: correct it",
    403: "the receiver refuses `{secret}`, or to write there: correct `{secret}`, `url`, or its permissions",
    404: "nothing at the receiver is at this address: correct `url`, or make the folder there",
    405: "the receiver does not take that there: correct `url`",
    407: "a proxy needs a password: let vcond reach the receiver directly",
    409: "a folder is missing there, or something is in the way: see its answer with: vcond outbox --json",
    410: "the receiver says that this address is gone: correct `url`",
    411: "something on the way wants another upload: look at the proxies between the two",
}


def not_done(answer: Answer, at: URL, secret: str, later: Collection[int] = LATER) -> Retry | Refused:
    """``at``: as much of the address as may be said. ``secret``: the key that holds what the receiver checks. ``later``: "not now"."""
    status, text = answer.status, bounded(answer.body)
    detail = f"{speaker(answer.headers, answer.body)} at {place(at)} answers {status}"
    if status in later or status >= 500:
        return Retry(
            f"http:{status}",
            status=status,
            answer=text,
            after=retry_after(answer.headers),
            whole_sink=status in WHOLE_SINK or status == FULL,
            detail=detail,
            hint=f"{_LATER[status]}; {AGAIN}" if status in _LATER else "",
        )
    if status == 422 and _is_object(answer):
        return Refused("refused:422", status=status, answer=text, hint=INVALID)
    if status == 413:
        limit = SIZE_LIMITS.get(
            speaker(answer.headers, answer.body), "the limit of the receiver, or of a proxy before it"
        )
        return Retry(
            "refused:413", status=413, answer=text, detail=detail, hint=f"raise {limit}; {AGAIN}", too_large=True
        )
    hint = _HELD.get(status, "see its answer with: vcond outbox --json, and look at `url`").format(secret=secret)
    if status < 400:
        other = elsewhere(answer.headers, at) if status >= 300 else ""
        hint = (
            f"it redirects to {other}; vcond does not follow redirects: if that is the receiver, put it into `url`"
            if other
            else "correct `url`: this answer does not say that the receiver has it"
        )
    reason = f"refused:{status}" if status >= 400 else f"unexpected:{status}"
    return Retry(reason, status=status, answer=text, detail=detail, hint=f"{hint}; {AGAIN}", held=True)


def _is_object(answer: Answer) -> bool:
    media = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media not in {"application/json", "application/problem+json"}:
        return False
    try:
        return isinstance(msgspec.json.decode(answer.body), dict)
    except (ValueError, RecursionError):
        return False
