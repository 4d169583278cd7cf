"""The life of the packages under a real systemd, that of a container (systemd-nspawn). By hand, as root:

    mmdebstrap --variant=minbase --include=systemd-sysv,dbus,python3,ca-certificates,curl,procps bookworm ROOT
    python tests/e2e/deb/systemd_life.py ROOT vcond_*.deb vcond-webrtc_*.deb [TITLE...]

ROOT is a fresh Debian of the packages' release, and stays so: a copy is booted, with no network but its own loopback. Needs
mmdebstrap, systemd-container and nats-server. Each line of LIFE is typed there; what it prints is docs/systemd.md, whose part of that
release is written anew, or the sections of these titles. Seven minutes. tests/unit/house holds the page against LIFE.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).resolve().parents[3]
PAGE = TOP / "docs" / "systemd.md"
NATS_SERVER = Path("/usr/sbin/nats-server")
"""Of this machine (Debian: nats-server): linked to nothing but libc."""
PATIENCE = 200.0
"""Seconds until a step must have said what it waits for: systemd's watchdog of vcond takes 30, a busy machine more."""
CALLER = """
import asyncio, sys
from vcond.demo import player
from vcond.demo.call import demo_call

what, state, port = (*sys.argv[1:], "/var/lib/vcond", "8470")[:3]
token = open(f"{state}/ingress-token").read().strip()
if what == "browsers":
    from vcond.cli.whip_publisher import publish
    asyncio.run(publish("http://127.0.0.1:8470/whip", token, 3))
else:
    asyncio.run(player.play(f"ws://127.0.0.1:{port}/twilio/stream/{token}", demo_call(), speed=1, progress=lambda _: None))
"""
NATS = """
listen: "127.0.0.1:4222"
jetstream { store_dir: /var/lib/nats }
authorization { users: [{
  user: vcond, password: change-me,
  permissions: { publish: ["SPEECH.>", "$JS.API.>", "$JS.ACK.>"], subscribe: ["_INBOX.>"] }
}] }
"""
QUEUE = """[speech.queue]
url = "nats://127.0.0.1:4222"
user = "vcond"
password = "${credential:speech-queue-password}"
key = "${credential:speech-queue-key}"
"""
EDGE = """[vcond]
state_dir = "/srv/edge/state"
admin_socket = "/srv/edge/admin.sock"
[web]
listen = "127.0.0.1:8480"
[ops]
listen = "127.0.0.1:9481"
[adapters.twilio]
[[sinks]]
type = "folder"
path = "/srv/edge/vcons"
[speech]
where = "queue"
[keys]
store = "/srv/edge/keys"
"""
EDGE_SAYS = "systemctl show vcond -p ActiveState,StatusText,NRestarts"
SHOW = "systemctl show vcond -p ActiveState,Result,ExecMainStatus,NRestarts"
EXAMPLES = "/usr/share/doc/vcond/examples/vcond.service.d"
PLACE = "/etc/systemd/system/vcond.service.d"
AGAIN = "systemctl daemon-reload && systemctl restart vcond"
STOPPED = r"\A(.*Stopping .*\n *vcond\.socket\n*)?\Z"
"""Nothing; or systemctl found the socket, which goes down after the daemon, still there, and says so."""


class Step(NamedTuple):
    """A line that is typed, and what must be among what it prints (a pattern)."""

    line: str
    says: str
    codes: tuple[int, ...] = (0,)
    until: bool = False
    """Typed again until it says so; the page has the last time only."""


def tried(drop_in: str, before: str, *shown: Step) -> tuple[Step, ...]:
    """A drop-in of the package: put there, looked at, and taken away."""
    return (
        Step(f"{before}install -D -m 644 {EXAMPLES}/{drop_in} {PLACE}/{drop_in} && {AGAIN}", STOPPED),
        *shown,
        Step(f"rm {PLACE}/{drop_in}", r"\A\Z"),
    )


