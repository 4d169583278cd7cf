"""The section ``[adapters.freeswitch]`` of the configuration."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from vcond.sdk import Patterns, Seconds, Selection, secret
from vcond.sdk.addresses import is_loopback
from vcond.sdk.contract import ConfigError

_WHERE = "adapters.freeswitch."


class Config(Selection, forbid_unknown_fields=True, kw_only=True):
    """How to reach one FreeSWITCH, and which of its calls to record.

    Patterns are those of a shell (``*``, ``?``, ``[abc]``), case counts. Channels are named as FreeSWITCH names them:
    ``sofia/internal/1001@pbx.example.com``.
    """

    host: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:-]{1,255}\Z")] = "127.0.0.1"
    """Where the event socket listens (event_socket.conf.xml). It is clear text: keep it on loopback or in a VPN."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 8021
    """Its port."""
    user: Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9._-]{1,80}@[A-Za-z0-9._-]{1,255})?\Z")] = ""
    """``vcond@pbx.example.com``: log in as that user of the directory, with the rights it has (see the README).
    Empty = with the password of the whole switch."""
    password: str = "ClueCon"  # noqa: S105 - FreeSWITCH's own default, known to everybody
    """The password; FreeSWITCH comes with ClueCon, and wants to be given another one."""
    password_file: str = ""
    """A file that holds the password, instead of ``password``."""
    format: Literal["json", "plain"] = "json"
    """How events are sent. Plain needs four times the CPU, and is what an old switch may do better."""
    tap: Literal["auto", "file", "stream", "fork", "none"] = "auto"
    """How a party is listened to. ``file``: stock FreeSWITCH on the same machine writes raw audio to ``directory``.
    ``stream``, ``fork``: mod_audio_stream, mod_audio_fork send it to vcond over a WebSocket. ``auto``: ``file`` when
    ``host`` is this machine, else the module that is loaded. ``none``: no audio, only what happened."""
    directory: Annotated[str, msgspec.Meta(pattern=r"^/[A-Za-z0-9_./-]{1,200}\Z")] = "/dev/shm/vcond-freeswitch"  # noqa: S108 - tmpfs, on purpose
    """Where FreeSWITCH writes the audio of parties (tap ``file``): a tmpfs that both may write to. 32 kB a second and
    party, freed as it is read."""
    rate: Literal[8000, 16000] = 16000
    """Samples a second."""
    path: Annotated[str, msgspec.Meta(pattern=r"^(/[A-Za-z0-9._~-]+)+\Z", max_length=100)] = "/freeswitch/audio"
    """Where on the daemon's HTTP port audio arrives (taps ``stream`` and ``fork``)."""
    url: Annotated[
        str, msgspec.Meta(pattern=r"^(wss?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._~-]+)+)?\Z", max_length=400)
    ] = ""
    """What FreeSWITCH connects to for it: this machine as FreeSWITCH sees it, ``path``, and the ingress token:
    ``ws://10.0.0.5:8470/freeswitch/audio/${credential:ingress-token}``. Needed for ``stream`` and ``fork``."""
    system_audio: bool = False
    """Record what a lone leg hears (announcements, an IVR, a bot) too, as a party of its own. Tap ``file`` only."""
    pull_media: bool = False
    """Bring calls whose media bypasses the switch back through it (``uuid_media``). It changes how calls are routed."""
    trunks: Patterns = msgspec.field(default_factory=lambda: ["sofia/external/*", "sofia/external-ipv6/*"])
    """Channels of the outside world. With only one of ``internal`` and ``trunks`` the rest is the other."""
    heartbeat_seconds: Annotated[float, msgspec.Meta(ge=5, le=3600)] = 60.0
    """Seconds: a connection that says nothing for so long (FreeSWITCH sends a heartbeat every 20 s) is asked, then made anew."""
    no_audio_seconds: Seconds = 3.0
    """Seconds: a party of whom no audio comes for so long after its tap began is reported, and its tap started again."""
    stall_seconds: Seconds = 5.0
    """Seconds: a party whose audio stopped coming for so long, though nobody holds, gets its tap started again."""
    timeout: Seconds = 5.0
    """Seconds for connecting, and for every answer of FreeSWITCH."""

    def secret(self) -> str:
        """The password. Raises ConfigError when its file cannot be read."""
        return secret(self.password, self.password_file, _WHERE + "password_file")

    def checked(self) -> Config:
        """This configuration, when its values can work together. Raises ConfigError."""
        if not self.password_file and not re.fullmatch(r"[!-~]{1,200}", self.password):
            raise ConfigError(
                "must be one word of printable ASCII; the event socket accepts nothing else", _WHERE + "password"
            )
        if ".." in self.directory or self.directory.endswith("/"):
            raise ConfigError("must be a plain absolute path without a slash at the end", _WHERE + "directory")
        if self.tap in {"stream", "fork"} and not self.url:
            raise ConfigError("must be set for this tap: FreeSWITCH connects to it", _WHERE + "url")
        if self.system_audio and self.tap in {"stream", "fork"}:
            raise ConfigError('works with tap = "file" only', _WHERE + "system_audio")
        return self

    @property
    def loops_speak(self) -> bool:
        """Whether ``loopback/...`` channels are parties: only when ``include`` names them, as for ``vcond check --loopback``."""
        return any(pattern.startswith("loopback/") for pattern in self.include)

    @property
    def local(self) -> bool:
        """Whether the switch is on this machine."""
        return is_loopback(self.host)
