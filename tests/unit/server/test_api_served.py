"""Every route with every role; what is masked, refused, counted and written down."""

import asyncio
import io
import json
import socket
from pathlib import Path

import pytest
import structlog
from api_kit import daemon, until

from vcond.base import metrics
from vcond.base.errors import StorageError
from vcond.base.time import SECOND, Instant
from vcond.base.tls import client as trusting
from vcond.call import events as ev
from vcond.server import listener
from vcond.server.api import app as app_module
from vcond.server.api import guard as guard_module
from vcond.server.api import server as server_module
from vcond.server.api.tokens import ROLES
from vcond.testing.certificates import certificate

ANN = ev.PartyInfo(name="Ann", tel="+15551230001")
NAMELESS = ev.PartyInfo(tel="+4930123456")
UUID = "019f155a-5131-80ec-832a-bc92ac6830cd"


def refused(reason: str) -> float:
    return metrics.api_refused_total.labels(reason)._value.get()


async def test_every_route_wants_a_token_and_its_role_and_every_refusal_is_counted(tmp_path: Path):
    async with daemon(tmp_path) as one:
        uuid, call = await one.vcon("plain"), one.call(ANN)
        await one.dead(uuid)
        routes = one.parts.api._api.routes
        assert len(routes) > 20
        for route in routes:
            path = route.path.format(uuid=uuid, call=call.uuid, dialog="0", id=uuid)
            before = refused("token"), refused("role")
            assert (await one.asked(path, None, route.method))[0] == 401
            others = [role for role in ROLES if route.role not in {None, role} and role != "admin"]
            for role in others:
                status, _, body = await one.asked(path, role, route.method)
                assert (status, "role" in json.loads(body)["error"]) == (403, True), (path, role)
            assert (refused("token"), refused("role")) == (before[0] + 1, before[1] + len(others))
            if route.path not in {"/events", "/vcons/{uuid}/audio/{dialog}"}:
                for role in {route.role or "watch", "admin"}:
                    assert (await one.asked(path, role, route.method))[0] in {
                        200,
                        400 if path == "/erase" or path.endswith("/consent") else 404,
                        404,
                    }, path  # a dead letter is sent once


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer x", "Bearer vcond_000000000000_x", "Basic YTpi", "Bearer \xff\xfe", "bearer vcond__"],
)
async def test_no_good_token_no_answer(tmp_path: Path, header: str):
    async with daemon(tmp_path) as one:
        async with one.client.get("/api/v1/calls", headers={"Authorization": header}) as answer:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        async with one.client.get(f"/api/v1/calls?token={await one.token('admin')}") as answer:
            assert answer.status == 401


async def test_an_expired_and_a_revoked_token_are_none(tmp_path: Path):
    async with daemon(tmp_path) as one:
        assert (await one.asked("/calls", "watch"))[0] == 200
        (row,) = await one.parts.api.reads["tokens"]({})
        assert row["good"]
        one.tokens["gone"] = await one.token("watch")
        gone = one.tokens["gone"].split("_")[1]
        await one.parts.api.writes["token-revoke"]({"id": gone})
        assert (await one.asked("/calls", "gone"))[0] == 401
        one.time[0] += 2 * 86_400 * 10**9
        assert (await one.asked("/calls", "watch"))[0] == 401


async def test_who_only_watches_sees_no_number_and_nothing_dialled(tmp_path: Path):
    async with daemon(tmp_path) as one:
        call = one.call(ANN, NAMELESS)
        call.emit(ev.Answered(at=one.at(1)))
        call.emit(ev.Dtmf(at=one.at(2), party=0, button="7"))
        call.emit(ev.RecordingPaused(at=one.at(3), by="party", party=1))
        for path, method in (("/calls", "GET"), (f"/calls/{call.uuid}", "GET"), ("/status", "GET")):
            _, _, body = await one.asked(path, "watch", method)
            assert b"5551230" not in body
            assert b"30123456" not in body
            assert b'"button":"7"' not in body
        (row,) = await one.told("/calls", "watch")
        assert [party["tel"][-2:] for party in row["parties"]] == ["01", "56"]
        assert row["parties"][0]["name"] == "Ann"
        paused = await one.told(f"/calls/{call.uuid}/pause", "operate", "POST")
        assert "30123456" not in json.dumps(paused)
        assert sorted(paused["paused_by"]) == ["operator", "party 1"]
        assert set(paused) == {"call", "paused", "paused_by"}, "who may pause does not see who talks"
        whole = await one.told(f"/calls/{call.uuid}", "admin")
        assert [party["tel"] for party in whole["parties"]] == [ANN.tel, NAMELESS.tel]
        assert "7" in [moment["button"] for moment in whole["history"]]