LIFE: dict[str, tuple[Step, ...]] = {
    "Installed: nothing runs": (
        Step("dpkg --install /srv/vcond.deb", "Setting up vcond"),
        Step("systemctl is-enabled vcond", "disabled", (1,)),
        Step("systemctl is-active vcond vcond.socket", r"inactive\ninactive", (3,)),
    ),
    "A configuration with which nothing would be recorded: said once, and not tried again": (
        Step("systemctl start vcond", "control process exited|failed because|Job for vcond", (1,)),
        Step(SHOW, r"Result=exit-code(.|\n)*NRestarts=0(.|\n)*ExecMainStatus=2(.|\n)*ActiveState=failed"),
        Step("journalctl -u vcond -o cat", "adapters: none is configured"),
    ),
    "Started": (
        Step("vcond setup twilio --write /root/steps", "twilio.toml"),
        Step("install -g vcond -m 0640 /root/steps/vcond.d/twilio.toml /etc/vcond/vcond.d/", r"\A\Z"),
        Step("sed -i 's/^grace = 30 .*/grace = 3/' /etc/vcond/vcond.toml", r"\A\Z"),
        Step("systemctl enable --now vcond", "Created symlink"),
        Step(SHOW, r"Result=success(.|\n)*NRestarts=0(.|\n)*ActiveState=active"),
        Step("systemctl status vcond --no-pager --lines 0", r'Status: "0 calls'),
        Step("ls -l /run/vcond", r"srw-rw----. 1 vcond vcond .* admin.sock|srw-rw---- 1 vcond vcond .* admin.sock"),
        Step("vcond status", "twilio"),
        Step("vcond check --loopback", "loopback twilio: its vCon is valid"),
    ),
    "Killed in a call: it starts again, and the call is delivered": (
        Step("systemd-run --quiet --unit caller /usr/lib/vcond/bin/python3 -I /srv/caller.py demo", r"\A\Z"),
        Step("vcond calls", "twilio +answered 00:(1[2-9]|2)", until=True),
        Step("systemctl kill --signal KILL --kill-who main vcond", r"\A\Z"),
        Step(SHOW, r"NRestarts=1(.|\n)*ActiveState=active", until=True),
        Step("ls /var/lib/vcond/vcons", r"\.vcon\.json", until=True),
        Step("vcond validate /var/lib/vcond/vcons/*.vcon.json", "valid, 0 errors"),
        Step("vcond show /var/lib/vcond/vcons/*.vcon.json", "my delivery"),
        Step("journalctl -o cat CALL_ID=$(basename /var/lib/vcond/vcons/*.vcon.json .vcon.json)", "call"),
    ),
    "Hangs: the watchdog starts it again": (
        Step("systemctl kill --signal STOP --kill-who main vcond", r"\A\Z"),
        Step("journalctl -u vcond -o cat --grep 'Watchdog timeout'", "Watchdog timeout", until=True),
        Step(SHOW, r"NRestarts=2(.|\n)*ActiveState=active", until=True),
    ),
    "Reloaded; and not, when the configuration is wrong": (
        Step("sed -i 's/^log_level = .*/log_level = \"debug\"/' /etc/vcond/vcond.toml", r"\A\Z"),
        Step("systemctl reload vcond", r"\A\Z"),
        Step("journalctl -u vcond -o cat --grep 'configuration reloaded'", "configuration reloaded"),
        Step("echo nonsense > /etc/vcond/vcond.d/oops.toml", r"\A\Z"),
        Step("systemctl reload vcond", "Job for vcond.service failed", (1,)),
        Step("journalctl -u vcond -o cat --lines 8 --grep oops", "oops.toml"),
        Step(SHOW, r"NRestarts=2(.|\n)*ActiveState=active"),
    ),
    "A wrong configuration at a start stays down": (
        Step("systemctl restart vcond", "control process exited|failed because|Job for vcond", (1,)),
        Step("sleep 5", r"\A\Z"),
        Step(SHOW, r"Result=exit-code(.|\n)*NRestarts=0(.|\n)*ExecMainStatus=2(.|\n)*ActiveState=failed"),
        Step("rm /etc/vcond/vcond.d/oops.toml && systemctl start vcond", r"\A\Z"),
        Step(SHOW, r"Result=success(.|\n)*ActiveState=active"),
    ),
    "Stopped: its socket goes with it, and no command starts it": (
        Step("systemctl stop vcond", STOPPED),
        Step("vcond status", "not running|no daemon|does not run", (2,)),
        Step("systemctl is-active vcond vcond.socket", r"inactive\ninactive", (3,)),
        Step("systemctl start vcond", r"\A\Z"),
    ),
    "The package again, as in an upgrade: a daemon that runs is restarted": (
        Step("dpkg --install /srv/vcond.deb", "Setting up vcond"),
        Step("systemctl status vcond --no-pager --lines 0", r"active \(running\).*; \d+m?s ago"),
    ),
    "Drop-ins": (
        *tried(
            "deny-write-execute.conf",
            "sed -i 's/^engine = .*/engine = \"none\"/' /etc/vcond/vcond.toml; ",
            Step("systemctl show vcond -p MemoryDenyWriteExecute,ActiveState", "yes\n.*=active|active\n.*yes"),
        ),
        Step("sed -i 's/^engine = .*/engine = \"auto\"/' /etc/vcond/vcond.toml", r"\A\Z"),
        Step("dpkg --install /srv/vcond-webrtc.deb", "Setting up vcond-webrtc"),
        Step("vcond setup webrtc --write /root/steps", "webrtc.toml"),
        Step("mkdir -p /etc/credstore && head -c 48 /dev/urandom | base64 > /etc/credstore/webrtc-secret", r"\A\Z"),
        Step(
            "sed 's/^addresses = .*/addresses = [\"127.0.0.1\"]/' /root/steps/vcond.d/webrtc.toml > /etc/vcond/vcond.d/webrtc.toml",
            r"\A\Z",
        ),
        Step("systemctl restart vcond && systemctl show vcond -p DropInPaths,MemoryDenyWriteExecute", "webrtc.conf"),
        Step("/usr/lib/vcond/bin/python3 -I /srv/caller.py browsers", r"\A\Z"),
        Step("ls /var/lib/vcond/vcons", r"vcon\.json\n.*vcon\.json", until=True),
        Step("systemd-analyze security vcond --no-pager | tail -1", r"vcond.service: 1\.\d"),
        *tried(
            "low-ports.conf",
            'sed -i \'s/^listen = .*8470"/listen = "127.0.0.1:443"/\' /etc/vcond/vcond.toml; ',
            Step("curl -s -o /dev/null -w '%{http_code}\\n' http://127.0.0.1:443/webrtc", "200"),
            Step("systemd-analyze security vcond --no-pager | tail -1", r"vcond.service: 1\.\d"),
        ),
        Step('sed -i \'s/^listen = .*:443"/listen = "127.0.0.1:8470"/\' /etc/vcond/vcond.toml', r"\A\Z"),
        *tried(
            "freeswitch-tmpfs.conf",
            "useradd --system freeswitch; echo 'd /dev/shm/vcond-freeswitch 2770 freeswitch freeswitch -'"
            " > /etc/tmpfiles.d/vcond-freeswitch.conf; systemd-tmpfiles --create vcond-freeswitch.conf; ",
            Step("grep -h Groups /proc/$(systemctl show vcond -p MainPID --value)/status", r"Groups:\s+\d+ \d+"),
        ),
        *tried(
            "other-user.conf",
            "useradd --system asterisk; install -D /dev/null /etc/systemd/system/vcond.socket.d/other-user.conf;"
            " printf '[Socket]\\nSocketUser=asterisk\\nSocketGroup=asterisk\\n'"
            " > /etc/systemd/system/vcond.socket.d/other-user.conf; systemctl daemon-reload; systemctl stop vcond; ",
            Step("ps -o user= -C vcond | sort -u", "asterisk"),
            Step("stat -c '%U %n' /run/vcond/admin.sock /var/lib/vcond/vcond.db", "asterisk .*\nasterisk"),
            Step("vcond status", "twilio"),
        ),
        Step("rm -r /etc/systemd/system/vcond.socket.d; systemctl daemon-reload; systemctl stop vcond", STOPPED),
        *tried(
            "dynamic-user.conf",
            "mkdir -p /etc/systemd/system/vcond.socket.d; printf '[Socket]\\nSocketUser=root\\nSocketGroup=adm\\n'"
            " > /etc/systemd/system/vcond.socket.d/dynamic-user.conf; ",
            Step("ps -o user= -C vcond | sort -u", r"vcond-d|^\d{5}$"),
            Step("ls -ld /var/lib/vcond /var/lib/private/vcond", "-> private/vcond"),
            Step("vcond status", "twilio"),
        ),
        Step(
            "rm -r /etc/systemd/system/vcond.socket.d; systemctl daemon-reload; systemctl stop vcond; rm -f /run/vcond",
            STOPPED,
        ),
        Step("systemctl start vcond", r"\A\Z"),
        Step("stat -c '%U %n' /var/lib/vcond /var/lib/vcond/vcond.db", "^vcond .*\nvcond "),
        Step("ls /var/lib/vcond/vcons", r"vcon\.json\n.*vcon\.json"),
    ),
    "A machine that transcribes for others: ready without NATS, and at work as soon as it is there": (
        Step("install -d -m 0700 /etc/credstore; echo change-me > /etc/credstore/speech-queue-password", r"\A\Z"),
        Step("head -c 32 /dev/urandom | base64 > /etc/credstore/speech-queue-key", r"\A\Z"),
        Step("install -g vcond -m 0640 /srv/queue.toml /etc/vcond/vcond.d/", r"\A\Z"),
        Step(
            f"install -D -m 644 {EXAMPLES}/speech-server.conf {PLACE}/speech-server.conf && systemctl daemon-reload &&"
            " systemctl mask --now vcond.socket && systemctl enable vcond && systemctl restart vcond",
            r"\A((Created symlink|Stopping|  vcond).*\n*)+\Z",
        ),
        Step(
            EDGE_SAYS,
            "ActiveState=active(.|\n)*not connected: nats://127.0.0.1:4222|not connected(.|\n)*ActiveState=active",
        ),
        Step("systemd-run --quiet --unit nats nats-server -c /srv/nats.conf", r"\A\Z"),
        Step(EDGE_SAYS, "StatusText=transcribing for other machines", until=True),
        Step("ps -o user=,args= -C vcond", "^vcond .*vcond speech serve --config /etc/vcond/vcond.toml"),
        Step("systemctl is-active vcond.socket", "inactive", (3, 4)),
        Step("systemd-analyze security vcond --no-pager | tail -1", r"vcond.service: 1\.\d"),
    ),
    "It is killed and hangs while another machine's call waits for its words": (
        Step("systemd-run --quiet --unit edge vcond run --config /srv/edge/vcond.toml", r"\A\Z"),
        Step("VCOND_CONFIG=/srv/edge/vcond.toml vcond status", "twilio +attached", until=True),
        Step(
            "systemd-run --quiet --unit caller-2 /usr/lib/vcond/bin/python3 -I /srv/caller.py demo /srv/edge/state 8480",
            r"\A\Z",
        ),
        Step("VCOND_CONFIG=/srv/edge/vcond.toml vcond calls", "twilio +answered 00:(1[2-9]|[2-9])", until=True),
        Step("systemctl kill --signal KILL --kill-who main vcond", r"\A\Z"),
        Step(EDGE_SAYS, "NRestarts=1(.|\n)*transcribing for|transcribing for(.|\n)*NRestarts=1", until=True),
        Step("systemctl kill --signal STOP --kill-who main vcond", r"\A\Z"),
        Step("journalctl -u vcond -o cat --lines 30 --grep 'Watchdog timeout'", "Watchdog timeout", until=True),
        Step(EDGE_SAYS, "NRestarts=2(.|\n)*transcribing for|transcribing for(.|\n)*NRestarts=2", until=True),
        Step("ls /srv/edge/vcons", r"\.vcon\.json", until=True),
        Step("vcond show /srv/edge/vcons/*.vcon.json", "my delivery"),
    ),
    "It takes no reload, stops in order, and stays down with a wrong configuration": (
        Step("systemctl reload vcond", "not applicable", (1, 3)),
        Step("systemctl stop vcond", STOPPED),
        Step("journalctl -u vcond -o cat --lines 4", "Stopped vcond.service"),
        Step(
            "sed -i 's/^engine = .*/engine = \"none\"/' /etc/vcond/vcond.toml; systemctl start vcond",
            "Job for vcond.service failed",
            (1,),
        ),
        Step("journalctl -u vcond -o cat --lines 8", "speech.engine: is none: there is nothing to transcribe with"),
        Step("sleep 5", r"\A\Z"),
        Step(SHOW, r"Result=exit-code(.|\n)*NRestarts=0(.|\n)*ExecMainStatus=2(.|\n)*ActiveState=failed"),
        Step("sed -i 's/^engine = .*/engine = \"auto\"/' /etc/vcond/vcond.toml; systemctl start vcond", r"\A\Z"),
        Step(EDGE_SAYS, "StatusText=transcribing for other machines", until=True),
        Step(
            f"systemctl stop edge nats vcond; rm {PLACE}/speech-server.conf; systemctl unmask vcond.socket;"
            " systemctl daemon-reload",
            "Removed",
        ),
    ),
    "Removed, and purged: calls stay": (
        Step("dpkg --remove vcond-webrtc vcond", "Removing vcond"),
        # Of units that are gone, systemd 252 says so with exit code 3 (inactive), 257 with 4 (no such unit).
        Step("systemctl is-active vcond vcond.socket", r"inactive\ninactive", (3, 4)),
        Step("dpkg --purge vcond-webrtc vcond", "/var/lib/vcond is kept"),
        Step("ls /var/lib/vcond/vcons", r"vcon\.json\n.*vcon\.json"),
    ),
}


