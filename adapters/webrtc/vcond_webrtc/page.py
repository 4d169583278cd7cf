"""The page for people: one file, no secret in it, nothing loaded from elsewhere. And its script for pages of others."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib.resources import files
from typing import Final

from aiohttp import web

from vcond_webrtc.config import WebRtcConfig

_INLINE: Final = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)
SCRIPT: Final = "publish.js"
"""Below the page's path: publishes any MediaStream from a page of somebody else."""


class Page:
    """Made once, with the settings that a browser needs to know."""

    def __init__(self, config: WebRtcConfig) -> None:
        self._path = config.page
        settings = {
            "path": config.path,
            "page": config.page,
            "consent": config.consent,
            "iceServers": [{"urls": config.stun}] if config.stun else [],
        }
        self.script = _part(SCRIPT)
        html = _part("page.html").replace("PUBLISH", self.script, 1).replace("PAGE", _part("page.js"), 1)
        # "<" could end the script element that the settings are in (HTML standard, section 4.12.1.3).
        self.html = html.replace("SETTINGS", json.dumps(settings).replace("<", "\\u003c"), 1)
        self.headers = {
            "Content-Security-Policy": _policy(self.html),
            "Permissions-Policy": "microphone=(self)",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-cache",
        }

    async def serve(self, request: web.Request) -> web.Response:
        """Anybody may have it; what it can do needs a token."""
        if request.path == f"{self._path}/{SCRIPT}":
            headers = {
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "no-cache",
                "Cross-Origin-Resource-Policy": "cross-origin",
            }
            return web.Response(text=self.script, content_type="text/javascript", charset="utf-8", headers=headers)
        if request.path != self._path:
            raise web.HTTPNotFound
        return web.Response(text=self.html, content_type="text/html", charset="utf-8", headers=self.headers)


def _part(name: str) -> str:
    return (files(__package__) / name).read_text("utf-8")


def _policy(html: str) -> str:
    """Only the page's own style and scripts run, named by their hashes (CSP 3, section 2.3.1)."""
    sources: dict[str, list[str]] = {"style": [], "script": []}
    for kind, text in _INLINE.findall(html):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        sources[kind].append(f"'sha256-{digest}'")
    return (
        f"default-src 'none'; script-src {' '.join(sources['script'])}; style-src {' '.join(sources['style'])}; "
        "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
