"""``vcond check``: everything that can be looked at before a call depends on it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from vcond.app import encryption, plugins, remembered, state_folder
from vcond.app.links import links
from vcond.app.matching import matches_of
from vcond.base import tls
from vcond.base.errors import ConfigError, PeerError, VcondError
from vcond.capture.clock import SteadyClock
from vcond.cli.admin_client import ask
from vcond.cli.owner import as_daemon
from vcond.config import Config, Loaded, naming_files
from vcond.config.schema import LOOPBACK
from vcond.delivery import FormedSink
from vcond.publish.builder import check_record
from vcond.publish.link_sink import Keep, LinkSink
from vcond.sdk.contract import Finding
from vcond.sdk.sink import Retry
from vcond.speech.check import check_speech
from vcond.speech.engine import BUILT_IN, EngineOptions, engine_class
from vcond.speech.engine_choice import choose
from vcond.speech.queue.config import QueueConfig
from vcond.speech.routes import configurations
from vcond.storage.files import Files

SOON = 30
"""Days before a certificate's end from which on it is said."""
LIMIT = 30.0
"""Seconds for all that one adapter looks at."""


AS_WHOM = "run it as root, or as vcond: runuser -u vcond -- vcond check; if the error stays: chown -R vcond:vcond"
SECRETS = {"password", "secret", "secret_key", "token", "admin_key", "api_secret", "turn_password", "turn_secret"}
CERTIFICATES = {"certificate", "client_ca", "ca", "ca_file"}
"""Keys of any section whose certificates end some day."""


def findings(
    loaded: Loaded, path: Path, *, offline: bool, errors_only: bool = False, loopback: bool = False
) -> list[Finding]:
    """All of them, in the order of a call's way. ``errors_only``: what could only be warned of is not looked for.

    ``loopback``: when nothing else is in the way a call is placed too, see ``vcond.cli.loopback``.
    """
    config = loaded.config
    attached = set() if offline else _attached(config)
    with as_daemon(Path(config.vcond.state_dir)) as user:
        found = asyncio.run(_all(loaded, path, offline, attached, errors_only))
        if loopback and not any(one.what == "configuration" and one.level == "error" for one in found):
            from vcond.cli.loopback import loopback as placed

            found += placed(loaded)
    if user:
        found.insert(1, Finding("ok", "user", f"checked as {user}, the user of the daemon"))
    return [one for one in found if one.level == "error"] if errors_only else found


def _attached(config: Config) -> set[str]:
    """The adapters that a running daemon of this configuration has attached."""
    try:
        told = ask(config.vcond.admin_socket, "status")["adapters"]
        return {name for name, one in told.items() if one["attached"]}
    except (VcondError, OSError, LookupError, TypeError, AttributeError):
        return set()  # none runs, or it is not to be asked by us


async def _all(loaded: Loaded, path: Path, offline: bool, attached: set[str], errors_only: bool) -> list[Finding]:
    config = loaded.config
    found = [Finding("ok", "configuration", str(path)), *_disk(config)]
    try:
        with naming_files(loaded.origin):
            adapters = plugins.adapters(config)
            sinks = plugins.sinks(config, clock=SteadyClock().now)
            made = links(config, _nothing_kept)
        check_record(config.record)
    except VcondError as why:
        return [*found, Finding("error", "configuration", str(why), "correct the key named here")]
    if _serves(config):
        return found + await _server(loaded, offline=offline, errors_only=errors_only)
    hub = bool(config.hub.listen)
    if hub:
        found += _hub(config, adapters)
    elif not adapters:
        found.append(Finding("error", "adapters", "none is configured", "add one; vcond setup NAME prints the steps"))
    if not (sinks or hub):
        found.append(Finding("error", "sinks", "none is configured", 'add [[sinks]] with type = "folder"'))
    found += [
        Finding(told.level, told.what, told.detail, told.fix)
        for told in check_speech(config.speech, graphs=not errors_only)
    ]
    behind_tls = config.web.certificate or config.web.public_url.startswith("https://")
    if config.web.host not in LOOPBACK and not behind_tls:
        fix = "set web.certificate, or put a TLS proxy in front of it and set web.public_url to its https address"
        found.append(Finding("warning", "web.listen", f"{config.web.listen} is reachable without TLS", fix))
    found += [*_rest(config), *_name(config), *_files(loaded), *_ops(config)]
    if not any(one.what == state_folder.KEY for one in found):  # else what is in it cannot be read either
        found += encryption.look(config.keys, Path(config.vcond.state_dir))
        found += remembered.look(config, receipts=not errors_only)
    found += _seal(config)
    found += _certificates(config)
    found += _same_receiver(sinks)
    found += _unheard(config, sinks)
    fix = "set record.inline_limit to the sink's max_bytes or less; longer calls are then compressed to fit"
    for small in plugins.too_small(config, sinks):
        what = f"vCons can have record.inline_limit = {config.record.inline_limit} bytes: those of more than "
        found.append(
            Finding("warning", f"sink {small.name}", f"{what}{small.max_bytes} are sent there without audio", fix)
        )
    if not offline:
        found += await _limited("speech", _speech(config))
        for name, adapter in adapters.items():
            looked = await _limited(f"adapter {name}", adapter.check())
            told = [_named(one, adapter.name, name) for one in looked]
            ours = "in use by the running daemon of this configuration"
            found += [Finding("ok", one.what, ours) if one.ours and name in attached else one for one in told]
        looked_at: list[tuple[str, FormedSink | LinkSink]] = [(f"sink {sink.name}", sink) for sink in sinks]
        for what, one in [*looked_at, *((link.name, link) for link in made)]:
            found += await _limited(what, _sink(one, what))
    return found


