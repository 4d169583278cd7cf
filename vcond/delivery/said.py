"""What a sink says, as it can be kept and counted with: sinks are plug-ins, and what they hand on comes from receivers."""

from __future__ import annotations

from vcond.sdk.sink import MAX_ANSWER, Receipt, Refused, Retry


def sound(said: object) -> Receipt | Retry | Refused:
    """The same in plain values within bounds. What is no end of a try is a mistake of the sink: tried again."""
    if isinstance(said, Receipt):
        return Receipt(_status(said.status), _text(said.target), _text(said.answer), _text(said.sent))
    if isinstance(said, Retry):
        return Retry(
            _text(said.reason),
            after=said.after,
            whole_sink=bool(said.whole_sink),
            status=_status(said.status),
            answer=_text(said.answer),
            held=bool(said.held),
            too_large=bool(said.too_large),
            detail=_text(said.detail),
            hint=_text(said.hint),
        )
    if isinstance(said, Refused):
        answer, hint = _text(said.answer), _text(said.hint)
        return Refused(
            _text(said.reason), status=_status(said.status), answer=answer, hint=hint, asked=bool(said.asked)
        )
    return Retry(f"error:{type(said).__name__}", detail="the sink driver says nothing of what became of the vCon")


def _status(status: object) -> int:
    """Of HTTP, or what another protocol has in its place; 0 = none."""
    return int(status) if isinstance(status, int) and 0 <= status <= 1_000_000 else 0


def _text(text: object) -> str:
    """Of Unicode, and no longer than an answer may be; empty for what is no text."""
    return text[:MAX_ANSWER].encode("utf-8", "replace").decode() if isinstance(text, str) else ""
