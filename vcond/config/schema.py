"""The sections of ``vcond.toml`` that belong to the daemon itself. Adapters, engines and sinks bring their own."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from vcond.call.matching import Match, unreachable
from vcond.config.host import machine_name
from vcond.delivery.config import OutboxConfig
from vcond.policy.consent import Terms, check_terms
from vcond.records.config import Keep, RecordsConfig
from vcond.redaction.config import RedactionConfig
from vcond.speech.config import SpeechConfig

Seconds = Annotated[float, Meta(ge=0, le=86_400)]
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
"""Hosts that nobody else reaches."""
PORT = r"(?:6553[0-5]|655[0-2]\d|65[0-4]\d{2}|6[0-4]\d{3}|[1-5]?\d{1,4})"
ADDRESS = rf"^(\[[0-9a-fA-F:]+\]|[^:\[\]]+):{PORT}$"


class DaemonConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[vcond]``: the daemon."""

    name: Annotated[str, Meta(max_length=253, pattern=r"^[A-Za-z0-9.-]*$")] = ""
    """This edge's fully qualified host name: in every vCon's uuid and as its recorder. Empty = the machine's."""
    state_dir: str = "/var/lib/vcond"
    """Journals, outbox and database live here, readable by vcond only."""
    admin_socket: str = "/run/vcond/admin.sock"
    """Where ``vcond calls`` and its like reach the daemon."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is logged: this, and what is worse."""
    log_format: Literal["auto", "json", "text"] = "auto"
    """auto = text on a terminal, fields for systemd's journal where that is standard error, JSON otherwise."""
    grace: Seconds = 30
    """Seconds that a call of an earlier run, or of an adapter that is gone, waits to be taken up again."""
    drain: Seconds = 20
    """On SIGTERM: seconds that active calls may take to end before they are left for the next start."""
    max_call_hours: Annotated[float, Meta(gt=0, le=48)] = 12
    """A call longer than this is ended, and says so; what goes on of it is recorded as a call of its own."""
    min_free_mb: Annotated[int, Meta(ge=0)] = 500
    """With less free space than this, new calls are not recorded (an error is logged); active calls continue."""
    max_calls: Annotated[int, Meta(ge=0, le=100_000)] = 1000
    """So many calls are recorded at once; further ones are not (an error is logged). 0 = as many as come."""

    @property
    def host(self) -> str:
        """The name to use: the same for the whole run, and known without asking anybody after the first time."""
        return self.name or machine_name()