def _serves(config: Config) -> bool:
    """Whether this is the configuration of ``vcond speech serve``: a queue that nothing here is put into, and no calls."""
    asks = any(one.where != "here" for one in configurations(config.speech))
    return bool(config.speech.queue.url) and not (asks or config.adapters or config.sinks or config.hub.listen)


async def _server(loaded: Loaded, *, offline: bool, errors_only: bool) -> list[Finding]:
    """What is looked at of a machine that transcribes for others."""
    from vcond.speech.queue import streams

    config = loaded.config
    name = streams.label(config.speech.queue, config.vcond.host)
    detail = f"transcribes for other machines, as {name}: vcond speech serve; it records no calls"
    found = [Finding("ok", "speech server", detail)]
    if not choose(config.speech).engine:
        fix = "install a model and set speech.engine: vcond model list"
        found.append(Finding("error", "speech", "there is nothing to transcribe with", fix))
    else:
        found += [
            Finding(told.level, told.what, told.detail, told.fix)
            for told in check_speech(config.speech, graphs=not errors_only)
        ]
    found += [*_files(loaded), *_ops(config), *_certificates(config)]
    return found if offline else found + await _limited("speech", _speech(config))


def _named(told: Finding, kind: str, name: str) -> Finding:
    """What an adapter found, and of which of several of its kind."""
    what, detail, fix = (plugins.in_its_name(text, kind, name) for text in (told.what, told.detail, told.fix))
    what = what if kind == name or name in what else f"{name}: {what}"
    return msgspec.structs.replace(told, what=what, detail=detail, fix=fix)


async def _limited(what: str, looking: AsyncIterator[Finding]) -> list[Finding]:
    found: list[Finding] = []
    try:
        async with asyncio.timeout(LIMIT):
            found.extend([one async for one in looking])
    except TimeoutError:
        found.append(
            Finding("error", what, f"did not answer in {LIMIT:.0f} s", "check that the system runs and can be reached")
        )
    except VcondError as why:
        found.append(Finding("error", what, str(why)))
    except OSError as why:
        found.append(Finding("error", what, f"{why.filename or ''} {why.strerror}".strip(), AS_WHOM))
    return found


async def _speech(config: Config) -> AsyncIterator[Finding]:
    """Whether engines of others can be imported, and the speech server elsewhere answers, if there is one."""
    chosen = [choose(one) for one in configurations(config.speech)]
    for engine in sorted({one.engine for one in chosen} - {"", "queue", *BUILT_IN}):
        try:
            await asyncio.to_thread(engine_class, engine)
        except VcondError as why:
            yield Finding("error", "speech", str(why), "reinstall its package, or install one that fits this vcond")
    if (serves := _serves(config)) or any(one.where != "here" for one in configurations(config.speech)):
        yield await _queue(config.speech.queue, serves=serves)
    server = next((one.server for one in chosen if one.server is not None), None)  # routes have no address of their own
    if server is None:
        return
    from vcond.speech.engines.remote import RemoteEngine

    url = urlsplit(server.url)
    if server.token and url.scheme == "ws" and url.hostname not in LOOPBACK:
        fix = "put a TLS proxy in front of the server and use wss:// in speech.url"
        yield Finding("warning", "speech.token", "it is sent unencrypted over the network", fix)
    try:
        remote = await asyncio.to_thread(RemoteEngine, EngineOptions(server=server))
    except VcondError as why:
        yield Finding("warning", "speech", str(why), "calls are recorded; they are transcribed when the server answers")
        return
    kept = (
        "keeps connections" if remote.manners.keeps else "needs one connection per utterance; a newer server is faster"
    )
    yield Finding("ok", "speech", f"{server.url} answers, {kept}")


