"""Serves the page's files and opens sessions. Anybody may have the files: nothing of a call is in them."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

import msgspec
from aiohttp import web

from vcond.server.api.app import answers, whole
from vcond.server.api.guard import COOKIE, SESSION, Guard

KINDS: Final = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_IN: Final = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=./"><link rel="icon" href="page/icon.svg"><title>vcond</title><a href="./">Go on</a>'
"""After a link: the page itself goes on, so that the cookie, which is for the same site only, is sent wherever the link was."""


class _Login(msgspec.Struct, forbid_unknown_fields=True):
    token: str


class Page:
    """Files are read once, before the first call."""

    def __init__(self, guard: Guard, *, secure: bool) -> None:
        """``secure``: it is reached over TLS, and so is the cookie sent."""
        self._guard, self._secure = guard, secure
        folder = files(__package__)
        self._files = {one.name: one.read_bytes() for one in folder.iterdir() if one.name.rpartition(".")[2] in KINDS}

    def add_to(self, app: web.Application) -> None:
        """Serve it beside the API, whose way to say what is wrong it shares."""
        app.middlewares.append(answers)
        app.router.add_route("GET", "/", self._index)
        app.router.add_route("GET", "/page/{name}", self._file)
        app.router.add_route("GET", "/login", self._link)
        app.router.add_route("POST", "/login", self._login)
        app.router.add_route("POST", "/logout", self._logout)

    async def _index(self, _: web.Request) -> web.Response:
        return self._served("index.html")

    async def _file(self, request: web.Request) -> web.Response:
        return self._served(request.match_info["name"])

    def _served(self, name: str) -> web.Response:
        body = self._files.get(name)
        if body is None:
            raise web.HTTPNotFound
        kind = KINDS[name.rpartition(".")[2]]
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=HEADERS)

    async def _link(self, request: web.Request) -> web.Response:
        """A link of ``vcond page``, once."""
        return self._opened(request, request.query.get("code", ""), _IN)

    async def _login(self, request: web.Request) -> web.Response:
        if not self._guard.same_origin(request):
            raise web.HTTPForbidden(text="a page of another origin may not log in here")
        try:
            token = msgspec.json.decode(await whole(request), type=_Login).token
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise ValueError("a token is wanted, in JSON") from None
        return self._opened(request, token, "in")

    def _opened(self, request: web.Request, secret: str, says: str) -> web.Response:
        session = self._guard.open(secret)
        if session is None:
            raise self._guard.wrong(request)
        response = web.Response(text=says, content_type="text/html", headers=HEADERS)
        response.set_cookie(
            COOKIE, session, max_age=SESSION, path="/", httponly=True, secure=self._secure, samesite="Strict"
        )
        return response

    async def _logout(self, request: web.Request) -> web.Response:
        if not self._guard.same_origin(request):
            raise web.HTTPForbidden(text="a page of another origin may not log out here")
        self._guard.close(request.cookies.get(COOKIE, ""))
        response = web.Response(text="out", headers=HEADERS)
        response.del_cookie(COOKIE, path="/")
        return response
