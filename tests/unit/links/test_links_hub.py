"""Links at a hub: what they make is beside what came, once, and what they cannot make is a dead letter."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hub_kit import body_of, hub, uuid_of, vcon
from links_kit import install, linking, settled

from vcond.base.errors import ConfigError
from vcond.publish import apart, link_sink
from vcond.publish.links.tag import TagLink
from vcond.sdk.link import LinkOptions, linked, linked_uuid
from vcond.vcon import serialize

TAG = '[[links]]\ntype = "tag"\nmatch = { attributes = { ingress_list = "edge" } }\nsettings = { tags = { team = "support" } }\n'
MADE = linked_uuid(uuid_of(1), "tag", 0)


async def test_what_a_link_makes_is_kept_found_and_told_beside_what_came_which_stays_byte_for_byte(tmp_path: Path):
    async with linking(tmp_path, TAG) as one:
        await one.bring(body_of(1))
        found = await settled(one, uuid_of(1), link_tag="delivered")
        assert found["link:tag"].target == MADE
        assert (await one.ask("GET", f"/vcon/{uuid_of(1)}"))[1] == body_of(1)
        made = await one.told(f"/vcon/{MADE}")
        assert made["amended"] == {"uuid": uuid_of(1)}
        assert made["attachments"][0]["body"] == ["queue:sales", "team:support"]
        assert {name: value for name, value in made.items() if name not in {"uuid", "amended", "attachments"}} == {
            name: value for name, value in vcon(1).items() if name not in {"uuid", "attachments"}
        }
        assert sorted(await one.told("/vcons/search?tel=%2B12125550001")) == sorted([uuid_of(1), MADE])
        assert sorted(await one.told("/vcon")) == sorted([uuid_of(1), MADE])
        await one.parts.records.follow(one.parts.outbox)
        rows = await one.parts.records.ask(lambda ledger, _: ledger.rows(vcons=[uuid_of(1)]))
        told = [(row["event"], row["vcon"], row.get("sink")) for row in rows if row["event"] != "read"]
        assert told == [("vcon_received", uuid_of(1), None), ("vcon_created", MADE, None)]
        assert [row["made"]["adapter"] for row in rows if "made" in row] == ["hub", "link:tag"]


async def test_a_link_gets_what_its_match_takes_and_another_what_it_makes(tmp_path: Path):
    out = tmp_path / "out"
    more = (
        f'{TAG}[[links]]\ntype = "redact"\nafter = "tag"\n[[links]]\ntype = "tag"\nname = "all"\nsettings = {{ tags = {{ a = "b" }} }}\n'
        f'[[sinks]]\ntype = "folder"\npath = "{out}"\nmatch = {{ adapter = "link:redact" }}\n'
    )
    async with linking(tmp_path, more) as one:
        await one.bring(body_of(1))
        await one.bring(body_of(2), "shop", "shop-key-0123456789")
        await settled(
            one, uuid_of(1), link_tag="delivered", link_all="delivered", link_redact="unmatched", folder="unmatched"
        )
        await settled(one, uuid_of(2), link_tag="unmatched", link_all="delivered")
        await settled(one, MADE, link_redact="delivered", link_tag="unmatched", link_all="unmatched")
        redacted = linked_uuid(MADE, "redact", 0)
        await settled(one, redacted, folder="delivered")
        assert (await one.told(f"/vcon/{redacted}"))["redacted"] == {"type": "pii-masked", "uuid": MADE}
        assert [path.name for path in out.iterdir()] == [f"{redacted}.vcon.json"]
        assert len(await one.told("/vcon")) == 6  # two that came, three with tags, one redacted


async def test_a_tag_of_a_vcon_does_not_make_it_one_that_a_link_made(tmp_path: Path):
    out = tmp_path / "out"
    sink = f'[[sinks]]\ntype = "folder"\npath = "{out}"\nmatch = {{ adapter = "link:redact" }}\n'
    tags = [{"purpose": "tags", "body": ["link:redact", "adapter:link:redact"]}]
    async with linking(tmp_path, sink) as one:
        await one.bring(body_of(1, attachments=tags))
        await settled(one, uuid_of(1), folder="unmatched")


async def test_what_a_link_hangs_on_is_a_dead_letter_and_others_go_on(tmp_path: Path, monkeypatch):
    install(monkeypatch.setattr)
    monkeypatch.setattr(link_sink, "TRIES", 1)  # this clock stands, and waits never end
    send = apart.send

    def sent(channel, body, until):  # what never ends gets no time
        send(channel, body, until)
        if b'"wait"' in body:
            raise TimeoutError

    monkeypatch.setattr(apart, "send", sent)
    async with linking(tmp_path, '[[links]]\ntype = "waits"\n') as one:
        await one.bring(body_of(1, subject="wait"))
        await one.bring(body_of(2))
        found = await settled(one, uuid_of(1), link_waits="dead")
        assert found["link:waits"].reason == "link-failed"
        assert "it took longer than 120 s and was ended (1 times)" in found["link:waits"].answer
        found = await settled(one, uuid_of(2), link_waits="delivered")
        assert found["link:waits"].target == "nothing made"
        assert (await one.ask("GET", f"/vcon/{uuid_of(1)}"))[0] == 200
        (row,) = await one.parts.status.reads["outbox"]({"state": "dead"})
        assert row["sink"] == "link:waits"


async def test_links_that_hang_hold_nothing_else_up(tmp_path: Path, monkeypatch):
    install(monkeypatch.setattr)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    async with linking(tmp_path, '[[links]]\ntype = "waits"\n[[links]]\ntype = "two"\n') as one:
        assert await one.bring(body_of(1, subject="wait")) == 204
        async with asyncio.timeout(60):
            assert await one.bring(body_of(2)) == 204
            await settled(one, uuid_of(2), link_two="delivered")


async def test_a_dead_letter_that_is_put_back_is_shown_again(tmp_path: Path, monkeypatch):
    install(monkeypatch.setattr)
    monkeypatch.setattr(link_sink, "TRIES", 1)
    there = tmp_path / "there"
    more = f'[[links]]\ntype = "gone"\nsettings = {{ until = "{there}" }}\n'
    async with linking(tmp_path, more) as one:
        await one.bring(body_of(1))
        await settled(one, uuid_of(1), link_gone="dead")
        there.touch()
        await one.parts.outbox.retry(uuid_of(1), "link:gone")
        await settled(one, uuid_of(1), link_gone="delivered")
        assert (await one.ask("GET", f"/vcon/{linked_uuid(uuid_of(1), 'gone', 0)}"))[0] == 200


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("large", "it makes a vCon of"),
        ("odd", "cannot be stored: body.parties"),
        ("heavy", "what it makes of one vCon has 30000"),
    ],
)
async def test_what_cannot_be_kept_is_a_dead_letter_and_nothing_of_it_stays(
    tmp_path: Path, monkeypatch, link: str, why: str
):
    install(monkeypatch.setattr)
    async with linking(
        tmp_path, f'max_bytes = {67_000_000 if link == "heavy" else 1_000_000}\n[[links]]\ntype = "{link}"\n'
    ) as one:
        await one.bring(body_of(1))
        found = await settled(one, uuid_of(1), **{f"link_{link}": "dead"})
        assert why in found[f"link:{link}"].answer
        assert await one.told("/vcon") == [uuid_of(1)]


async def test_what_was_stored_before_a_kill_is_not_stored_again_and_the_rest_is(tmp_path: Path, monkeypatch):
    install(monkeypatch.setattr)
    two = '[[links]]\ntype = "two"\n'
    first, second = (linked_uuid(uuid_of(1), "two", place) for place in range(2))
    async with hub(tmp_path, two) as one:  # its outbox does not run: nothing is noted as done
        await one.bring(body_of(1))
        body = json.dumps({**vcon(1), "uuid": first, "subject": "of the first try"}).encode()
        assert await one.parts.intake.stored(uuid_of(1), first, body, "two", "amended")
    async with linking(tmp_path, two) as one:
        await settled(one, uuid_of(1), link_two="delivered")
        assert (await one.told(f"/vcon/{first}"))["subject"] == "of the first try"
        assert (await one.told(f"/vcon/{second}"))["subject"] == "second"
        assert len(await one.told("/vcon")) == 3


@pytest.mark.parametrize("same", [True, False])
async def test_what_was_brought_under_the_uuid_of_what_a_link_makes_is_not_taken_for_it(tmp_path: Path, same: bool):
    """Who may store may work the uuid out, and say beforehand what the redacted form is."""
    out = tmp_path / "out"
    sink = f'[[sinks]]\ntype = "folder"\npath = "{out}"\nmatch = {{ adapter = "link:tag" }}\n'
    tagged = {
        **linked(vcon(1), next(iter(TagLink(LinkOptions({"tags": {"team": "support"}})).work(vcon(1)))), "tag", 0)
    }
    planted = serialize(tagged if same else {**tagged, "subject": "another"})
    async with linking(tmp_path, f"{TAG.replace('edge', 'shop')}{sink}") as one:
        assert await one.bring(planted) == 204
        await settled(one, MADE, link_tag="unmatched", folder="unmatched")
        assert await one.bring(body_of(1), "shop", "shop-key-0123456789") == 204
        found = await settled(one, uuid_of(1), link_tag="dead")
        assert "was brought under the uuid that this one gets" in found["link:tag"].answer
        assert (await one.ask("GET", f"/vcon/{MADE}"))[1] == planted


async def test_what_is_deleted_takes_with_it_what_was_made_of_it(tmp_path: Path):
    async with linking(tmp_path, TAG) as one:
        await one.bring(body_of(1))
        await settled(one, uuid_of(1), link_tag="delivered")
        assert (await one.ask("DELETE", f"/vcon/{uuid_of(1)}"))[0] == 204
        assert await one.told("/vcon") == []
        assert not [path for path in (tmp_path / "state").rglob("*") if MADE in path.name or uuid_of(1) in path.name]
        assert await one.told("/vcons/search?tel=%2B12125550001") == []


async def test_what_a_link_stores_while_its_vcon_is_deleted_goes_too(tmp_path: Path, monkeypatch):
    """Between the request, which names what there is, and its being noted."""
    async with hub(tmp_path, TAG) as one:
        await one.bring(body_of(1))
        made = json.dumps({**vcon(1), "uuid": MADE}).encode()
        ask = one.parts.forgetter.ask

        async def late(*args):
            if await one.parts.outbox.get(MADE) is None:
                await one.parts.intake.stored(uuid_of(1), MADE, made, "tag", "amended")
            return await ask(*args)

        monkeypatch.setattr(one.parts.forgetter, "ask", late)
        assert (await one.ask("DELETE", f"/vcon/{uuid_of(1)}"))[0] == 204
        assert await one.told("/vcon") == []
        assert (await one.ask("GET", f"/vcon/{MADE}"))[0] == 404


async def test_one_that_was_made_is_held_as_what_it_was_made_of_and_goes_alone_when_it_is_not(tmp_path: Path):
    async with linking(tmp_path, TAG) as one:
        await one.bring(body_of(1))
        await settled(one, uuid_of(1), link_tag="delivered")
        await one.parts.status.writes["hold"]({"call": uuid_of(1), "reason": "case 1"})
        for uuid in (uuid_of(1), MADE):
            assert (await one.ask("DELETE", f"/vcon/{uuid}"))[0] == 409
        await one.parts.status.writes["release"]({"call": uuid_of(1)})
        assert (await one.ask("DELETE", f"/vcon/{MADE}"))[0] == 204
        assert await one.told("/vcon") == [uuid_of(1)]


async def test_a_link_that_is_new_gets_what_comes_from_then_on(tmp_path: Path):
    async with linking(tmp_path, "") as one:
        await one.bring(body_of(1))
    async with linking(tmp_path, TAG) as one:
        await one.bring(body_of(2))
        await settled(one, uuid_of(2), link_tag="delivered")
        assert len(await one.told("/vcon")) == 3
    async with linking(tmp_path, "") as one:  # and one that was removed keeps nothing open
        assert (await one.ask("DELETE", f"/vcon/{uuid_of(2)}"))[0] == 204
        assert await one.told("/vcon") == [uuid_of(1)]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ('[[links]]\ntype = "no"\n', "there is no link 'no'"),
        (TAG + TAG, "two links are named 'tag'"),
        ('[[links]]\ntype = "redact"\nafter = "tag"\n' + TAG, "no link 'tag' stands before it"),
        ('[[links]]\ntype = "tag"\n', "tags"),
        ('[[links]]\ntype = "redact"\nseconds = 600\n[delivery]\nattempt_timeout = 600\n', "attempt_timeout"),
    ],
)
async def test_what_cannot_be_is_said_at_the_start(tmp_path: Path, more: str, why: str):
    with pytest.raises(ConfigError, match=why):
        async with hub(tmp_path, more):
            raise AssertionError