async def _queue(config: QueueConfig, *, serves: bool) -> Finding:
    """Whether the queue is there, and loses nothing. ``serves``: this machine takes from it, and makes its streams."""
    from vcond.speech.queue import messages, streams

    try:
        messages.cipher(config.key)
        async with streams.linked(config, streams.access(config)) as link:
            await streams.check_streams(link)
    except ConfigError as why:
        return Finding("error", "speech queue", str(why))
    except streams.QueueError as why:
        waits = "utterances wait in the journal until it can be used"
        return Finding("warning", "speech queue", str(why), "it is tried again all the time" if serves else waits)
    return Finding("ok", "speech queue", f"{config.url}, stream {config.stream}")


async def _sink(sink: FormedSink | LinkSink, what: str) -> AsyncIterator[Finding]:
    try:
        for seen in await sink.look():
            yield Finding(seen.level, what, seen.text, seen.fix)
    except Retry as why:
        level: Literal["warning", "error"] = "error" if why.held else "warning"
        detail = f"{why.reason}: {why.detail or why.answer}".rstrip(": ")
        yield Finding(level, what, detail, why.hint or "finished vCons are kept in the outbox and sent later")
    except PeerError as why:
        hint = getattr(why, "hint", "") or "finished vCons are kept in the outbox and sent later"
        yield Finding("error", what, str(why), hint)
    finally:
        await sink.close()


def _nothing_kept() -> Keep:
    """Links are looked at, and not shown anything."""
    raise NotImplementedError


def _same_receiver(sinks: Sequence[FormedSink]) -> list[Finding]:
    """Sinks that send to one place: it keeps one copy of a uuid, whichever chain or form it was for."""
    found: dict[str, list[str]] = {}
    for sink in sinks:
        if sink.address:
            found.setdefault(sink.address, []).append(sink.name)
    fix = "use one sink (of a conserver: with one list, whose chain passes vCons on to others), or places of their own"
    return [
        Finding(
            "warning", f"sinks {', '.join(names)}", f"all deliver to {at}: each delivery replaces the one before", fix
        )
        for at, names in found.items()
        if len(names) > 1
    ]


def _unheard(config: Config, sinks: Sequence[FormedSink]) -> list[Finding]:
    """Redacted vCons have no sound of which no text tells what was said."""
    if any(choose(one).engine for one in configurations(config.speech)):
        return []
    what = "gets redacted vCons, and without a speech engine those have no recording"
    fix = "set speech.engine: only what is transcribed can be looked through"
    return [Finding("warning", f"sink {sink.name}", what, fix) for sink in sinks if sink.content == "redacted"]


def _rest(config: Config) -> list[Finding]:
    """Where every sink has a match, some calls may be for none."""
    if not config.sinks or config.hub.listen or len(matches_of(config.sinks)) < len(config.sinks):
        return []
    fix = "give one sink no match, as a folder for the rest, unless all calls are for some sink"
    return [Finding("warning", "sinks", "all have a match: a vCon that none takes stays in the outbox", fix)]


def _hub(config: Config, adapters: Collection[str]) -> list[Finding]:
    """Whether others can bring their vCons, and nobody else sees them."""
    hub, found = config.hub, []
    if adapters:
        fix = "remove it from this configuration; a second vcond may record calls on this machine"
        found.append(Finding("error", f"adapters.{min(adapters)}", "a hub records no calls", fix))
    if not (hub.tokens or hub.ingress_lists):
        fix = "set hub.ingress_lists for those who bring vCons, hub.tokens for who reads them"
        found.append(Finding("error", "hub", "there is no token and no ingress list: nobody can use it", fix))
    if hub.host not in LOOPBACK and not hub.certificate:
        fix = "set hub.certificate, or put a TLS proxy in front of it and hub.listen on 127.0.0.1"
        found.append(Finding("warning", "hub.listen", f"{hub.listen} is reachable without TLS", fix))
    return found or [Finding("ok", "hub", f"{hub.listen}, ingress lists: {', '.join(hub.ingress_lists) or 'none'}")]


