"""Plain text for people, one function for each thing that is shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

_SPEECH = {"finals": " (texts only)", "deferred": " (texts later)"}
_MARKS = {"ok": "ok     ", "warning": "WARNING", "error": "ERROR  "}


def findings(found: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """``vcond check``."""
    for one in found:
        yield f"{_MARKS[one['level']]} {one['what']}" + (f": {one['detail']}" if one["detail"] else "")
        if one["fix"] and one["level"] != "ok":
            yield f"        -> {one['fix']}"


NOT_RUNNING = (
    "vcond is not running: the calls below come from their journals and are not being recorded now",
    "        -> systemctl start vcond resumes or delivers them; vcond recover delivers them without the daemon",
)


def calls(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """``vcond calls``."""
    if rows and not rows[0].get("daemon", True):
        yield from NOT_RUNNING
    if not rows:
        yield "no calls"
    for row in rows:
        parties = " - ".join(p["name"] or p["tel"] or "?" for p in row["parties"]) or "(no party yet)"
        flags = f" NOT RECORDED ({row['not_recorded']})" if row.get("not_recorded") else ""
        flags += " PAUSED" if row["paused"] else ""
        if withheld := [str(one["party"]) for one in row.get("consent", ()) if not one["kept"]]:
            flags += f" NO CONSENT of party {', '.join(withheld)}"
        flags += _SPEECH.get(row.get("transcription", ""), "")
        state = "ended" if row["ended"] else "answered" if row["answered"] else "ringing"
        if not row.get("daemon", True) and not row["ended"]:
            state = "cut off"
        yield f"{row['call']}  {row['adapter']:<10} {state:<8} {clock(row['seconds'])}  {parties}{flags}"


def consent(one: Mapping[str, Any], name: str) -> str:
    """What a party said of each purpose, and what that means now."""
    said: dict[str, list[str]] = {}
    for purpose in ("recording", "transcription", "analysis"):
        said.setdefault(one[purpose], []).append(purpose)
    each = "; ".join(f"{state} ({', '.join(purposes)})" for state, purposes in said.items())
    states = next(iter(said)) if len(said) == 1 else each
    return f"consent of {name}: {states}; {'recorded' if one['kept'] else 'not recorded'}"


def consented(row: Mapping[str, Any]) -> None:
    """The answer to ``vcond consent``."""
    party = row["party"]
    who = row["parties"][party]
    found = next((one for one in row["consent"] if one["party"] == party), None)
    if found is not None:
        print(f"{row['call']}: {consent(found, who['name'] or who['tel'] or f'party {party}')}")
    if not row["changed"]:
        print("nothing was changed: that was known, or another answer stands")


def call(found: Mapping[str, Any]) -> Iterator[str]:
    """``vcond show``."""
    if "vcon" in found:
        yield from _delivered(found)
        return
    yield from calls([found])
    if by := found.get("paused_by"):
        yield f"  paused by {', '.join(by)}"
    names = {i: p["name"] or p["tel"] or f"party {i}" for i, p in enumerate(found["parties"])}
    for one in found.get("consent", ()):
        yield f"  {consent(one, names.get(one['party'], '?'))}"
    lines = [(m["at"], f"* {names.get(m['party'], '?')} {m['event']} {m['button']}".rstrip()) for m in found["history"]]
    for said in found["speech"]:
        text = said["text"] if said["text"] is not None else f"[{said['failed'] or 'waiting'}]"
        lines.append((said["start"], f"{names.get(said['party'], '?')}: {text}"))
    for at, text in sorted(lines, key=lambda line: line[0]):
        yield f"  {clock(at)}  {text}"
    if found.get("not_recorded"):
        yield "  this call is not recorded and will have no vCon"
        return
    for track in found["tracks"]:
        total: dict[str, float] = {}
        for start, stop, kind in track["spans"]:
            total[kind] = total.get(kind, 0.0) + stop - start
        parts = ", ".join(f"{kind} {seconds:.1f} s" for kind, seconds in sorted(total.items()))
        yield f"  {names.get(track['party'], '?')}: {track['codec']} {track['rate']} Hz: {parts or 'nothing'}"
    if found["warnings"]:
        yield f"  warnings: {', '.join(found['warnings'])}"


def _delivered(found: Mapping[str, Any]) -> Iterator[str]:
    """Where the vCon of a call that is over is."""
    yield f"{found['call']}  has ended; its vCon has {found['bytes']} bytes"
    for one in found["sinks"]:
        confirmed = "" if one.get("confirmed", "unknown") == "unknown" else f", {one['confirmed']}"
        yield f"  {one['sink']}: {one['state']}{confirmed}" + (f": {one['target']}" if one["target"] else "")


def outbox(rows: Sequence[Mapping[str, Any]], sinks: Sequence[Mapping[str, Any]] = ()) -> Iterator[str]:
    """``vcond outbox``: the sinks that are in trouble, then what waits and what is dead."""
    for sink in sinks:
        if sink["reason"]:
            yield from _sink(sink)
        if counts := sink.get("confirmations"):
            told = ", ".join(f"{count} {answer}" for answer, count in counts.items())
            yield f"sink {sink['sink']}: of what it took and is kept here: {told}"
    if not rows:
        yield "the outbox is empty: everything was delivered"
    for row in rows:
        line = f"{row['uuid']}  {row['sink']:<14} {row['state']:<9} tries {row['attempts']:<3} {row['reason']}"
        times = ", ".join(f"{what} {_time(row[key])}" for key, what in _TIMES if row.get(key))
        yield line.rstrip() + (f"  ({times})" if times else "")
        if row["state"] == "dead" and row.get("answer"):
            yield f"    answered: {' '.join(row['answer'].split())[:300]}"


def dead(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """``vcond outbox dead``."""
    if not rows:
        yield "no dead letters"
    for row in rows:
        yield f"{row['uuid']}  {row['sink']:<14} {row['reason']}  (of {_time(row['published'])}, tried {_time(row['last_try'])})"
        if row["answer"]:
            yield f"    answered: {' '.join(row['answer'].split())[:300]}"
    if rows:
        yield "        -> correct the cause, then: vcond outbox retry; or give one up: vcond outbox discard UUID"


def entry(found: Mapping[str, Any]) -> Iterator[str]:
    """``vcond outbox show``."""
    yield f"{found['uuid']}  {found['bytes']} bytes, of {_time(found['published'])}: {_STAGES[found['stage']]}"
    if found["closed"]:
        yield f"  closed {_time(found['closed'])}"
    for name, value in found["facts"].items():
        yield f"  {name}: {value}"
    for one in found["sinks"]:
        more = "".join(f" {text}" for text in (one["reason"], one["target"]) if text)
        when = f", {_time(one['last_try'])}" if one["last_try"] else ""
        gone = "" if one["configured"] else " (no longer configured)"
        yield f"  sink {one['sink']}{gone}: {one['state']}{more}, tries {one['attempts']}{when}"
        if one["state"] != "delivered" and one["answer"]:
            yield f"    answered: {' '.join(one['answer'].split())[:300]}"
    yield f"  sha512 {found['sha512']}"


_STAGES = {
    "open": "not delivered everywhere yet",
    "done": "delivered everywhere, being closed",
    "kept": "closed, its file is kept",
    "gone": "closed, its file is removed",
    "lost": "its file vanished",
}


def loss(found: Mapping[str, Any]) -> Iterator[str]:
    """What is lost when a dead letter is discarded."""
    dead = [one["sink"] for one in found["sinks"] if one["state"] == "dead"]
    has = [one["sink"] for one in found["sinks"] if one["state"] == "delivered"]
    waits = [one["sink"] for one in found["sinks"] if one["state"] in {"pending", "sending"}]
    yield f"vCon {found['uuid']} of {_time(found['published'])}, {found['bytes']} bytes"
    yield f"  refused it, and will never get it: {', '.join(dead) or 'nobody'}"
    if waits:
        yield f"  still waits for: {', '.join(waits)}; it is not taken from them"
    elif has:
        yield f"  has it: {', '.join(has)}; here it is removed, or kept for delivery.keep_days"
    else:
        yield "  NOBODY has it: the recording and the text of this call are lost once delivery.keep_days have passed"


def nobodys(found: Mapping[str, Any]) -> Iterator[str]:
    """What is lost when all are discarded that are for no sink."""
    yield f"vCons that the match of no sink takes: {found['vcons']}"
    if found["vcons"]:
        yield f"  the oldest is of {_time(found['oldest'])}; NOBODY has them: recordings and texts are lost once delivery.keep_days have passed"


_TIMES = (("published", "of"), ("last_try", "tried"), ("next_try", "next try"))


def _sink(sink: Mapping[str, Any]) -> Iterator[str]:
    what = {"held": "HELD", "down": "DOWN"}.get(sink["state"], f"vCons of {sink['size_limit']} bytes and more wait")
    times = f"since {_time(sink['since'])}" + (f", next try {_time(sink['next_try'])}" if sink["next_try"] else "")
    yield f"sink {sink['sink']}: {what} {times}: {sink['reason']}: {sink['detail']}"
    if sink["fix"]:
        yield f"        -> {sink['fix']}"


def _time(stamp: str) -> str:
    """To the second, UTC."""
    return stamp[:19].replace("T", " ") + "Z"


def done(row: Mapping[str, Any]) -> None:
    """The answer to pause and resume."""
    by = f" by {', '.join(row['paused_by'])}" if row.get("paused_by") else ""
    print(f"{row['call']}: {'paused' + by if row['paused'] else 'recording'}")


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds: ``03:07.2``."""
    minutes, rest = divmod(max(0.0, seconds), 60)
    return f"{int(minutes):02d}:{rest:04.1f}"
