from __future__ import annotations

import base64
import hashlib
import json
import re

from vcond.testing.host import MemoryHost
from vcond_webrtc.config import WebRtcConfig
from vcond_webrtc.page import Page


def settings(page: Page) -> dict:
    found = re.search(r'id="settings">(.*?)</script>', page.html, re.DOTALL)
    return json.loads(found[1])


def test_the_page_knows_what_a_browser_needs_and_no_secret():
    page = Page(WebRtcConfig(secret="s" * 40, stun="stun:stun.example.com", turn_password="p4ssw0rd"))
    assert settings(page)["iceServers"] == [{"urls": "stun:stun.example.com"}]
    assert "s" * 40 not in page.html
    assert "p4ssw0rd" not in page.html


def test_words_of_the_operator_cannot_leave_their_place():
    text = '</script><script>alert(1)</script><!-- "SETTINGS"'
    page = Page(WebRtcConfig(consent=text))
    assert settings(page)["consent"] == text
    assert page.html.count("<script>") == 2


def test_the_policy_allows_the_pages_own_script_only():
    page = Page(WebRtcConfig())
    policy = page.headers["Content-Security-Policy"]
    scripts = re.findall(r"<script>(.*?)</script>", page.html, re.DOTALL)
    for script in scripts:
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy
    assert "vcond.publish" in scripts[1]
    assert policy.count("sha256-") == 3
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    # nothing is loaded from elsewhere
    assert not re.search(r"https?://(?!\.)(?!edge-1.example.com)[a-z]", page.html)
    assert "src=" not in page.html
    assert "href=" not in page.html


async def test_the_page_is_served_without_a_token_and_at_its_path_only():
    import aiohttp

    async with MemoryHost("webrtc") as host, aiohttp.ClientSession(host.ingress.bound_url) as client:
        host.ingress.route("GET", "/webrtc", Page(WebRtcConfig()).serve, guarded=False)
        async with client.get("/webrtc") as answer:
            assert answer.status == 200
            assert answer.content_type == "text/html"
            assert answer.headers["Permissions-Policy"] == "microphone=(self)"
        async with client.get("/webrtc/x") as answer:
            assert answer.status == 404
        async with client.get("/webrtc/publish.js") as answer:
            assert answer.content_type == "text/javascript"
            assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
            assert "window.vcond" in await answer.text()
