"""What recording clients say of consent, in headers and in metadata."""

from __future__ import annotations

import pytest
from siprec_client import ALICE, BOB, drive, metadata, over, serving, speak

from vcond_siprec.said import MOST_NAMED


@pytest.mark.parametrize("how", ["header", "metadata"])
def test_consent_comes_in_a_header_of_the_invite_or_in_the_metadata(how):
    async def main():
        async with serving() as (host, client):
            word, told = "denied; party=1", metadata(ALICE, BOB)
            if how == "metadata":
                added = f"<extensiondata><X-Vcond-Consent>{word}</X-Vcond-Consent></extensiondata></recording>"
                told = told.replace("</recording>", added)
            one = client("1", "2", headers=f"X-Vcond-Consent: {word}" if how == "header" else "")
            await one.invite(told)
            await speak(one, 1, 2)
            await one.bye()
            (said,) = (await over(host)).state.consents.said
            assert (said.party, said.state, said.how) == (1, "denied", how)

    drive(main())


def test_a_refusal_that_metadata_says_again_counts_and_consent_that_it_says_again_does_not():
    """Beside more vendors' values than a record gets."""

    async def main():
        async with serving() as (host, client):
            one, states = client("1", "2"), []
            for word in ("withdrawn", "granted; party=0", "withdrawn", "granted; party=0"):
                many = "".join(f"<v{number}>x</v{number}>" for number in range(2 * MOST_NAMED))
                added = f"<extensiondata>{many}<X-Vcond-Consent>{word}</X-Vcond-Consent></extensiondata></recording>"
                await one.invite(metadata(ALICE, BOB).replace("</recording>", added))
                await speak(one, 1, 2, seconds=0.2)
                states.append(host.calls[0].state.consents.state_of(0, "recording"))
            assert states == ["withdrawn", "granted", "withdrawn", "withdrawn"]
            await one.bye()

    drive(main())


def test_each_party_has_a_word_of_its_own_in_the_metadata():
    """The first alone was read."""

    async def main():
        async with serving() as (host, client):
            one = client("1", "2")
            words = "".join(
                f"<X-Vcond-Consent>{word}</X-Vcond-Consent>" for word in ("granted; party=0", "denied; party=1")
            )
            added = f"<extensiondata>{words}</extensiondata></recording>"
            await one.invite(metadata(ALICE, BOB).replace("</recording>", added))
            await speak(one, 1, 2, seconds=0.2)
            consents = host.calls[0].state.consents
            assert [consents.state_of(party, "recording") for party in (0, 1)] == ["granted", "denied"]
            await one.bye()

    drive(main())
