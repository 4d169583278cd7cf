"""``forget CALL --party-only``: one party goes for good, the others stay in a vCon of its own, which is there first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from records_kit import TEL, config, edge

from vcond.base.errors import StorageError
from vcond.cli import forget
from vcond.records.holds import HeldError
from vcond.redaction.redact import own_uuid
from vcond.server import forgetting
from vcond.vcon import validate

WITHOUT = "without [0]"
"""As ``party.name_of`` has it of the caller."""


def there(root: Path, sink: str) -> dict[str, dict[str, Any]]:
    return {path.name[:36]: json.loads(path.read_bytes()) for path in (root / sink).iterdir()}


async def of(it: Any, identifier: str) -> list[str]:
    return [one.vcon for one in await it.parts.records.ask(lambda _ledger, index: index.find(identifier))]


@pytest.mark.parametrize("who", ["0", TEL, "tel:+1 (212) 555-0143", "name:caller"])
async def test_the_others_stay_in_a_vcon_of_its_own_and_nothing_tells_of_who_is_gone(tmp_path: Path, who: str):
    async with edge(config(tmp_path, "first", "second")) as it:
        call, other = await it.ended("k"), await it.ended("o", "+442079460958")
        words = it.parts.words
        await words.follow(rest=0)
        assert await words.find(["caller"], 9) == [other, call]
        row = await it.write("forget-party", call=call, party=who)
        stays = own_uuid(call, WITHOUT)
        assert (row["state"], row["conversations"][0]["stays_without_the_party"]) == ("complete", stays)
        assert f"  what stays of {call}: vCon {stays}, without the party" in [*forget.lines(row)]
        await it.until(lambda: it.stage(stays, "kept", "gone"))
        for sink in ("first", "second"):
            got = there(tmp_path, sink)
            assert set(got) == {stays, other}
            assert [one for one in validate(got[stays]) if one.level == "error"] == []
            assert [party.get("name") for party in got[stays]["parties"]][:2] == [None, "Agent"]
            text = json.dumps(got[stays])
            assert [one for one in (TEL, "2125550143", "Caller", call) if one in text] == []
            assert any(one.get("body") for one in got[stays]["dialog"]), "who stays is heard"
        assert await it.entry(call) is None
        entry = await it.entry(stays)
        assert entry.facts == {}
        assert (await of(it, TEL), set(await of(it, "name:agent"))) == ([], {stays, other})
        await words.follow(rest=0)
        assert (await words.find(["caller"], 9), await words.find(["agent"], 9)) == ([other], [stays, other])
        receipt = await it.read("receipt", id=row["receipt"])
        assert receipt["conversations"][0]["stays_without_the_party"] == stays
        left = [path for path in (tmp_path / "state").rglob("*") if call in path.name]
        assert left == []

        again = await it.write("forget", call=stays)
        assert again["state"] == "complete", "it is forgotten as any other"
        assert set(there(tmp_path, "first")) == {other}


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"party": "7"}, "no such party"),
        ({"party": "2"}, "no such party"),  # the recorder
        ({"party": "9" * 400}, "no such party"),
        ({"party": "tel:+15550009999"}, "no such party"),
        ({"party": "who?"}, "say what it is"),
        ({"call": f"tel:{TEL}", "party": "0"}, "by its id"),
    ],
)
async def test_what_cannot_be_is_said_and_changes_nothing(tmp_path: Path, query: dict[str, str], why: str):
    async with edge(config(tmp_path)) as it:
        call = await it.ended()
        with pytest.raises((LookupError, ValueError), match=why):
            await it.write("forget-party", **({"call": call} | query))
        assert set(there(tmp_path, "folder")) == {call}
        assert await it.read("forgetting") == []


async def test_calls_that_go_on_are_held_have_nobody_else_or_no_vcon_here_are_left_alone(tmp_path: Path):
    async with edge(config(tmp_path, delivery={"keep_days": 0})) as it:
        going_on = it.call("live")
        with pytest.raises(LookupError, match="still active"):
            await it.write("forget-party", call=going_on.uuid, party="0")
        gone = await it.ended("gone")
        await it.until(lambda: it.stage(gone, "gone"))
        with pytest.raises(LookupError, match="not on this machine"):
            await it.write("forget-party", call=gone, party="0")
    async with edge(config(tmp_path)) as it:
        held, alone = await it.ended("held"), await it.ended("alone", "1001")
        await it.write("hold", call=held, reason="case 7")
        with pytest.raises(HeldError):
            await it.write("forget-party", call=held, party="0")
        with pytest.raises(LookupError, match="nobody else"):
            await it.write("forget-party", call=alone, party="0")
        assert {held, alone} <= set(there(tmp_path, "folder"))
        assert await it.read("forgetting") == []


async def test_recordings_outside_of_the_vcon_would_be_lost_so_nothing_is_changed(tmp_path: Path):
    async with edge(config(tmp_path)) as it:
        call = await it.ended()
        (kept,) = (tmp_path / "state/outbox/kept").glob(f"{call}*")
        document = json.loads(kept.read_bytes())
        for dialog in document["dialog"]:
            dialog.pop("body", None)
            dialog["url"] = "https://media.example.com/one.wav"
        kept.write_bytes(json.dumps(document).encode())
        with pytest.raises(LookupError, match="media_dir"):
            await it.write("forget-party", call=call, party="0")
        assert set(there(tmp_path, "folder")) == {call}


async def test_a_crash_after_it_is_stored_costs_to_be_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with edge(config(tmp_path)) as it:
        call = await it.ended()

        async def full(*_: object) -> None:
            raise StorageError("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(it.parts.forgetter, "ask", full)
            with pytest.raises(
                StorageError, match=f"the disk is full; what stays is stored already, as vCon {own_uuid(call, WITHOUT)}"
            ):
                await it.write("forget-party", call=call, party="0")
        stays = own_uuid(call, WITHOUT)
        await it.until(lambda: it.stage(stays, "kept"))
        before = await it.entry(stays)
        assert set(there(tmp_path, "folder")) == {call, stays}
        with pytest.raises(LookupError, match=f"then for this one in vCon {stays}"):
            await it.write("forget-party", call=call, party="1")
        assert set(there(tmp_path, "folder")) == {call, stays}, "none that has the one and not the other"
    async with edge(config(tmp_path)) as it:
        row = await it.write("forget-party", call=call, party="0")
        assert row["state"] == "complete"
        assert await it.entry(stays) == before, "it was there"
        assert set(there(tmp_path, "folder")) == {stays}


async def test_a_call_that_is_forgotten_whole_meanwhile_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with edge(config(tmp_path)) as it:
        call = await it.ended()
        keep_others = forgetting.keep_others

        async def slow(*given: Any) -> str:
            assert (await it.write("forget", call=call))["state"] == "complete"
            return await keep_others(*given)

        monkeypatch.setattr(forgetting, "keep_others", slow)
        with pytest.raises(LookupError, match="as a whole"):
            await it.write("forget-party", call=call, party="0")
        stays = own_uuid(call, WITHOUT)
        assert (await it.entry(stays), there(tmp_path, "folder")) == (None, {})
        assert await of(it, "name:agent") == []


async def test_only_sinks_that_have_the_original_get_what_stays(tmp_path: Path):
    sinks = [
        {"type": "folder", "name": "all", "path": str(tmp_path / "all")},
        {
            "type": "folder",
            "name": "sales",
            "path": str(tmp_path / "sales"),
            "match": {"attributes": {"queue": "sales"}},
        },
    ]
    async with edge(config(tmp_path, sinks=sinks)) as it:
        call = await it.ended()
        await it.write("forget-party", call=call, party="0")
        stays = own_uuid(call, WITHOUT)
        await it.until(lambda: it.stage(stays, "kept"))
        assert set(there(tmp_path, "all")) == {stays}
        assert not (tmp_path / "sales").exists() or there(tmp_path, "sales") == {}


async def test_a_call_that_is_being_forgotten_whole_is_not_asked_for_by_party(tmp_path: Path):
    async with edge(config(tmp_path)) as it:
        call = await it.ended()
        (tmp_path / "folder").rename(tmp_path / "away")
        (tmp_path / "folder").write_text("in the way")
        row = await it.write("forget", call=call)
        assert row["state"] == "open"
        with pytest.raises(LookupError, match="as a whole"):
            await it.write("forget-party", call=call, party="0")


async def test_who_asks_for_another_party_meanwhile_is_told_what_to_name(tmp_path: Path):
    async with edge(config(tmp_path)) as it:
        call = await it.ended()
        (tmp_path / "folder").rename(tmp_path / "away")
        (tmp_path / "folder").write_text("in the way")
        assert (await it.write("forget-party", call=call, party="0"))["state"] == "open"
        stays = own_uuid(call, WITHOUT)
        for who in ("1", "name:agent"):
            with pytest.raises(LookupError, match=f"by the vCon that stays, {stays}"):
                await it.write("forget-party", call=call, party=who)
        assert (await it.write("forget-party", call=call, party=TEL))["state"] == "open", "asked again"
        assert len(await it.read("forgetting")) == 1
