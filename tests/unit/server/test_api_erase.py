"""Requests to forget over the API: taken, told, refused."""

import base64
from pathlib import Path

import msgspec
import pytest
from api_kit import daemon

from vcond.records.forgetting import Forgetting, Named, Step
from vcond.server.api.tokens import Token


async def erase(one, of: str, role: str = "erase"):
    return await one.asked("/erase", role, "POST", json={"of": of})


async def test_a_call_is_forgotten_and_each_place_says_how_far_it_is(tmp_path: Path):
    async with daemon(tmp_path) as one:
        uuid = await one.vcon("plain")
        told = await one.told("/erase", "erase", "POST", json={"of": uuid})
        assert told["calls"] == [uuid]
        states = {place["place"]: place["state"] for place in told["places"]}
        assert states["outbox"] == states["sinks.folder"] == "done"
        assert await one.parts.outbox.get(uuid) is None
        again = await one.told(f"/erase/{told['id']}", "erase")
        assert (again["id"], again["state"], again["places"]) == (told["id"], told["state"], told["places"])
        assert (await erase(one, uuid))[0] == 404, "it is gone"
        assert [(line["what"], line["of"]) for line in one.accesses()] == [("erase", uuid)] * 2


async def test_of_a_person_the_access_record_has_the_kind_alone(tmp_path: Path):
    async with daemon(tmp_path) as one:
        status, _, body = await erase(one, "tel:+12125550143")
        assert (status, b"2125550143" in body) == (404, False)
        assert [line["of"] for line in one.accesses()] == ["tel"]
        assert "2125550143" not in (tmp_path / "state" / "access.jsonl").read_text()


async def test_what_is_on_hold_stays_and_nothing_is_touched(tmp_path: Path):
    async with daemon(tmp_path) as one:
        uuid = await one.vcon("plain")
        one.parts.holds.put(uuid, "case 7", "")
        status, _, body = await erase(one, uuid)
        assert (status, b"hold" in body) == (409, True)
        assert await one.parts.outbox.get(uuid) is not None
        assert one.parts.forgetter.all() == []


@pytest.mark.parametrize("of", ["", "019f155a", "+12125550143", "tel:", "all", "x" * 600])
async def test_what_names_nothing_for_sure_is_refused(tmp_path: Path, of: str):
    async with daemon(tmp_path) as one:
        await one.vcon("plain")
        assert (await erase(one, of))[0] == 400
        assert one.accesses() == []


async def test_at_no_door_is_one_party_taken_for_the_whole_call(tmp_path: Path):
    async with daemon(tmp_path) as one:
        uuid = await one.vcon("plain")
        for door, query in (("forget-party", {"party": ""}), ("forget-party", {"party": " "}), ("forget-party", {}),
                            ("forget", {"party": "0"}), ("forget", {"party": ""})):  # fmt: skip
            async with one.local.post(f"/v1/{door}", params={"call": uuid, **query}) as answer:
                assert (answer.status, "party" in await answer.text()) == (400, True)
        assert (await one.asked("/erase", "erase", "POST", json={"of": uuid, "party": "0"}))[0] == 400
        assert (await one.parts.outbox.get(uuid)) is not None
        assert one.parts.forgetter.all() == []


async def test_what_cannot_be_written_down_is_not_done(tmp_path: Path):
    async with daemon(tmp_path) as one:
        uuid = await one.vcon("plain")
        (tmp_path / "state" / "access.jsonl").mkdir()
        assert (await erase(one, uuid))[0] == 503
        assert await one.parts.outbox.get(uuid) is not None


async def test_the_role_reads_nothing_and_others_erase_nothing(tmp_path: Path):
    async with daemon(tmp_path) as one:
        uuid = await one.vcon("plain")
        for path in ("/vcons", f"/vcons/{uuid}", "/calls", "/outbox", "/sinks"):
            assert (await one.asked(path, "erase"))[0] == 403
        for role in ("watch", "read", "operate"):
            assert (await erase(one, uuid, role))[0] == 403
        assert (await one.told("/me", "erase"))["roles"] == ["erase"]


async def test_a_request_that_a_receiver_refuses_is_told_from_its_signed_receipt_too(tmp_path: Path):
    async with daemon(tmp_path) as one:
        step = Step("sinks.gone", ["u"], "given-up", "cannot erase")
        made = Forgetting("019f155a-5131-80ec-832a-bc92ac6830cd", 1, [Named("u", [])], [step], 2)
        one.parts.receipts._sign = lambda body: msgspec.json.encode({"payload": encoded(body), "signatures": []})
        await one.parts.receipts.keep(made)
        told = await one.told(f"/erase/{made.id}", "erase")
        assert (told["id"], told["state"]) == (made.id, "incomplete")
        assert told["places"] == [
            {"place": "sinks.gone", "state": "given-up", "reason": "cannot erase", "next_try": ""}
        ]


def encoded(body: bytes) -> str:
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


async def test_a_version_that_does_not_know_the_role_reads_the_other_tokens(tmp_path: Path):
    class Before(msgspec.Struct):
        """As the version before read one."""

        id: str
        name: str
        roles: tuple[str, ...]
        sha256: str
        created: int
        expires: int

    async with daemon(tmp_path) as one:
        await one.token("erase", name="conserver")
        await one.token("watch", "erase", name="both")
        kept = (tmp_path / "state" / "api-tokens.json").read_bytes()
        assert [token.roles for token in msgspec.json.decode(kept, type=list[Before])] == [(), ("watch",)]
        assert [token.all_roles for token in msgspec.json.decode(kept, type=list[Token])] == [
            ("erase",),
            ("watch", "erase"),
        ]