class LifeError(Exception):
    """A step that said something else."""


class Machine:
    """A booted copy of a root."""

    def __init__(self, leader: int) -> None:
        self.leader = leader

    def types(self, line: str) -> tuple[int, str]:
        """A line of root's shell there: its exit code and what it printed."""
        words = ["nsenter", "--target", str(self.leader), "--all", "--root", "--wd", "env", "-i", "LC_ALL=C.UTF-8",
                 "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "SYSTEMD_PAGER=", "bash", "-c", line]  # fmt: skip
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=240
        )
        return done.returncode, done.stdout.decode()

    def done(self, step: Step) -> str:
        """What a step printed; LifeError when it is not what it must be."""
        until = time.monotonic() + PATIENCE
        while True:
            code, said = self.types(step.line)
            if code in step.codes and re.search(step.says, said, re.MULTILINE):
                return said
            if not step.until or time.monotonic() > until:
                raise LifeError(f"{step.line}\n{said}\nexit code {code}, wanted {step.codes} and {step.says!r}")
            time.sleep(0.5)


@contextmanager
def booted(root: Path, packages: list[Path]) -> Iterator[Machine]:
    """A copy of it in a container of its own; it is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="vcond-life-") as folder:
        copy = Path(folder) / "root"
        subprocess.run(["cp", "-a", root, copy], check=True)
        for file in packages:
            shutil.copy(file, copy / "srv" / f"{file.name.partition('_')[0]}.deb")
        (copy / "srv/caller.py").write_text(CALLER)
        (copy / "srv/nats.conf").write_text(NATS)
        (copy / "srv/queue.toml").write_text(QUEUE)
        (copy / "srv/edge").mkdir()
        (copy / "srv/edge/vcond.toml").write_text(EDGE + QUEUE)
        shutil.copy(NATS_SERVER, copy / "usr/bin")
        (copy / "etc/hostname").write_text("edge-1\n")
        (copy / "etc/hosts").write_text("127.0.0.1 localhost\n127.0.1.1 edge-1.example.com edge-1\n")
        command = ["systemd-nspawn", "--quiet", "--boot", "--private-network", "--register=no", "--keep-unit", "--resolv-conf=off",
                   "--console=read-only", "--machine=edge-1", "--kill-signal=SIGRTMIN+3", "--directory", str(copy)]  # fmt: skip
        environ = {
            **os.environ,
            "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
        }  # what newer ones want, whatever this machine has
        Path("/run/systemd").mkdir(exist_ok=True)
        with subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as nspawn:
            try:
                yield Machine(_leader(nspawn))
            finally:
                nspawn.terminate()


def _leader(nspawn: subprocess.Popen[bytes]) -> int:
    """The process that is number 1 there, once its system is up."""
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
    until = time.monotonic() + PATIENCE
    while nspawn.poll() is None and time.monotonic() < until:
        for child in children.read_text().split():
            if Machine(int(child)).types("systemctl is-system-running --wait")[0] == 0:
                return int(child)
        time.sleep(0.5)
    raise LifeError("the container's systemd did not start")


def ends(suite: str) -> tuple[str, str]:
    """What is before and after the part of a release in the page."""
    return f"<!-- {suite}: made by systemd_life.py -->\n", f"<!-- end of {suite} -->\n"


def written(suite: str, systemd: str, said: dict[str, list[str]]) -> None:
    """The page's part of a release, with what each step printed, by its section; other sections stay as they are."""
    began, ended = ends(suite)
    before, _, rest = PAGE.read_text("utf-8").partition(began)
    old, _, after = rest.partition(ended)
    parts = {
        title: f"### {title}\n{text}"
        for title, text in re.findall(r"^### (.*)\n((?:(?!### ).*\n)*)", old, re.MULTILINE)
    }
    for title, printed in said.items():
        lines = [
            f"# {step.line}\n{one.rstrip()}".rstrip() + "\n" for step, one in zip(LIFE[title], printed, strict=True)
        ]
        parts[title] = f"### {title}\n\n```console\n" + "\n".join(lines) + "```\n\n"
    head = f"\n{systemd}, {time.strftime('%Y-%m-%d', time.gmtime())}.\n\n"
    PAGE.write_text(
        before + began + head + "".join(parts[title] for title in LIFE if title in parts) + ended + after, "utf-8"
    )


def main(root: str, vcond: str, webrtc: str, *titles: str) -> None:
    """Live it, and write it down."""
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', (Path(root) / "etc/os-release").read_text(), re.MULTILINE))
    wanted = titles or tuple(LIFE)
    said: dict[str, list[str]] = {}
    with booted(Path(root), [Path(vcond), Path(webrtc)]) as machine:
        systemd = machine.types("systemctl --version")[1].splitlines()[0]
        for title in (title for title in LIFE if title in {*wanted, next(iter(LIFE))}):
            said[title] = []
            for step in LIFE[title]:
                said[title].append(machine.done(step))
                print(f"# {step.line}\n{said[title][-1]}", flush=True)
    written(release["VERSION_CODENAME"], systemd, {title: said[title] for title in wanted})


if __name__ == "__main__":
    if len(sys.argv) < 4 or set(sys.argv[4:]) - set(LIFE) or os.geteuid():
        sys.exit(__doc__)
    main(*sys.argv[1:])
