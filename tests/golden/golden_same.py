"""One and the same call through four adapters, and what of its vCon may differ between them.

Ann calls 1002, who answers after a second. Both speak for a second, 1002 holds for a second, Ann presses 5, both speak
for half a second, Ann hangs up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Final

from golden_asterisk import Pbx
from golden_asterisk import script as on_asterisk
from golden_freeswitch import Switch
from golden_freeswitch import script as on_freeswitch
from golden_kit import TONES, tone
from golden_twilio import Twilio
from golden_twilio import script as on_twilio
from siprec_client import Leg, metadata, serving

from vcond.testing.host import MemoryHost
from vcond.testing.time import run_virtual

LISTENED, SPEAK, HOLD, BACK, PRESS, AGAIN, END = 0.3, 0.5, 2.0, 3.0, 3.5, 4.0, 5.0
"""Seconds after the answer: by then both are listened to; first words; hold and its end; the digit; last words; end."""
FIRST, LAST = 1.0, 0.5
"""How long they speak, seconds."""
ANN, BEN = TONES[:2]


async def asterisk(pbx: Pbx) -> None:
    async with pbx.attached():
        caller, callee = await pbx.ring()
        pbx.fake.up(callee)
        pbx.fake.up(caller)
        pbx.fake.bridge(callee, caller)
        clock = Clock()

        def say(length: float) -> None:
            for channel, hertz in ((caller, ANN), (callee, BEN)):
                pbx.fake.say(channel, tone(hertz, length))

        await clock.at(SPEAK, lambda: say(FIRST))
        await clock.at(HOLD, lambda: pbx.fake.tell("ChannelHold", channel=callee))
        await clock.at(BACK, lambda: pbx.fake.tell("ChannelUnhold", channel=callee))
        # Asterisk tells a digit when the key is let go: 120 ms, as FreeSWITCH's 960 samples are
        await clock.at(
            PRESS + 0.12, lambda: pbx.fake.tell("ChannelDtmfReceived", channel=caller, digit="5", duration_ms=120)
        )
        await clock.at(AGAIN, lambda: say(LAST))
        await clock.at(END, lambda: pbx.fake.hang_up(callee, caller, by=caller))
        await pbx.host.until(lambda: pbx.host.calls[0].over)


async def freeswitch(switch: Switch) -> None:
    async with switch.attached():
        one = switch.fake.create(number="+15550100")
        two = switch.fake.create(number="+15550100", inbound=False, other=one.uuid)
        await asyncio.sleep(1.0)
        switch.fake.answer(two)
        switch.fake.answer(one)
        switch.fake.bridge(one, two)
        clock = Clock()
        said = []

        def say(length: float) -> None:
            parts = ((one, ANN), (two, BEN))
            said.append(
                asyncio.create_task(
                    switch.fake.speak(*((leg, tone(hertz, length).astype("<i2").tobytes()) for leg, hertz in parts))
                )
            )

        await clock.at(SPEAK, lambda: say(FIRST))
        await clock.at(HOLD, lambda: switch.fake.hold(two, on=True))
        await clock.at(BACK, lambda: switch.fake.hold(two, on=False))
        await clock.at(PRESS, lambda: switch.fake.press(one, "5"))
        await clock.at(AGAIN, lambda: say(LAST))
        await clock.at(END, lambda: switch.fake.end(one, two))
        await switch.host.until(lambda: switch.host.calls[0].over)
        await asyncio.gather(*said)


async def twilio(edge: Twilio) -> None:
    async with edge.attached():
        client = await edge.stream(direction="internal")
        clock = Clock()

        async def until(moment: float) -> None:
            """Silence of both, as Twilio sends it all the time."""
            length = round((moment - client.position / 1000) * 8000) // 160 * 160
            if length > 0:
                silence = tone(ANN, length / 8000) * 0
                await client.play(silence, silence)

        await until(SPEAK)
        await client.play(tone(ANN, FIRST), tone(BEN, FIRST))
        await until(PRESS)
        await client.press("5")
        await until(AGAIN)
        await client.play(tone(ANN, LAST), tone(BEN, LAST))
        await until(END)
        await clock.at(END, lambda: None)
        await client.stop()
        await edge.over()


async def siprec(replies: Any) -> None:
    ann, ben = ("+15550100", "Ann Example"), ("1002", "")
    internal = "<extensiondata><direction>internal</direction></extensiondata></recording>"

    def document(*people: tuple[str, str]) -> str:
        return metadata(*people).replace('pbx.example"', 'pbx.example.com"').replace("</recording>", internal)

    async with serving() as (host, client):
        replies.append(host)
        one = client(Leg("1", burst=1))
        one.legs[0].deaf = True  # it rings
        await one.invite(document(ann))
        await asyncio.sleep(1.0)
        one.legs.append(Leg("2", burst=1))
        await one.invite(document(ann, ben))
        one.legs[0].deaf = False
        clock = Clock()
        said: list[asyncio.Task[None]] = []

        def begin(*what: Coroutine[Any, Any, Any]) -> None:
            said.extend(asyncio.ensure_future(task) for task in what)

        def say(length: float) -> None:
            begin(*(leg.speak(tone(hertz, length)) for leg, hertz in zip(one.legs, (ANN, BEN), strict=True)))

        async def hold(*, on: bool) -> None:
            """Who is on hold sends nothing."""
            one.legs[0].direction = "inactive" if on else "sendonly"
            one.legs[0].deaf = True
            await one.invite()
            one.legs[0].deaf = on

        await clock.at(SPEAK, lambda: say(FIRST))
        await clock.at(HOLD, lambda: begin(hold(on=True)))
        await clock.at(BACK, lambda: begin(hold(on=False)))
        await clock.at(PRESS + 0.1, lambda: begin(one.legs[0].press("5")))  # it is sent when the key is let go
        await clock.at(AGAIN, lambda: say(LAST))
        await clock.at(END, lambda: begin(one.bye()))
        await host.until(lambda: host.calls[0].over, within=30)
        await asyncio.gather(*said)


def on_siprec() -> MemoryHost:
    hosts: list[MemoryHost] = []
    run_virtual(siprec(hosts))
    return hosts[0]


class Clock:
    """Moments after the answer."""

    def __init__(self) -> None:
        self._zero = asyncio.get_running_loop().time()

    async def at(self, moment: float, what: Callable[[], object]) -> None:
        """Do something at its moment."""
        await asyncio.sleep(self._zero + moment - asyncio.get_running_loop().time())
        what()


SAME: Final[dict[str, Callable[[], MemoryHost]]] = {
    "asterisk": lambda: on_asterisk(asterisk, internal=["PJSIP/*"], domain="pbx.example.com"),
    "freeswitch": lambda: on_freeswitch(freeswitch),
    "twilio": lambda: on_twilio(twilio),
    "siprec": on_siprec,
}

GRID: Final = 0.04
"""Seconds by which a moment may differ: events travel on one connection and audio on another, in frames of 20 ms."""

MAY_DIFFER: Final = {
    "uuid": "each record has its own",
    "created_at": "the end of the call on the clock of the run; its distance from the answer is compared instead",
    "extensions": "sip-signaling and CC are named only where the platform has such ids",
    "dialog.application": "names the adapter",
    "dialog.sip_call_id": "the platform's own id of the SIP dialog",
    "dialog.interaction_id": "the platform's own id of the call (Asterisk's linkedid)",
    "dialog.body": "audio is cut into frames at each platform's own moments; what is heard when is compared instead",
    "dialog.start": "on the clock of the run",
    "dialog.duration": "from the first audio that a platform gives; what was said when is compared instead",
    "dialog.party_history": "compared moment by moment, each within the grid of its place in the script",
    "attachment.start": "as the dialog's",
    "report.platform": "names the adapter",
    "report.start": "as the dialog's",
    "report.duration": "as the dialog's",
    "report.parties": "tracks open and close with a platform's own frames, and who holds is silent on Asterisk and absent"
    " on FreeSWITCH; the sums of each kind are compared within the grid",
    "tag.platform": "names the adapter",
    "purpose.vcond-facts": "is what only a platform knows",
}
"""All that may differ, and why: ``<what it is a part of>.<name>``. What is not named here must be equal."""

TWILIO_CANNOT: Final = {
    "party_history: hold, unhold": "a media stream does not tell that somebody holds",
    "party_history: keyup": "a media stream tells a key when it is pressed, and not for how long",
    "party_history: first join of the callee": "a media stream begins when both are there: nobody rings in it",
    "report: held": "as hold",
}
"""What a media stream cannot tell, and why."""


def normalised(document: dict[str, Any]) -> dict[str, Any]:
    """A vCon without what may differ; moments as seconds after the answer, to the grid."""
    main = document["dialog"][0]
    zero = datetime.fromisoformat(main["start"])
    joins = [moment for moment in main["party_history"] if moment["event"] == "join"]
    answered = max(datetime.fromisoformat(moment["time"]) for moment in joins)
    zero = max(zero, answered)
    kept = {name: value for name, value in document.items() if name not in MAY_DIFFER}
    kept["dialog"] = [_without("dialog", dialog) for dialog in document["dialog"]]
    kept["history"] = [
        (round((datetime.fromisoformat(one["time"]) - zero).total_seconds(), 3), one["party"], one["event"],
         one.get("button", ""))
        for one in main["party_history"]
    ]  # fmt: skip
    kept["attachments"] = [
        _without("attachment", one) | {"body": _body(one)}
        for one in document["attachments"]
        if f"purpose.{one['purpose']}" not in MAY_DIFFER
    ]
    return kept


def seconds(document: dict[str, Any]) -> list[dict[str, float]]:
    """By party how long each kind of audio was."""
    report = next(one for one in document["attachments"] if one["purpose"] == "vcond-capture-report")
    return [party["seconds"] for party in report["body"]["parties"]]


def _without(what: str, values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if f"{what}.{name}" not in MAY_DIFFER}


def _body(attachment: dict[str, Any]) -> Any:
    if attachment["purpose"] == "tags":
        return [tag for tag in attachment["body"] if f"tag.{tag.partition(':')[0]}" not in MAY_DIFFER]
    return _without("report", attachment["body"])