async def test_who_is_on_hold_is_said(tmp_path: Path):
    async with daemon(tmp_path) as one:
        call = one.call(ANN, NAMELESS)
        held = []
        for event in (ev.Held(at=one.at(1), party=1), ev.Retrieved(at=one.at(2), party=1), ev.Held(at=one.at(3), party=1),
                      ev.PartyLeft(at=one.at(4), party=1)):  # fmt: skip
            call.emit(event)
            (row,) = await one.told("/calls", "watch")
            held.append([party["held"] for party in row["parties"]])
        assert held == [[False, True], [False, False], [False, True], [False, False]]


async def test_pause_and_resume_and_only_admin_overrides_others(tmp_path: Path):
    async with daemon(tmp_path) as one:
        call = one.call(ANN)
        row = await one.told(f"/calls/{call.uuid[:20]}/pause", "operate", "POST", json={"reason": "card"})
        assert (row["paused"], row["paused_by"]) == (True, ["operator"])
        assert not (await one.told(f"/calls/{call.uuid}/resume", "operate", "POST"))["paused"]
        call.emit(ev.RecordingPaused(at=one.at(1), by="party", party=0))
        assert (await one.told(f"/calls/{call.uuid}/resume", "operate", "POST"))["paused"]
        status, *_ = await one.asked(f"/calls/{call.uuid}/resume", "operate", "POST", json={"force": True})
        assert status == 403
        assert not (await one.told(f"/calls/{call.uuid}/resume", "admin", "POST", json={"force": True}))["paused"]


async def test_a_pause_with_an_end_ends_by_itself(tmp_path: Path):
    async with daemon(tmp_path) as one:
        call = one.call(ANN)
        assert (await one.told(f"/calls/{call.uuid}/pause", "operate", "POST", json={"seconds": 90}))["paused"]
        (pause,) = call.state.pauses
        assert pause.until - pause.start == 90 * SECOND
        one.time[0] = pause.until - 1
        one.parts.registry.tick(Instant(one.time[0]))
        assert call.state.paused
        one.time[0] = pause.until
        one.parts.registry.tick(Instant(one.time[0]))
        assert not call.state.paused


async def test_what_a_party_said_of_consent_is_told_once_by_its_number(tmp_path: Path):
    async with daemon(tmp_path) as one:
        call = one.call(ANN, NAMELESS)
        said = {"party": 1, "state": "denied", "how": "page", "purposes": ["analysis"], "evidence": {"page": "terms-3"}}
        for changed in (True, False):
            row = await one.told(f"/calls/{call.uuid[:20]}/consent", "operate", "POST", json=said)
            assert (row["call"], row["party"], row["changed"]) == (call.uuid, 1, changed)
            assert [(of["party"], of["analysis"], of["recording"]) for of in row["consent"]] == [
                (0, "unknown", "unknown"),
                (1, "denied", "unknown"),
            ]
        (event,) = call.state.consents.said
        assert (event.party, event.state, event.how, event.purposes) == (1, "denied", "page", ("analysis",))
        assert event.evidence == {"page": "terms-3"}


