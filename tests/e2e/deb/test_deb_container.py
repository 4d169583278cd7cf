"""The image of ``Containerfile``: built of the package by buildah, on a root that mmdebstrap makes; no registry is asked.

Debian's mirror is, by apt, as everywhere. In the image, as its user: a stream call to the valid vCon, and its command,
ready, asked for its status and stopped in order.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from deb_kit import TOP, run

from vcond.testing.needs import needs

BASE, IMAGE = "localhost/base", "localhost/vcond"
LIMITS = ("--ulimit=nofile=4096", "--ulimit=nproc=4096")
"""Low enough for everywhere: buildah 1.39 alone would raise them, which in a container not even root may."""
CONFIG = """
[vcond]
name = "edge-1.example.com"
min_free_mb = 0
[adapters.twilio]
[[sinks]]
type = "folder"
path = "/var/lib/vcond/vcons"
[speech]
engine = "none"
[web]
listen = "127.0.0.1:0"
[ops]
listen = ""
"""


class Buildah:
    """With a store of its own, which ends with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.words = ("buildah", "--root", str(folder / "store"), "--runroot", str(folder / "run"), "--storage-driver", "vfs")  # fmt: skip

    def __call__(self, *words: str | Path) -> str:
        return run(*self.words, *words)

    def inside(self, *words: str) -> tuple[str, ...]:
        """A command in the container ``vcond``, as the image's user, who its ``RUN`` made."""
        return (*self.words, "run", "--isolation", "chroot", "vcond", "--", *words)

    def base(self) -> None:
        """The least Debian of this machine's suite, which reaches the mirror as this machine does."""
        release = Path("/etc/os-release").read_text()
        suite = re.search(r"^VERSION_CODENAME=(\w+)", release, re.MULTILINE)[1]
        told = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian")
        mirror = next((line for line in told.splitlines() if "security" not in line), "")
        needs(mirror, "apt knows no Debian mirror here: apt-get update")
        root = self.folder / "root.tar"
        options = ("--quiet", "--variant=minbase", "--include=ca-certificates", "--dpkgopt=force-unsafe-io")
        run("mmdebstrap", *options, suite, root, mirror)
        self("from", "--name", "base", "scratch")
        self("add", "--quiet", "base", root, "/")
        root.unlink()
        self("copy", "--quiet", "base", "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/certs/")
        told = (
            file
            for file in Path("/etc/apt/apt.conf.d").iterdir()
            if not re.search("docker|packagekit|appstream", file.name)
        )
        self("copy", "--quiet", "base", *told, "/etc/apt/apt.conf.d/")
        self("commit", "--quiet", "--rm", "base", BASE)


@pytest.fixture(scope="module")
def buildah(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    """The image, and a container of it with a configuration."""
    if os.geteuid():
        pytest.skip("files of other users are for root, and this is not")
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()  # proc_pid_mountinfo(5)
    if not any(line.split()[4] == "/" for line in mounts):
        pytest.skip("the root is no mount point, as below a chroot: buildah makes it private, which only one can be")
    needs(shutil.which("buildah") and shutil.which("mmdebstrap"), "apt-get install buildah mmdebstrap")
    folder = tmp_path_factory.mktemp("container")
    made = Buildah(folder)
    made.base()
    (folder / "context/dist").mkdir(parents=True)
    os.link(packages["vcond"], folder / "context/dist" / packages["vcond"].name)
    made(
        "build", *LIMITS, "--isolation", "chroot", "--pull-never", "--build-arg", f"BASE={BASE}",
        "--file", TOP / "Containerfile", "--tag", IMAGE, folder / "context",
    )  # fmt: skip
    made("from", *LIMITS, "--pull-never", "--name", "vcond", IMAGE)
    (folder / "vcond.toml").write_text(CONFIG)
    made("copy", "--quiet", "--chown", "root:vcond", "--chmod", "0640", "vcond", folder / "vcond.toml", "/etc/vcond/")
    yield made
    made("rm", "--all")
    shutil.rmtree(folder)


@pytest.fixture
def image(buildah: Buildah) -> dict:
    """What the image says of itself (OCI image-spec, config.md)."""
    return json.loads(buildah("inspect", "--type", "image", IMAGE))["OCIv1"]


def test_the_image_is_one_layer_with_the_package_and_no_secret_and_its_user_is_not_root(buildah: Buildah, image: dict):
    config = image["config"]
    assert (config["User"], list(config["Volumes"])) == ("vcond", ["/var/lib/vcond"])
    assert [one.partition("=")[0] for one in config.get("Env", [])] in ([], ["PATH"])
    pushed = buildah.folder / "pushed"
    buildah("push", "--quiet", "--disable-compression", IMAGE, f"dir:{pushed}")
    _, *ours = (one.removeprefix("sha256:") for one in image["rootfs"]["diff_ids"])
    assert len(ours) == 1, "what is removed again, the .deb, is in no layer"
    with tarfile.open(pushed / ours[0]) as layer:
        files = {file.name: file for file in layer}
    assert files["usr/bin/vcond"].issym()
    below = ("etc/vcond", "srv", "var/lib/apt/lists", "var/lib/vcond", "root", "tmp", "run", "home")
    removed = ".wh."  # a file that is not there any more, by its name (OCI image-spec, layer.md)
    found = {
        name for name, file in files.items() if name.startswith(below) and not file.isdir() and removed not in name
    }
    assert found == {"etc/vcond/vcond.toml"}
    shutil.rmtree(pushed)


def test_a_call_in_the_container_becomes_a_valid_vcon(buildah: Buildah):
    command = buildah.inside("/usr/bin/vcond", "check", "--loopback", "--json")
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    found = json.loads(done.stdout)
    assert [one for one in found if one["level"] == "error"] == []
    assert [one for one in found if one["what"].startswith("loopback") and one["level"] == "ok"]


def _below(process: int) -> Iterator[int]:
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            yield child
            yield from _below(child)


def test_what_the_image_starts_is_ready_as_its_user_and_ends_in_order(buildah: Buildah, image: dict):
    command = buildah.inside(*image["config"]["Entrypoint"], *image["config"]["Cmd"])
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if '"event": "ready"' in line:
                break
        else:
            pytest.fail("".join(lines))
        status = json.loads(run(*buildah.inside("/usr/bin/vcond", "status", "--json")))
        daemons = [pid for pid in _below(process.pid) if b"vcond\0run" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        told = Path(f"/proc/{daemons[-1]}/status").read_text()
        user = run(*buildah.inside("id", "-u")).strip()
        assert re.search(r"^Uid:\t(\d+)", told, re.MULTILINE)[1] == user != "0"
        os.kill(daemons[-1], signal.SIGTERM)
        rest = process.stderr.read()
    assert "twilio" in status["adapters"]
    assert '"event": "stopping"' in rest
    assert process.returncode == 0, rest
