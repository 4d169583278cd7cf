"""Sessions that go on when vcond, or this adapter, is started again: the same dialogs, ports and parties.

What a session is made of stands in its call's journal (``Recorder`` writes it whenever it changes) and is read back here
before anybody is listened to. What came in between is lost: the record has an interruption there. A session whose audio is
encrypted cannot go on, as its keys are written nowhere, nor one whose port somebody else has by now.
"""

from __future__ import annotations

from vcond.sdk.contract import AdapterHost, Cause, ConfigError, LiveCall, ProtocolError, Warned
from vcond.sip.application import Dialog
from vcond.sip.server import SipServer
from vcond_siprec.recorder import Recorder
from vcond_siprec.saved import DIALOG, SESSION, parsed
from vcond_siprec.session import Session


async def take_up(host: AdapterHost, server: SipServer, recorder: Recorder) -> list[Dialog]:
    """Go on with what an earlier run left open; the dialogs that cannot are returned, to be hung up."""
    lost: list[Dialog] = []
    for call in [*host.unfinished(), *host.open_calls()]:
        try:
            lost += await _take_up(host, server, recorder, call)
        except Exception:  # a fault in one call must not end the others
            host.log.exception("cannot resume a call of an earlier run", call=call.uuid)
    taken = {call.session.call for call in recorder.calls.values()}
    for call in host.open_calls():
        if call not in taken:
            call.end(at=host.clock.now(), cause=Cause(text="adapter-restarted"))
    return lost


async def _take_up(host: AdapterHost, server: SipServer, recorder: Recorder, call: LiveCall) -> list[Dialog]:
    told = call.state.adapter_state
    dialogs = {name.removeprefix(DIALOG): text for name, text in told.items() if name.startswith(DIALOG) and text}
    sessions: list[Session] = []
    lost: list[Dialog] = []
    for tag, text in dialogs.items():
        dialog = server.restore(text.encode())
        try:
            sessions.append(await recorder.resume(dialog, call.state, parsed(told.get(SESSION + tag, ""))))
        except (ProtocolError, ConfigError):
            lost.append(dialog)
    for session in sessions:
        if session.recording is not None:
            session.recording.open()
            session.tell(host.clock.now())
    if lost:
        host.dropped("session", "not-resumed", len(lost))
        host.log.warning(
            "cannot resume recording sessions after the restart: their audio is encrypted, or their ports are in use",
            call=call.uuid, sessions=len(lost), hint="let the client begin a new session",
        )  # fmt: skip
        text = "a recording session did not continue after a restart of vcond"
        call.emit(Warned(at=host.clock.now(), code="not-resumed", text=text))
    if told and len(lost) == len(dialogs):
        call.end(at=call.state.known_until)
    return lost