@pytest.mark.parametrize(
    ("wrong", "status", "names"),
    [
        ({"party": 2}, 404, "party: the call has no party 2; it has 2"),
        ({"party": -1}, 400, "party"),
        ({"party": "Ann"}, 400, "party"),
        ({"state": "perhaps"}, 400, "state"),
        ({"how": "telepathy"}, 400, "how"),
        ({"purposes": ["marketing"]}, 400, "purposes"),
        ({"evidence": ["x"]}, 400, "evidence"),
        ({"evidence": {"text": "x" * 20_000}}, 400, "evidence.text"),
        ({"evidence": {str(n): "" for n in range(17)}}, 400, "evidence"),
        ({"evidence": {"text": "x" * (1 << 20)}}, 413, "exceeded"),
    ],
)
async def test_a_word_of_consent_that_is_wrong_is_named_and_changes_nothing(tmp_path: Path, wrong, status, names):
    async with daemon(tmp_path) as one:
        call = one.call(ANN, NAMELESS)
        before = list(call.journal.events)
        asked = {"party": 0, "state": "granted"} | wrong
        body, kind = io.BytesIO(json.dumps(asked).encode()), {"Content-Type": "application/json"}
        got, _, body = await one.asked(f"/calls/{call.uuid}/consent", "operate", "POST", data=body, headers=kind)
        assert got == status, body
        told = json.loads(body)["error"]
        assert names in told
        assert "1555" not in told
        assert call.journal.events == before


@pytest.mark.parametrize("seconds", [0, -1, 86_401, 1.5, "90"])
async def test_a_pause_whose_end_makes_no_sense_pauses_nothing(tmp_path: Path, seconds):
    async with daemon(tmp_path) as one:
        call = one.call(ANN)
        got, _, body = await one.asked(f"/calls/{call.uuid}/pause", "operate", "POST", json={"seconds": seconds})
        assert (got, "seconds" in json.loads(body)["error"]) == (400, True)
        assert not call.state.paused


async def test_dead_letters_are_listed_retried_and_discarded(tmp_path: Path):
    async with daemon(tmp_path) as one:
        uuid = await one.vcon("plain")
        await one.dead(uuid, "<b>no</b>")
        (row,) = await one.told("/dead-letters", "operate")
        assert (row["uuid"], row["answer"]) == (uuid, "<b>no</b>")
        assert (await one.told(f"/outbox/{uuid}/retry", "operate", "POST"))["retried"] == 1
        assert await one.told("/dead-letters", "operate") == []
        (row,) = await one.told("/outbox", "operate")
        assert row["state"] == "pending"
        await one.dead(uuid)
        assert (await one.told(f"/outbox/{uuid}/discard", "operate", "POST"))["discarded"] == ["folder"]
        assert (await one.asked(f"/outbox/{UUID}/discard", "operate", "POST"))[0] == 404
        assert (await one.told(f"/outbox/{uuid}", "operate"))["uuid"] == uuid


