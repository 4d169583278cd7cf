"""The page's files and its sessions, without a browser."""

import asyncio
import re
from pathlib import Path

import pytest
import typer.main
from api_kit import daemon

from vcond.cli.app import app
from vcond.server.api.guard import COOKIE
from vcond.testing.certificates import certificate

PAGE = Path(__file__).parents[3] / "vcond" / "server" / "page"
SCRIPTS = sorted(PAGE.glob("*.js"))


async def link(one, **query: str) -> str:
    return (await one.parts.api.writes["page-link"]({"roles": "watch,operate", **query}))["url"]


async def test_anybody_gets_the_files_with_a_strict_policy_and_nothing_else(tmp_path: Path):
    async with daemon(tmp_path) as one:
        one.call()
        for path in ("/", "/page/app.js", "/page/page.css", "/page/icon.svg"):
            async with one.client.get(path) as answer:
                assert answer.status == 200
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert "require-trusted-types-for 'script'" in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert "edge.example.com" not in await answer.text()
        for path in ("/page/__init__.py", "/page/serve.py", "/page/..%2fserve.py", "/page/", "/page", "/etc/passwd"):
            async with one.client.get(path) as answer:
                assert answer.status == 404, path


def test_nothing_is_loaded_from_elsewhere_or_parsed_as_markup():
    index = (PAGE / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|style=", index)
    assert len(SCRIPTS) >= 5
    for file in [PAGE / "index.html", PAGE / "page.css", *SCRIPTS]:
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//[a-z]+\.", text), file.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text), (
            file.name
        )


async def test_a_link_logs_in_once_with_a_cookie_that_no_script_reads(tmp_path: Path):
    async with daemon(tmp_path) as one:
        url = await link(one)
        async with one.client.get(url) as answer:
            assert answer.status == 200
            cookie = answer.cookies[COOKIE]
            assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (
                True,
                "Strict",
                "/",
                "",
            )
        async with one.client.get("/api/v1/me") as answer:
            assert (await answer.json())["roles"] == ["watch", "operate"]
        one.client.cookie_jar.clear()
        async with one.client.get(url) as answer:
            assert answer.status == 401
            assert COOKIE not in answer.cookies


async def test_a_token_logs_in_from_our_own_origin_only_and_logs_out(tmp_path: Path):
    async with daemon(tmp_path) as one:
        given = {"token": await one.token("watch")}
        origin = {"Origin": str(one.client._base_url.origin())}
        for headers, body, status in [({}, given, 403), ({"Origin": "https://evil.example"}, given, 403),
                                      (origin, {"token": "x"}, 401), (origin, {"token": 7}, 400), (origin, ["x"], 400), (origin, given, 200)]:  # fmt: skip
            async with one.client.post("/login", json=body, headers=headers) as answer:
                assert answer.status == status, body
        async with one.client.get("/api/v1/me") as answer:
            assert answer.status == 200
        async with one.client.post("/logout", headers={"Origin": "https://evil.example"}) as answer:
            assert answer.status == 403
        session = next(iter(one.client.cookie_jar)).value
        async with one.client.post("/logout", headers=origin) as answer:
            assert answer.status == 200
        assert (await one.asked("/me", None, headers={"Cookie": f"{COOKIE}={session}"}))[0] == 401


async def test_over_tls_the_cookie_is_sent_over_tls_only(tmp_path: Path):
    authority, key = certificate(tmp_path, "api")
    config = f'listen = "127.0.0.1:0"\ncertificate = "{authority}"\nkey = "{key}"'
    async with daemon(tmp_path, config) as one, one.client.get(await link(one), ssl=False) as answer:
        assert answer.cookies[COOKIE]["secure"]


async def test_the_command_prints_a_link_with_roles(tmp_path: Path, capsys):
    command = typer.main.get_command(app)
    async with daemon(tmp_path) as one:
        words = ["page", "--role", "watch", "--config", str(tmp_path / "vcond.toml")]
        await asyncio.to_thread(command.main, words, standalone_mode=False)
        url = capsys.readouterr().out.splitlines()[-1]
        async with one.client.get(url) as answer:
            assert answer.status == 200
        async with one.client.get("/api/v1/me") as answer:
            assert (await answer.json())["roles"] == ["watch"]


async def test_without_a_listener_there_is_no_link(tmp_path: Path):
    async with daemon(tmp_path, "") as one:
        with pytest.raises(LookupError, match=r"set api\.listen"):
            await link(one)
        with pytest.raises(ValueError, match="roles"):
            await link(one, roles="root")


async def test_an_outline_has_all_but_the_recordings(tmp_path: Path):
    async with daemon(tmp_path) as one:
        uuid = await one.vcon("plain")
        whole, light = await one.told(f"/vcons/{uuid}", "read"), await one.told(f"/vcons/{uuid}/outline", "read")
        for dialog in whole["dialog"]:
            if dialog.get("encoding") == "base64url":
                assert dialog.pop("body")
                dialog["audio"] = True
        assert light == whole
        odd = await one.vcon("busy", lambda document: document.update(dialog=7, uuid=document["uuid"][:-1] + "0"))
        assert (await one.told(f"/vcons/{odd}/outline", "read"))["dialog"] == 7
