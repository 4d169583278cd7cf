"""``vcond status``: how the daemon is, on one screen, and for what is wrong the command that mends it or says more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vcond.cli.admin_client import ask
from vcond.config import DaemonConfig

Row = dict[str, Any]
RENEW = "renew it, then: systemctl reload vcond"
FIXES = {
    "loop": "systemctl restart vcond; journalctl -u vcond says what it last did",
    "start": "wait for it: journalctl -fu vcond",
    "stop": "systemctl start vcond when it is down",
    "adapter": "vcond check",
    "journal": "vcond check --offline",
    "speech": "vcond check --offline",
    "outbox": "vcond check --offline",
    "forgotten": "vcond check --offline",
    "sink": "vcond outbox",
    "queue": "vcond check",
    "metrics": "set ops.listen, then systemctl restart vcond",
}
"""By the first word of what is wrong."""


def status(config: DaemonConfig) -> Row:
    """What the daemon says of itself, and ``problems``: what, detail, fix. Raises NotRunningError and its like."""
    told: Row = ask(config.admin_socket, "status")
    return told | {"problems": list(_problems(told, ask(config.admin_socket, "sinks")))}


def _problems(told: Row, sinks: list[Row]) -> Iterator[Row]:
    hints = {f"sink {one['sink']}": one["fix"] for one in sinks}
    hints |= {what: one["hint"] for what, one in told["pressure"].items()}
    wrong: dict[str, str] = {what: one["detail"] for what, one in told["pressure"].items() if one["hint"]}
    wrong |= told["ready"] | ({"metrics": told["metrics"]} if told.get("metrics") else {})
    for what, detail in wrong.items():
        fix = FIXES.get(what.split()[0], "vcond check")
        yield {"what": what, "detail": detail, "fix": hints.get(what) or fix}
    for at, until in told.get("expired", {}).items():
        yield {"what": f"{at}.certificate", "detail": f"it has expired on {until}: peers refuse it", "fix": RENEW}
    for one in sinks:
        if one["state"] == "down" and (what := f"sink {one['sink']}") not in wrong:
            yield {
                "what": what,
                "detail": f"{one['reason']}: {one['detail']}; vCons wait",
                "fix": one["fix"] or FIXES["sink"],
            }
    yield from told.get("troubles", [])
    yield from (one for one in told.get("damaged", []) if one["what"] not in wrong)
    dead = [one for one in told["outbox"] if one["state"] == "dead"]
    if dead:
        count = sum(one["vcons"] for one in dead)
        detail = f"{count} refused by {', '.join(one['sink'] for one in dead)}: they need your decision"
        yield {"what": "dead letters", "detail": detail, "fix": "vcond outbox dead, then vcond outbox retry or discard"}
    if count := told.get("unmatched"):
        detail = f"{count} that the match of no sink takes: nobody gets them"
        fix = "vcond outbox lists them; vcond outbox retry --unmatched --sink NAME, or vcond outbox discard --unmatched"
        yield {"what": "vCons", "detail": detail, "fix": fix}


def lines(told: Mapping[str, Any]) -> Iterator[str]:
    """For people."""
    if serves := told.get("serves"):
        yield from _serving(told, serves)
    else:
        yield from _recording(told)
    for one in told["problems"]:
        yield f"WRONG   {one['what']}: {one['detail']}"
        yield f"        -> {one['fix']}"
    if not told["problems"]:
        yield "all is well"


def _recording(told: Mapping[str, Any]) -> Iterator[str]:
    """A machine beside a PBX, or a hub."""
    counts = [f"{told.get(what, 0)} {word}" for what, word in _COUNTS.items() if told.get(what) or what == "calls"]
    yield f"vcond {told['version']}: {', '.join(counts)}"
    for name, one in sorted(told["adapters"].items()):
        state = "attached" if one["attached"] else "NOT attached"
        yield f"  adapter {name:<12} {state}" + (f": {one['detail']}" if one["detail"] else "")
    if hub := told.get("hub"):
        yield f"  hub                  takes vCons at {hub}"
    else:
        yield f"  speech               {_speech(told['speech'])}"
    waiting = [f"{one['vcons']} {one['state']} at {one['sink']} since {one['oldest'][:16]}Z" for one in told["outbox"]]
    yield f"  outbox               {'; '.join(waiting) or _none(told)}"
    for what, one in told["pressure"].items():
        yield f"  {what:<20} {one['detail']}"


def _serving(told: Mapping[str, Any], serves: Row) -> Iterator[str]:
    """A machine that transcribes for others."""
    speech, queue = told["speech"], serves["queue"]
    yield f"vcond {told['version']}: transcribes for other machines, as {serves['machine']}"
    held = f"{queue['waiting']} utterances wait, {queue['in_hand']} in hand" if queue else "what waits is not known"
    state = held if serves["connected"] else "NOT connected"
    yield f"  queue                {serves['url']}, stream {serves['stream']}: {state}"
    model = "/".join(part for part in (speech["engine"], speech["model"]) if part)
    yield f"  speech               {model}, {speech['workers']} workers, {serves['in_hand']} utterances in hand"
    last = f", the last at {serves['last'][:16]}Z, {serves['lag']:.1f} s after it was sent" if serves["last"] else ""
    yield f"  done                 {serves['texts']} texts of {serves['seconds'] / 60:.0f} min of speech since {serves['since'][:16]}Z{last}"
    refused = ", ".join(f"{count} {why}" for why, count in sorted(serves["refused"].items()))
    back = f"{serves['given_back']} given back for another try" if serves["given_back"] else ""
    dropped = f"{serves['dropped']} messages that were no jobs" if serves["dropped"] else ""
    yield f"  not done             {'; '.join(part for part in (refused, back, dropped) if part) or 'none'}"


_COUNTS = {
    "calls": "calls",
    "finishing": "being finished",
    "amending": "waiting for texts",
    "unfinished": "of an earlier run",
    "old_journals": "old journals to look at",
}


def _none(told: Mapping[str, Any]) -> str:
    return "see below" if "outbox" in told["ready"] or told.get("unmatched") else "everything is delivered"


def _speech(told: Mapping[str, Any]) -> str:
    if not told.get("engine"):
        return "none: calls are not transcribed"
    behind = f", {told['deferred_seconds']:.0f} s of speech deferred" if told["deferred"] else ""
    return f"{told['engine']}, {told['workers']} workers, load {100 * told['load']:.0f} %{behind}"