class _Listens(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A section with an address to listen on."""

    listen: Annotated[str, Meta(pattern=ADDRESS)]

    @property
    def host(self) -> str:
        """The address to bind."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port to bind; 0 = any."""
        return int(self.listen.rpartition(":")[2] or 0)


class OpsConfig(_Listens, forbid_unknown_fields=True, frozen=True):
    """``[ops]``: ``/metrics``, ``/readyz`` and ``/livez``, for those who watch this machine."""

    listen: Annotated[str, Meta(pattern=f"({ADDRESS})|^$")] = "127.0.0.1:8471"
    """Address and port. No peer of a call needs it, and it asks for no password: leave it out of every proxy. Empty = not at all."""
    traces: Annotated[str, Meta(max_length=2048, pattern=r"^(https?://[^\s/?#]+[^\s#]*)?$")] = ""
    """Where a trace of each call is sent: OTLP over HTTP, as ``http://127.0.0.1:4318/v1/traces``. Empty = nowhere."""


class WebConfig(_Listens, forbid_unknown_fields=True, frozen=True):
    """``[web]``: the port that peers of calls reach. Loopback until you say otherwise."""

    listen: Annotated[str, Meta(pattern=ADDRESS)] = "127.0.0.1:8470"
    """Address and port, for calls whose peers come to vcond: media streams, browsers, FreeSWITCH's audio."""
    public_url: Annotated[str, Meta(pattern=r"^(https?://[^\s/?#]+[^\s?#]*)?$")] = ""
    """How peers reach it from outside, as behind a TLS proxy: ``https://edge-1.example.com``."""
    certificate: Annotated[str, Meta(max_length=262_144)] = ""
    """With it TLS is spoken at ``listen``: its certificate and those above it, a file (PEM), which SIGHUP has read again, or PEM
    text by reference: ``${credential:NAME}``."""
    key: Annotated[str, Meta(max_length=65_536)] = ""
    """The certificate's private key, likewise; empty = it is in the same file."""
    client_ca: Annotated[str, Meta(max_length=262_144)] = ""
    """With it peers need a certificate of this authority."""
    token: Annotated[str, Meta(max_length=256, pattern=r"^[A-Za-z0-9._~-]*$")] = ""
    """What an ingress request must carry. Empty = made at the first start, kept in ``<state_dir>/ingress-token``."""


class ApiConfig(_Listens, forbid_unknown_fields=True, frozen=True):
    """``[api]``: for programs and the page. All of it needs a token: ``vcond token create``. The admin socket serves it, too."""

    listen: Annotated[str, Meta(pattern=f"({ADDRESS})|^$")] = ""
    """Address and port, as ``127.0.0.1:8472``. Empty = on the admin socket only."""
    public_url: Annotated[str, Meta(pattern=r"^(https?://[^\s/?#]+[^\s?#]*)?$")] = ""
    """How people reach it, as behind a TLS proxy: ``https://edge-1.example.com``."""
    certificate: Annotated[str, Meta(max_length=262_144)] = ""
    """With it TLS is spoken at ``listen``: its certificate and those above it, a file (PEM), which SIGHUP has read again, or PEM
    text by reference: ``${credential:NAME}``. Without it leave ``listen`` on loopback: tokens and calls would be readable."""
    key: Annotated[str, Meta(max_length=65_536)] = ""
    """The certificate's private key, likewise; empty = it is in the same file."""
    client_ca: Annotated[str, Meta(max_length=262_144)] = ""
    """With it clients need a certificate of this authority, and a token."""
    max_watchers: Annotated[int, Meta(ge=1, le=10_000)] = 100
    """So many may follow events at once."""

    def __repr__(self) -> str:
        """Without the key: a configuration may end up in a log line."""
        return f"ApiConfig(listen={self.listen!r})"


HubKey = Annotated[str, Meta(min_length=16, max_length=256, pattern=r"^[!-~]*$")]
HubName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class HubConfig(_Listens, forbid_unknown_fields=True, frozen=True):
    """``[hub]``: for ``vcond hub``, which takes the vCons of other machines by the conserver's API and keeps them."""

    listen: Annotated[str, Meta(pattern=f"({ADDRESS})|^$")] = ""
    """Address and port, as ``0.0.0.0:8473``. With it this configuration is a hub's, started by ``vcond hub``. Empty = it is not."""
    certificate: Annotated[str, Meta(max_length=262_144)] = ""
    """With it TLS is spoken at ``listen``: its certificate and those above it, a file (PEM), which SIGHUP has read again, or PEM
    text by reference: ``${credential:NAME}``. Without it leave ``listen`` on loopback: tokens and vCons would be readable."""
    key: Annotated[str, Meta(max_length=65_536)] = ""
    """The certificate's private key, likewise; empty = it is in the same file."""
    client_ca: Annotated[str, Meta(max_length=262_144)] = ""
    """With it who connects needs a certificate of this authority, and a token."""
    tokens: Annotated[dict[HubName, HubKey], Meta(max_length=100)] = {}
    """API tokens, by the name of who has it: each may store, read, find and delete every vCon. At least 16 characters, by reference:
    ``{ console = "${credential:hub-console}" }``. Empty = nobody may."""
    ingress_lists: Annotated[
        dict[HubName, Annotated[list[HubKey], Meta(min_length=1, max_length=1000)]], Meta(max_length=1000)
    ] = {}
    """The keys of each ingress list: who has one may store vCons in that list, and nothing else."""
    header: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,128}$")] = "x-conserver-api-token"
    """The name of the header with token or key (CONSERVER_HEADER_NAME of a conserver)."""
    max_bytes: Annotated[int, Meta(ge=1_000_000, le=67_108_864)] = 67_108_864
    """Largest vCon in bytes; a larger one is refused with 413."""
    max_memory: Annotated[int, Meta(ge=1_000_000)] = 268_435_456
    """Bytes of vCons in memory at once, on their way in and out; what comes beyond that waits. No less than ``max_bytes``."""
    max_connections: Annotated[int, Meta(ge=1, le=60_000)] = 2000
    """So many connections at once; an edge has up to ``concurrency`` of its sink, and one."""
    keep_days: Annotated[float, Meta(ge=0, le=36_500)] = 0
    """Days after which a vCon is deleted by itself. 0 = never. ``[[retention]]`` may name less, for some."""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if self.max_memory < self.max_bytes:
            raise ValueError("max_memory must be no less than max_bytes")

    def __repr__(self) -> str:
        """Without tokens and keys: a configuration may end up in a log line."""
        return f"HubConfig(listen={self.listen!r})"


