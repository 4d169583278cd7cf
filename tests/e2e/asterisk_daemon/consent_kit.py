"""A site whose calls have a rule of consent, and what its phones said. Loaded by path."""

from __future__ import annotations

from heard import GONE, marker, peak, stored

from vcond.media.codecs import Codec, decode, encode
from vcond.testing.sounds import voice

THERE = 0.2
"""Least peak of what was kept: a phone that was late put holes into it, behind which the rest is out of step."""
RATE = 8000
LONGEST = 60.0
"""Most seconds of clean sound that are searched."""
ASK = 'mode = "ask"\nkey_granted = "1"\nkey_denied = "2"\nkey_withdrawn = "9"'


class Asked:
    """A site with a rule, and what its phones said."""

    def __init__(self, site, judge, rule: str) -> None:
        site.vcond.extra += f'\nvariables = ["VCOND_CONSENT", "VCOND_PAUSE"]\n[[policy]]\n{rule}\n'
        self.site, self._judge = site, judge

    async def opened(self, vcond, number: str = "") -> str:
        """The uuid of the call of a number."""
        number = number or self.site.number
        rows = await vcond.until(
            "calls", lambda rows: any(r["parties"] and r["parties"][0]["tel"] == number for r in rows)
        )
        return next(row["call"] for row in rows if row["parties"][0]["tel"] == number)

    async def consent(self, vcond, uuid: str, **states: str) -> None:
        """Wait until parties (``p0="granted"``) have said so of being recorded."""
        wanted = {int(name[1:]): state for name, state in states.items()}

        def told(call) -> bool:
            return wanted.items() <= {one["party"]: one["recording"] for one in call["consent"]}.items()

        await vcond.until("call", told, call=uuid)

    async def connected(self, vcond, extension: str, **states: str):
        """Two phones on a call of an extension, and its uuid, as soon as both are recorded and have said so of it."""
        caller = await self.site.farm.dial(extension, self.site.number)
        await caller.up()
        agent = await self.site.farm.ringing("agent", self.site.number)
        await agent.answer()
        uuid = await self.opened(vcond)
        await self.consent(vcond, uuid, **states)
        await self.site.tapped(vcond, uuid, 2)
        return caller, agent, uuid

    async def says(self, phone, seed: int) -> None:
        """Somebody says the noise of a seed."""
        await phone.say(self.site.farm.voice(f"{self.site.number}-m{seed}", marker(seed)))

    def check_disk(self, kept: set[int], gone: set[int]) -> None:
        """What of the markers is on the disk, and what is not: in everything that lies under the state folder."""
        blob = stored(self.site.vcond.state)
        found = {seed: round(peak(marker(seed), blob), 3) for seed in sorted(kept | gone)}
        print(
            f"on the disk: kept {[found[one] for one in sorted(kept)]}, not kept {[found[one] for one in sorted(gone)]};"
            f" in as much clean sound {[one for _, one in sorted(clean(gone, len(blob)).items())]}"
        )
        assert all(found[one] >= THERE for one in kept), found
        assert all(found[one] <= GONE for one in gone), found

    def check_vcon(self, document, said: dict[int, set[int]]):
        """What each party said is in its audio and nowhere else, and nothing that others said is."""
        record = self._judge(document)
        everything = set().union(*said.values())
        for party, audio in record.audio.items():
            found = {seed: round(peak(marker(seed), audio.astype("<i2").tobytes()), 3) for seed in sorted(everything)}
            print(f"party {party}: {found}; in as much clean sound {clean(everything, 2 * len(audio))}")
            assert all((found[one] >= THERE) if one in said.get(party, ()) else (found[one] <= GONE) for one in found)
        return record


def told(document, party: int) -> list[dict]:
    """What the capture report has of a party's consent."""
    (report,) = [a["body"] for a in document["attachments"] if a["purpose"] == "vcond-capture-report"]
    return [one for one in report["consent"] if one["party"] == party]


def clean(seeds: set[int], size: int) -> dict[int, float]:
    """What the same search finds of each in so many bytes of G.711 speech, in which none was ever said: by chance alone."""
    seconds = min(LONGEST, size / 2 / RATE)
    said = decode(Codec.PCMU, encode(Codec.PCMU, voice(99, seconds))).astype("<i2").tobytes()
    return {seed: round(peak(marker(seed), said), 3) for seed in sorted(seeds)}


def bases(document) -> dict[int, dict]:
    """Bodies of the ``lawful_basis`` attachments, by party."""
    return {a["party"]: a["body"] for a in document["attachments"] if a["purpose"] == "lawful_basis"}


def grants(body) -> dict[str, bool]:
    return {one["purpose"]: one["granted"] for one in body["purpose_grants"]}
