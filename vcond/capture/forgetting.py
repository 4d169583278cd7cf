"""A call without an end is forgotten: what goes on of it is kept nowhere any more."""

from __future__ import annotations

from vcond.call import events as ev
from vcond.capture.live_call import CapturedCall
from vcond.capture.no_journal import forgotten
from vcond.capture.registry import CallRegistry
from vcond.policy.pausing import OPERATOR


def forget(registry: CallRegistry, uuid: str) -> tuple[str, str] | None:
    """It is recorded no more, and has no vCon; its adapter and key. None: no call without an end has this uuid."""
    for call in registry.recovery.unfinished():
        if call.uuid == uuid:
            registry.recovery.forget(call)
            return call.state.adapter, call.key
    for call in registry.live:
        if call.uuid == uuid:
            _forget(call)
            return call.state.adapter, call.key
    return None


def _forget(call: CapturedCall) -> None:
    """Its adapter goes on telling a call that remembers nothing, and shows nothing. Its journal is not ours to remove."""
    call.emit(ev.RecordingPaused(at=call.now(), by=OPERATOR.by, reason="forgotten"))  # nobody is listened to
    call.journal = forgotten()
    call.sealed = True
    call.sources = []
    state = call.state
    for party in state.parties:
        party.told = ev.PartyInfo()
    state.history, state.facts, state.tags, state.transfers, state.warnings, state.speech = [], [], [], [], [], {}
