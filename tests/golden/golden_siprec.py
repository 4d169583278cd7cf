"""SIPREC: messages of recording clients, captured and in the shape of each vendor, and a tone on each line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from golden_kit import TONES, tone
from siprec_replay import Replay, replaying

from vcond.testing.host import MemoryHost

Script = Callable[[Replay], Awaitable[None]]


def script(main: Script) -> MemoryHost:
    async def run() -> MemoryHost:
        async with replaying() as replay:
            await main(replay)
            replay.pass_time(3.0)
            return replay.host

    return asyncio.run(run())


def speak(replay: Replay, name: str, seconds: float, *, deaf: tuple[int, ...] = ()) -> None:
    lines = replay.lines(name)
    first = max((replay.sent.get(id(line), 0) for line in lines), default=0) * 160
    replay.speak(name, *(tone(hertz, seconds, first=first) for hertz in TONES[: len(lines)]), deaf=deaf)


async def plain(replay: Replay) -> None:
    name = "opensips/10.5-plain-01"
    await replay.invite(name)
    speak(replay, name, 2.0)
    replay.bye(name)


async def hold(replay: Replay) -> None:
    """OpenSIPS: the caller holds the callee, whose line is inactive for a second."""
    name = "opensips/26.3-hold-01"
    await replay.invite(name)
    speak(replay, name, 1.0)
    await replay.reinvite("opensips/26.3-hold-04", dialog=name)
    speak(replay, name, 1.0, deaf=(1,))
    await replay.reinvite("opensips/26.3-hold-07", dialog=name)
    speak(replay, name, 1.0)
    replay.bye(name)


async def pause(replay: Replay) -> None:
    """jambonz: both lines are inactive for a second, and audio comes all the same."""
    name = "jambonz/default-invite"
    await replay.invite(name)
    for change in ("pause", "resume", ""):
        speak(replay, name, 1.0)
        if change:
            await replay.reinvite(f"jambonz/default-{change}", dialog=name)
    replay.bye(name)


async def mixed(replay: Replay) -> None:
    """BroadWorks: one line for all, and a third who joins."""
    await replay.invite("shapes/12")
    speak(replay, "shapes/12", 1.0)
    await replay.update("shapes/13", dialog="shapes/12")
    speak(replay, "shapes/12", 1.0)
    replay.bye("shapes/12")


async def placeholder(replay: Replay) -> None:
    """Avaya: who is called is told later."""
    await replay.invite("shapes/16")
    speak(replay, "shapes/16", 1.0)
    await replay.update("shapes/17", dialog="shapes/16")
    speak(replay, "shapes/16", 1.0)
    replay.bye("shapes/16")


async def failover(replay: Replay) -> None:
    """OpenSIPS: the same session under another Call-ID."""
    one, two = "opensips/10.5-failover_1st", "opensips/10.5-failover_2nd"
    await replay.invite(one)
    speak(replay, one, 1.0)
    await replay.invite(two)
    speak(replay, two, 1.0)
    replay.bye(one)
    replay.bye(two)


async def broken_name(replay: Replay) -> None:
    """OpenSIPS: a name that breaks the XML."""
    name = "opensips/10.5-anon-01"
    await replay.invite(name)
    speak(replay, name, 1.0)
    replay.bye(name)


async def join_and_leave(replay: Replay) -> None:
    """Partial metadata."""
    await replay.invite("shapes/01")
    for update in ("shapes/02", "shapes/03", ""):
        speak(replay, "shapes/01", 1.0)
        if update:
            await replay.update(update, dialog="shapes/01")
    replay.bye("shapes/01")


SCENARIOS: dict[str, Callable[[], MemoryHost]] = {
    "plain": partial(script, plain),
    "hold": partial(script, hold),
    "pause": partial(script, pause),
    "mixed": partial(script, mixed),
    "placeholder": partial(script, placeholder),
    "failover": partial(script, failover),
    "broken-name": partial(script, broken_name),
    "join-and-leave": partial(script, join_and_leave),
}