def _name(config: Config) -> list[Finding]:
    """What every vCon will call this machine."""
    if config.vcond.name:
        return []
    host = config.vcond.host
    told = f"not set: vCons name {host}, the name of this machine"
    fix = 'set the full name, as in name = "edge-1.pbx.example.com"; every vCon has it: never change it'
    return [Finding("ok" if "." in host else "warning", "vcond.name", told, fix)]


def _files(loaded: Loaded) -> list[Finding]:
    """Keys that are in two files, and secrets that everybody on this machine can read."""
    found = [
        Finding("warning", key, f"is set in {first} and in {second}; {second} counts", "take it out of one of them")
        for key, (first, second) in loaded.twice.items()
    ]
    for file in loaded.files:
        secret = [
            key for key, source in loaded.origin.items()
            if source == str(file) and key not in loaded.referred and (key.rpartition(".")[2] in SECRETS or ".users." in key)
        ]  # fmt: skip
        if secret and file.stat().st_mode & 0o007:
            fix = f"chown root:vcond {file} && chmod 0640 {file}; or put it into /etc/credstore, see docs/operations.md"
            found.append(Finding("warning", secret[0], f"every user of this machine can read {file}", fix))
    return found


def _ops(config: Config) -> list[Finding]:
    """Whether the world may ask how this machine is."""
    if not config.ops.listen or config.ops.host in LOOPBACK:
        return []
    fix = "use 127.0.0.1:8471 or a firewall; do not publish this port through the proxy of the adapters"
    return [
        Finding(
            "warning", "ops.listen", f"{config.ops.listen} shows metrics and health to anyone who can reach it", fix
        )
    ]


def _seal(config: Config) -> list[Finding]:
    """When the certificates of ``[seal]`` end. That they fit and hold now was found when the sinks were made."""
    if not config.seal.key:
        return []
    try:
        ends = plugins.load_seal(config.seal).ends
    except VcondError as why:
        return [Finding("error", "seal", str(why), "correct [seal]")]
    return [_until("seal", ends)]


def _until(what: str, ends: datetime) -> Finding:
    days = (ends - datetime.now(UTC)).days
    level: Literal["ok", "warning", "error"] = "ok" if days > SOON else "warning" if days >= 0 else "error"
    left = f"is valid until {ends:%Y-%m-%d}, {days} days" if days >= 0 else f"has expired on {ends:%Y-%m-%d}"
    return Finding(level, what, f"the certificate {left}", "renew the certificate")


def _certificates(config: Config) -> list[Finding]:
    """When the certificates of doors and authorities end, whichever section names them."""
    told: dict[str, Any] = {name: msgspec.to_builtins(getattr(config, name)) for name in config.__struct_fields__}
    sections: dict[str, dict[str, Any]] = {
        **{name: section for name, section in told.items() if isinstance(section, dict) and name != "adapters"},
        **{f"adapters.{name}": section for name, section in config.adapters.items()},
        **{f"sinks.{section.get('name', '')}": section for section in config.sinks},
    }
    found = []
    for at, section in sections.items():
        for key in CERTIFICATES & section.keys():
            if isinstance(section[key], str) and section[key]:
                try:
                    found.append(_until(f"{at}.{key}", tls.ends(section[key], f"{at}.{key}")))
                except VcondError as why:
                    found.append(Finding("error", f"{at}.{key}", str(why), "name a file (PEM) that vcond may read"))
    return found


def _disk(config: Config) -> list[Finding]:
    folder = Path(config.vcond.state_dir)
    if (wrong := state_folder.unusable(folder)) is not None:
        return [Finding("error", state_folder.KEY, *wrong)]
    there = next((parent for parent in (folder, *folder.parents) if os.path.lexists(parent)), folder)
    free = Files().free(str(there)) // 1_000_000
    if free < config.vcond.min_free_mb:
        return [
            Finding(
                "error",
                "disk",
                f"{free} MB free at {there}",
                "free disk space: below vcond.min_free_mb no new call is recorded",
            )
        ]
    return [Finding("ok", "disk", f"{free} MB free at {there}")]