@pytest.mark.parametrize(
    ("path", "method", "more", "status"),
    [
        ("/nowhere", "GET", {}, 404),
        ("/calls", "DELETE", {}, 405),
        ("/dead-letters/retry", "GET", {}, 405),
        (f"/calls/{UUID}/resume", "POST", {"json": {"force": 0}}, 400),
        (f"/calls/{UUID}/resume", "POST", {"json": {"call": "x"}}, 404),
        ("/calls/none", "GET", {}, 404),
        ("/calls/" + "a" * 65, "GET", {}, 400),
        ("/calls?more=1", "GET", {}, 400),
        ("/vcons?limit=0", "GET", {}, 400),
        ("/vcons?limit=501", "GET", {}, 400),
        ("/vcons?limit=1e9", "GET", {}, 400),
        ("/vcons?limit=x", "GET", {}, 400),
        ("/vcons?before=" + "a" * 65, "GET", {}, 400),
        ("/vcons?before=" + "a" * 9000, "GET", {}, 400),
        ("/vcons/x", "GET", {}, 400),
        ("/vcons/..%2f..%2fetc", "GET", {}, 400),
        (f"/vcons/{UUID}", "GET", {}, 404),
        (f"/vcons/{UUID.upper()}", "GET", {}, 400),
        (f"/vcons/{UUID}/audio/-1", "GET", {}, 400),
        (f"/vcons/{UUID}/audio/99999", "GET", {}, 400),
        (f"/vcons/{UUID}/transcript?form=pdf", "GET", {}, 400),
        ("/dead-letters/retry", "POST", {"json": {"sink": "nobody"}}, 404),
        ("/dead-letters/retry", "POST", {"json": ["sink"]}, 400),
        ("/dead-letters/retry", "POST", {"json": {"sink": 7}}, 400),
        ("/dead-letters/retry", "POST", {"json": {"sink": ""}}, 400),
        ("/events?call=", "GET", {}, 400),
        ("/search", "POST", {"json": {"of": ""}}, 400),
        ("/dead-letters/retry", "POST", {"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ("/dead-letters/retry", "POST", {"data": b"\xff", "headers": {"Content-Type": "application/json"}}, 400),
        ("/dead-letters/retry", "POST", {"data": {"sink": "folder"}}, 400),
        ("/dead-letters/retry", "POST", {"json": {"sink": "a" * 70_000}}, 413),
        ("/dead-letters/retry", "POST", {"data": b"[" * 20_000, "headers": {"Content-Type": "application/json"}}, 400),
    ],
)
async def test_bad_requests_are_said_in_json(tmp_path: Path, path: str, method: str, more, status: int):
    async with daemon(tmp_path) as one:
        got, headers, body = await one.asked(path, "admin", method, **more)
        assert got == status, body
        if got != 400 or len(path) < 8000:  # one that aiohttp cannot read at all it answers by itself
            assert json.loads(body)["error"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cache-Control"] == "no-store"


async def test_what_cannot_be_written_down_is_not_shown(tmp_path: Path, monkeypatch):
    async with daemon(tmp_path) as one:
        uuid, call = await one.vcon("plain"), one.call(ANN)

        async def full(*_: str) -> None:
            raise StorageError("no space left on device")

        monkeypatch.setattr(one.parts.api.access, "add", full)
        for path in (f"/vcons/{uuid}", f"/vcons/{uuid}/audio/0", f"/calls/{call.uuid}", "/events"):
            status, _, body = await one.asked(path)
            assert (status, b"no space" in body) == (503, True), path


async def test_who_read_what_is_written_down(tmp_path: Path):
    async with daemon(tmp_path) as one:
        uuid, call = await one.vcon("plain"), one.call(ANN)
        for path in ("", "/transcript", "/audio/0"):
            await one.asked(f"/vcons/{uuid}{path}", "read")
        await one.asked(f"/calls/{call.uuid}", "watch")
        await one.asked("/calls", "watch")
        async with one.local.get(f"/api/v1/vcons/{uuid}") as answer:
            assert answer.status == 200
        rows = one.accesses()
        assert [(row["what"], row["of"]) for row in rows] == [
            ("vcon", uuid), ("transcript", uuid), ("audio", uuid), ("call", call.uuid), ("vcon", uuid),
        ]  # fmt: skip
        assert rows[0]["who"].startswith("test (")
        assert rows[0]["by"] == "127.0.0.1"
        assert rows[-1]["who"].startswith("user ")


async def test_the_admin_socket_needs_no_token_and_may_all(tmp_path: Path):
    async with daemon(tmp_path) as one:
        call = one.call(ANN)
        async with one.local.get(f"/api/v1/calls/{call.uuid}") as answer:
            assert (await answer.json())["parties"][0]["tel"] == ANN.tel
        async with one.local.get("/api/v1/me") as answer:
            assert (await answer.json())["roles"] == ["admin"]
        async with one.local.get("/v1/tokens") as answer:
            assert await answer.json() == []


async def test_tokens_are_made_on_the_admin_socket_only(tmp_path: Path):
    async with daemon(tmp_path) as one:
        token = await one.token("admin")
        for path in ("/v1/token-create?who=a&roles=admin&days=1", "/api/v1/token-create?who=a&roles=admin&days=1"):
            async with one.client.post(path, headers={"Authorization": f"Bearer {token}"}) as answer:
                assert answer.status == 404
        async with one.local.post("/v1/token-create?who=a&roles=watch&days=x") as answer:
            assert answer.status == 400


async def test_a_pace_is_kept_and_said(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(guard_module, "BURST", 3.0)
    async with daemon(tmp_path) as one:
        got = [await one.asked("/me", "watch") for _ in range(4)]
        assert [status for status, *_ in got] == [200, 200, 200, 429]
        assert int(got[-1][1]["Retry-After"]) >= 1
        assert (await one.asked("/me", "read"))[0] == 200, "another token has its own"
        one.time[0] += 10**9
        assert (await one.asked("/me", "watch"))[0] == 200


async def test_wrong_tokens_are_paced_and_keep_no_right_one_out(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(guard_module, "WRONG_BURST", 2.0)
    async with daemon(tmp_path) as one:
        assert [(await one.asked("/me", None))[0] for _ in range(4)] == [401, 401, 429, 429]
        assert (await one.asked("/me", "watch"))[0] == 200


async def test_what_is_remembered_of_strangers_is_bounded(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(guard_module, "MOST", 5)
    async with daemon(tmp_path) as one:
        guard = one.parts.api._api.guard
        for number in range(20):
            guard.link(guard_module.Who("a", ("watch",)))
            guard._wait(f"wrong {number}", 1.0, 1.0)
        assert len(guard._links) == len(guard._paces) == 5


async def test_a_session_is_opened_once_by_a_link_and_changes_nothing_for_other_origins(tmp_path: Path):
    async with daemon(tmp_path) as one:
        guard, call = one.parts.api._api.guard, one.call(ANN)
        code = guard.link(guard_module.Who("page", ("watch", "operate")))
        session = guard.open(code)
        assert session is not None
        assert guard.open(code) is None
        cookie, origin = {"Cookie": f"{guard_module.COOKIE}={session}"}, str(one.client._base_url.origin())
        path = f"/calls/{call.uuid}/pause"
        assert (await one.asked("/calls", None, headers=cookie))[0] == 200
        before = refused("origin")
        for other in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": origin + "0"}):
            assert (await one.asked(path, None, "POST", headers=cookie | other))[0] == 403
        assert refused("origin") == before + 4
        assert not call.state.paused
        assert (await one.asked(path, None, "POST", headers=cookie | {"Origin": origin}))[0] == 200
        guard.close(session)
        assert (await one.asked("/calls", None, headers=cookie))[0] == 401


async def test_behind_a_proxy_that_changes_host_and_asks_for_a_password_the_page_works(tmp_path: Path):
    public = "https://calls.example.com"
    async with daemon(tmp_path, f'listen = "127.0.0.1:0"\npublic_url = "{public}/"') as one:
        guard = one.parts.api._api.guard
        session = guard.open(guard.link(guard_module.Who("page", ("operate",))))
        port = one.parts.api.server._listener.port
        at, headers = f"http://127.0.0.1:{port}", {"Cookie": f"{guard_module.COOKIE}={session}"}
        for origin, status in ((public, 200), (f"{public}.evil.example", 403), ("http://[", 400)):
            more = {"Authorization": "Basic YTpi", "Origin": origin}
            async with one.client.post(f"{at}/api/v1/dead-letters/retry", headers=headers | more) as answer:
                assert answer.status == status, origin


async def test_one_token_logs_nobody_else_out_and_has_one_pace(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(guard_module, "MOST", 5)
    monkeypatch.setattr(guard_module, "MOST_OF_ONE", 2)
    async with daemon(tmp_path) as one:
        guard, token = one.parts.api._api.guard, await one.token("watch")
        other = guard.open(await one.token("admin"))
        own = [guard.open(token) for _ in range(10)]
        for session, status in ((other, 200), (own[0], 401), (own[-2], 200), (own[-1], 200)):
            assert (await one.asked("/me", None, headers={"Cookie": f"{guard_module.COOKIE}={session}"}))[0] == status
        monkeypatch.setattr(guard_module, "BURST", 2.0)
        guard._paces.clear()
        got = [
            (await one.asked("/me", None, headers={"Cookie": f"{guard_module.COOKIE}={own[-1 - at % 2]}"}))[0]
            for at in range(4)
        ]
        assert got == [200, 200, 429, 429]


async def test_a_session_ends_with_its_token_and_by_itself(tmp_path: Path):
    async with daemon(tmp_path) as one:
        guard, token = one.parts.api._api.guard, await one.token("watch")
        ended, late = guard.open(token), guard.open(guard.link(guard_module.Who("page", ("watch",))))
        for session in (ended, late):
            assert (await one.asked("/me", None, headers={"Cookie": f"{guard_module.COOKIE}={session}"}))[0] == 200
        await one.parts.api.writes["token-revoke"]({"id": token.split("_")[1]})
        assert (await one.asked("/me", None, headers={"Cookie": f"{guard_module.COOKIE}={ended}"}))[0] == 401
        one.time[0] += guard_module.SESSION * 10**9
        assert (await one.asked("/me", None, headers={"Cookie": f"{guard_module.COOKIE}={late}"}))[0] == 401


async def test_a_link_is_not_good_for_long(tmp_path: Path):
    async with daemon(tmp_path) as one:
        guard = one.parts.api._api.guard
        code = guard.link(guard_module.Who("page", ("watch",)))
        one.time[0] += guard_module.LINK * 10**9
        assert guard.open(code) is None


async def test_an_address_that_is_taken_costs_the_api_alone(tmp_path: Path):
    async with daemon(tmp_path) as one:
        (other := tmp_path / "other").mkdir()
        async with daemon(other, f'listen = "{one.client._base_url.authority}"') as second:
            assert second.parts.api.trouble.startswith("cannot listen on 127.0.0.1:")
            assert "api: cannot listen" in second.parts.status.line()
            async with second.local.get("/api/v1/status") as answer:
                assert (await answer.json())["api"] == ""


async def test_it_is_off_by_default_and_the_admin_socket_serves_it_all_the_same(tmp_path: Path):
    async with daemon(tmp_path, "") as one:
        assert one.parts.api.base_url == ""
        async with one.local.get("/api/v1/calls") as answer:
            assert (answer.status, await answer.json()) == (200, [])


async def test_connections_are_bounded_counted_and_cut_when_they_are_not_read(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(server_module, "MOST", 0)
    async with daemon(tmp_path, 'listen = "127.0.0.1:0"\nmax_watchers = 2') as one:
        host, port = one.client._base_url.host, one.client._base_url.port
        serves = one.parts.api.server._listener._runner.server
        before, held = refused("connections"), []
        for number in range(2):
            held.append(await asyncio.open_connection(host, port))
            await until(lambda number=number: len(serves.connections) == number + 1)
        for one_of in serves.connections:
            sock = one_of.transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == listener.UNREAD * 1000
        reader, writer = await asyncio.open_connection(host, port)
        assert await reader.read() == b""
        assert refused("connections") == before + 1
        for _, one_of in [*held, (reader, writer)]:
            one_of.close()
        await until(lambda: not serves.connections)
        assert (await one.asked("/me", "watch"))[0] == 200, "there is room again"


async def test_a_body_that_does_not_come_holds_nothing(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(app_module, "BODY", 0.0)
    async with daemon(tmp_path) as one:
        host, port = one.client._base_url.host, one.client._base_url.port
        reader, writer = await asyncio.open_connection(host, port)
        origin = one.client._base_url.origin()
        writer.write(
            f"POST /login HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: {origin}\r\nContent-Length: 9\r\n\r\n{{".encode()
        )
        assert b" 408 " in await reader.readline()
        writer.close()


async def test_tls_is_spoken_with_a_certificate(tmp_path: Path):
    authority, key = certificate(tmp_path, "api")
    tls = f'listen = "127.0.0.1:0"\ncertificate = "{authority}"\nkey = "{key}"'
    async with daemon(tmp_path, tls) as one:
        assert one.parts.api.base_url.startswith("https://")
        headers = {"Authorization": f"Bearer {await one.token('watch')}"}
        async with one.client.get("/api/v1/me", ssl=trusting(str(authority), "ca"), headers=headers) as answer:
            assert answer.status == 200


async def test_listening_beyond_this_machine_without_tls_is_said(tmp_path: Path):
    with structlog.testing.capture_logs() as lines:
        async with daemon(tmp_path, 'listen = "0.0.0.0:0"'):
            pass
    assert [line["log_level"] for line in lines if "without TLS" in line["event"]] == ["warning"]
