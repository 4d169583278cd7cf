"""What NATS says, and what mends it."""

from __future__ import annotations

import ssl
from typing import Any, Final

from vcond.delivery.sinks.answers import certificate
from vcond.delivery.sinks.http_answers import AGAIN
from vcond.sdk.sink import Retry, Seen, bounded

WINDOW: Final = 3600
"""Seconds of a stream's duplicate window below which an outage makes doubles."""
_FULL: Final = frozenset({10023, 10077, 10047, 10028, 10113})
"""err_code of JetStream: insufficient resources, maximum bytes or messages (10077), insufficient storage, account limits."""
_TOO_LARGE: Final = 10054
_NO_STREAM: Final = 10059
_OTHER_STREAM: Final = 10060


def not_taken(why: Exception, at: str, stream: str, secret: str) -> Retry | None:
    """``secret``: the key that holds it. None: it is not of NATS, and a bug."""
    from nats import errors
    from nats.js import errors as js

    if isinstance(why, js.APIError):
        return _api(why, stream, missing=isinstance(why, js.NotFoundError))
    if isinstance(why, js.NoStreamResponseError):
        hint = f"make stream {stream} with a subject that fits `subject`, or correct both; {AGAIN}"
        return Retry("no-stream", detail="no stream takes this subject", hint=hint, held=True)
    if isinstance(why, errors.MaxPayloadError):
        return Retry(
            "too-large", detail="max_payload of the server", hint="set `bucket`, or raise max_payload", too_large=True
        )
    if isinstance(why, js.DigestMismatchError):
        return Retry("digest", detail="the object store has other bytes than were sent", hint="look at its disk")
    if isinstance(why, errors.NoRespondersError):
        hint = f"switch JetStream on in nats-server.conf: jetstream {{ store_dir: ... }}; {AGAIN}"
        return Retry("no-jetstream", detail=f"{at} has no JetStream", hint=hint, held=True)
    if isinstance(why, ssl.SSLCertVerificationError):
        reason, what, hint = certificate(why)
        return Retry(reason, answer=what, detail=f"{at}: {what}", hint=hint, held=True)
    if isinstance(why, ssl.SSLError):
        return Retry("tls", detail=f"{at}: no TLS connection ({why.reason})", hint="check its TLS versions", held=True)
    if isinstance(why, errors.AuthorizationError) or "authoriz" in str(why).lower() or "authentic" in str(why).lower():
        hint = f"correct `{secret}` (and `user`), or the permissions of the user; {AGAIN}"
        return Retry("refused", detail=f"{at} refuses vcond's user", hint=hint, held=True)
    if isinstance(why, TimeoutError):
        hint = "check its load and the firewall; `connect_timeout` and `total_timeout` set how long vcond waits"
        return Retry("timeout", whole_sink=True, detail=f"{at} does not answer in time", hint=hint)
    if isinstance(why, errors.NoServersError | ConnectionRefusedError):
        hint = "check that nats-server runs, `url` and the firewall"
        return Retry("unreachable", whole_sink=True, detail=f"no connection to {at}", hint=hint)
    if isinstance(why, errors.Error | OSError):
        return Retry(
            "connection-lost", whole_sink=True, answer=type(why).__name__,
            detail=f"{at} closed the connection ({type(why).__name__})", hint="look at the log of nats-server",
        )  # fmt: skip
    return None


def _api(why: Any, stream: str, *, missing: bool) -> Retry:
    number, answer = why.err_code or 0, bounded(str(why.description or "").encode())
    detail = f"JetStream answers {number}"
    if number in _FULL:
        hint = f"raise max_bytes of stream {stream} or of its bucket, or let its consumers catch up; {AGAIN}"
        return Retry("full", status=why.code or 0, whole_sink=True, answer=answer, detail=detail, hint=hint)
    if number == _TOO_LARGE:
        hint = f"raise max_msg_size of stream {stream}; {AGAIN}"
        return Retry("too-large", status=400, answer=answer, detail=detail, hint=hint, too_large=True)
    if number in {_NO_STREAM, _OTHER_STREAM} or missing:
        hint = f"make stream {stream} (and the bucket) there, or correct `stream` and `bucket`; {AGAIN}"
        return Retry("no-stream", status=404, answer=answer, detail=detail, hint=hint, held=True)
    if why.code == 503:
        return Retry("http:503", status=503, whole_sink=True, answer=answer, detail=detail, hint="look at its log")
    hint = f"see its answer with: vcond outbox --json; look at stream {stream}; {AGAIN}"
    return Retry(f"refused:{number}", status=why.code or 0, answer=answer, detail=detail, hint=hint, held=True)


def wrong_streams(info: Any, name: str, subject: str) -> list[Seen]:
    """What a stream's settings lose. ``subject``: one that vcond will use; empty = not looked at."""
    config, found = info.config, []
    bounds = [key for key in ("max_bytes", "max_msgs", "max_msgs_per_subject") if (getattr(config, key) or -1) > 0]
    if config.discard != "new" and bounds:
        text = f"stream {name} has {', '.join(bounds)} and drops the oldest when it is full: vCons would be lost there"
        found.append(Seen("error", text, f"nats stream edit {name} --discard new"))
    window = config.duplicate_window or 0
    if window < WINDOW:
        text = f"stream {name} knows doubles for {window:.0f} s only: after a longer outage a vCon may be there twice"
        found.append(
            Seen("warning", text, f"nats stream edit {name} --dupe-window 24h, or let consumers go by Nats-Msg-Id")
        )
    if subject and not any(_takes(pattern, subject) for pattern in config.subjects or []):
        fix = f"nats stream edit {name} --subjects ..., or correct `subject`"
        found.append(Seen("error", f"stream {name} does not take subjects like {subject}", fix))
    return found


def _takes(pattern: str, subject: str) -> bool:
    wanted, parts = pattern.split("."), subject.split(".")
    for i, one in enumerate(wanted):
        if one == ">":
            return len(parts) > i
        if i >= len(parts) or one not in {"*", parts[i]}:
            return False
    return len(wanted) == len(parts)