class LinkRule(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[[links]]``: at a hub, what is made of vCons that came, or of those that another link makes. What came stays as it is."""

    type: Annotated[str, Meta(min_length=1, max_length=64)]
    """The kind of link: ``redact``, ``tag``, or a plug-in by its name."""
    name: Annotated[str, Meta(pattern=r"^[a-z0-9_-]{0,40}$")] = ""
    """Its own name; empty = its kind. The uuids of what it makes come from it: never change it. Lists of sinks have it as ``link:NAME``."""
    after: Annotated[str, Meta(max_length=40)] = ""
    """It gets what this link makes, which stands before it. Empty = it gets what comes to the hub."""
    match: Match = Match()
    """Which vCons it gets of those, as for sinks. Without it all."""
    seconds: Annotated[float, Meta(ge=1, le=600)] = 120
    """For one vCon. A link that takes longer is ended; after three times the vCon is a dead letter there."""
    settings: dict[str, Any] = {}
    """For the link; of ``tag``: ``{ tags = { team = "support" } }``."""


class RecordConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[record]``: what goes into a vCon."""

    unanswered: bool = True
    """Whether a call that nobody answered becomes a vCon (with an ``incomplete`` dialog)."""
    inline_limit: Annotated[int, Meta(ge=10_000)] = 9_500_000
    """Largest vCon in bytes with its audio inside; deployed conservers silently drop more than 10 MB."""
    media_dir: str = ""
    """Where recordings go that fit inside no vCon (hours, or many parties). Empty = the journal of such a call is kept
    when its vCon is delivered, and the log says so."""
    media_url: Annotated[str, Meta(max_length=2048, pattern=r"^(https://.+)?$")] = ""
    """The https address under which ``media_dir`` is served, with access control: vCons name files below it."""
    org: Annotated[str, Meta(max_length=256)] = ""
    """The organization that runs this edge, as its vCons name it."""
    sip_domain: Annotated[str, Meta(max_length=253, pattern=r"^[A-Za-z0-9.-]*$")] = ""
    """Domain of the PBX's extensions: ``1001`` is written as ``1001@<domain>``."""
    lawful_basis: dict[str, Any] = {}
    """What you may record on: the body of a ``lawful_basis`` attachment in every vCon, one for each party of the
    call that is no bot, which it names (draft-howe-vcon-lawful-basis-02). Empty = none is written; vcond never makes one up."""
    transcript_deadline: Seconds = 600
    """Seconds that a finished call waits for its transcript before its vCon leaves without the missing parts."""
    amend_deadline: Annotated[float, Meta(ge=0, le=30 * 86_400)] = 86_400
    """Seconds for which the missing parts are then still wanted: when they are there, an amended vCon follows, once, with an uuid
    of its own that names the first one. 0 = never."""


class PolicyRule(Terms, forbid_unknown_fields=True, frozen=True):
    """``[[policy]]``: what of some calls may be kept, and from when on. The first that matches counts; of a call that none
    matches everything is kept, but of parties that refuse.
    """

    match: Match = Match()
    """Nothing named = every call."""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        check_terms(self)


class SealConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[seal]``: how vCons are signed (core-04 section 5.2) and encrypted (5.3) for sinks whose ``form`` wants it.

    Each of ``key``, ``certificates`` and ``recipients`` is a file, or PEM text by reference: ``${credential:NAME}``.
    """

    key: Annotated[str, Meta(max_length=65_536)] = ""
    """The private key."""
    certificates: Annotated[str, Meta(max_length=262_144)] = ""
    """Its certificate and those above it, leaf first."""
    password: Annotated[str, Meta(max_length=1024)] = ""
    """Of the private key."""
    algorithm: Literal["RS256", "PS256", "ES256"] = "RS256"
    """How vCons are signed; the private key must be one for it."""
    x5u: Annotated[str, Meta(max_length=2048, pattern=r"^(https://.+)?$")] = ""
    """https URL of the certificates; empty = they ride along."""
    alg_twice: bool = False
    """Name the algorithm in both headers, as python-vcon wants it and RFC 7515 does not."""
    recipients: Annotated[list[Annotated[str, Meta(max_length=65_536)]], Meta(max_length=64)] = []
    """Certificates or public keys of those who may decrypt."""

    def __repr__(self) -> str:
        """Without the key: a configuration may end up in a log line."""
        return f"SealConfig(algorithm={self.algorithm!r}, recipients={len(self.recipients)})"


class TokenConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[keys.token]``: a PKCS#11 token (a smart card, an HSM) that alone opens the file in ``master``."""

    module: Annotated[str, Meta(max_length=4096)] = ""
    """The shared library that talks to the token, as its maker names it: ``/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so``. Empty = no token."""
    token: Annotated[str, Meta(max_length=32)] = ""
    """The token's label."""
    key: Annotated[str, Meta(max_length=256)] = "vcond"
    """The label of an AES key on it, which encrypts and decrypts and never leaves it."""
    pin: Annotated[str, Meta(max_length=256)] = ""
    """By reference only: ``${credential:token-pin}``, or ``${file:/path}``."""

    def __repr__(self) -> str:
        """Without the PIN."""
        return f"TokenConfig(module={self.module!r}, token={self.token!r}, key={self.key!r})"


class KeysConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[keys]``: encryption of what is kept of calls, each under a key of its own, which the master key opens."""

    master: Annotated[str, Meta(max_length=4096)] = ""
    """The master key, 32 bytes in base64 (``openssl rand -base64 32``): a file, or by reference: ``${credential:master-key}``. Or a
    file of ``vcond keys wrap``, which only ``token`` opens.
    Empty = what is kept is not encrypted. Who loses it loses every call that is not delivered yet."""
    store: Annotated[str, Meta(max_length=4096)] = "/var/lib/vcond-keys"
    """The folder of the calls' keys. It must not be in a backup of ``state_dir``: a key that is erased is to be gone everywhere."""
    encrypt: bool = True
    """false = new files are plain again, and those that are encrypted are still read; keep ``master`` until none is left."""
    token: TokenConfig = TokenConfig()
    """What opens ``master`` where that was wrapped by a token."""

    def __repr__(self) -> str:
        """Without the key: a configuration may end up in a log line."""
        return f"KeysConfig(store={self.store!r}, encrypt={self.encrypt})"


class RetentionRule(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[[retention]]``: how long what there is of some calls stays. The first that matches when a vCon is made counts."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    """What you call it. It stays the same: vCons are under it by its name, also when its days are changed."""
    match: Match = Match()
    """Nothing named = every call; as in ``[[speech.routes]]``."""
    keep: Keep = Keep()
    """Days after a vCon was made, for each place."""


class Config(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The whole file."""

    vcond: DaemonConfig = DaemonConfig()
    web: WebConfig = WebConfig()
    ops: OpsConfig = OpsConfig()
    api: ApiConfig = ApiConfig()
    hub: HubConfig = HubConfig()
    speech: SpeechConfig = SpeechConfig()
    record: RecordConfig = RecordConfig()
    seal: SealConfig = SealConfig()
    keys: KeysConfig = KeysConfig()
    delivery: OutboxConfig = OutboxConfig()
    records: RecordsConfig = RecordsConfig()
    redaction: RedactionConfig = RedactionConfig()
    retention: Annotated[list[RetentionRule], Meta(max_length=1000)] = []
    """Rules of how long what there is of calls stays, in order."""
    adapters: dict[str, dict[str, Any]] = {}
    """``[adapters.<name>]``, decoded by each adapter's own ``Config``."""
    policy: Annotated[list[PolicyRule], Meta(max_length=1000)] = []
    """``[[policy]]``: rules of consent; the first that matches counts."""
    sinks: list[dict[str, Any]] = []
    """``[[sinks]]``, each with ``type``, ``name``, for a folder ``form`` (plain, signed or encrypted), ``content`` (full or redacted),
    and ``match`` (which calls it is for, as in ``[[speech.routes]]``; without it all)."""

    links: Annotated[list[LinkRule], Meta(max_length=100)] = []
    """``[[links]]`` of a hub, in order."""

    def __post_init__(self) -> None:
        """Raises ValueError for a rule that no call comes to."""
        if found := unreachable([rule.match for rule in self.policy]):
            raise ValueError(f"policy[{found[0]}].match: no call comes to it: policy[{found[1]}] takes them all")
