"""``make deb``: vcond and vcond-webrtc for the Debian that this runs on, each one file. Decision 0020 says why like this.

As any user; nothing of this machine is changed. What is carried is what was tested: the packages of .venv, which were
installed from requirements.lock, their hashes checked, and vcond of this checkout. On the target it needs Debian's python3
of the same minor version, and nothing else of Python.
"""

from __future__ import annotations

import argparse
import base64
import email
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from importlib.metadata import Distribution, PackagePath, distribution
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

TOP = Path(__file__).resolve().parent.parent
PACKAGING = TOP / "packaging" / "deb"
PYTHON = "/usr/bin/python3"
HOME = Path("usr/lib/vcond")
"""Of the environment, below the root. An environment's interpreter finds its packages wherever it stands."""
OLD_SYSTEMD = {"bookworm"}
"""Debians whose systemd has no ImportCredential=, which is of 254."""
BUILD_ONLY = ("hatchling", "pathspec", "pluggy", "trove-classifiers")
"""In the lock files because vcond is built with them on a machine that installs from source."""
MAINTAINER = "The vcond developers <vcond@localhost.localdomain>"
COMMAND = f"""#!/{HOME}/bin/python3 -I
from vcond.cli import main

main()
"""
DEPENDS = "libc6 (>= 2.34), libgcc-s1, libstdc++6, " + ", ".join(
    f"systemd-standalone-{tool} | systemd-{tool}" for tool in ("sysusers", "tmpfiles")
)
ABOUT = """Live calls become vCons, beside a PBX
 vcond attaches to calls without owning them, records each party on its own
 track, transcribes on this machine, and hands every finished call to a
 conserver or a folder as an IETF vCon. For Asterisk, FreeSWITCH, Twilio and
 SIPREC; browsers and Janus with vcond-webrtc. English out of the box."""
ABOUT_WEBRTC = """Live calls become vCons: browsers, Janus, more of SIPREC
 What vcond needs to be called by browsers and other WHIP publishers, to
 record the participants of Janus VideoRooms, and to be a SIPREC server for
 other codecs than G.711 and for SRTP."""


class Release(NamedTuple):
    """What is built."""

    version: str
    suite: str
    built: datetime
    python: str
    """Minor version, as in 3.11."""
    architecture: str


def run(*command: str | Path, cwd: Path = TOP, **environment: str) -> str:
    """Standard output of a command; ends with its standard error when it fails."""
    environ = os.environ | environment
    done = subprocess.run(command, cwd=cwd, env=environ, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"deb: {' '.join(map(str, command[:4]))}... failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def release() -> Release:
    """Of the commit that is checked out, and of this Debian: versions of later commits are higher."""
    told = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', Path("/etc/os-release").read_text("utf-8"), re.MULTILINE))
    if told.get("ID") != "debian" or not Path(PYTHON).exists() or not shutil.which("dpkg-deb"):
        sys.exit("deb: a package for Debian is built on Debian, with its own python3: apt-get install python3")
    version = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    git = ("git", "-c", f"safe.directory={TOP}")
    seconds, commit = run(*git, "log", "-1", "--format=%ct %h", "--abbrev=10").split()
    built = datetime.fromtimestamp(int(seconds), UTC)
    if f"v{version}" not in run(*git, "tag", "--points-at", "HEAD").split():
        version += f"~{built:%Y%m%d%H%M%S}.{commit}"  # before the release of this name
    python = run(PYTHON, "-c", "import sys; print(*sys.version_info[:2], sep='.')").strip()
    if python != f"{sys.version_info.major}.{sys.version_info.minor}":
        sys.exit(f"deb: .venv has another Python than Debian's, {python}: rm -r .venv && make setup PYTHON={PYTHON}")
    suffix = f"+deb{told['VERSION_ID']}"
    return Release(
        version + suffix, told["VERSION_CODENAME"], built, python, run("dpkg", "--print-architecture").strip()
    )


def pinned(lock: str) -> dict[str, str]:
    """Name and version of what a lock file wants here, but for what only builds."""
    lines = re.findall(r"^([a-z0-9][^ ]*==[^\\\n]*?) *\\?$", (TOP / lock).read_text("utf-8"), re.MULTILINE)
    wanted = [one for one in map(Requirement, lines) if one.marker is None or one.marker.evaluate()]
    return {one.name: str(one.specifier)[2:] for one in wanted if one.name not in BUILD_ONLY}


def files_of(found: Distribution) -> list[PackagePath]:
    """Its files. One that an old pip installed by its setup.py has no RECORD; its own list counts from its folder."""
    legacy = None if found.read_text("RECORD") else found.read_text("installed-files.txt")
    if legacy is None:
        return found.files or []
    site, folder = Path(str(found.locate_file(""))), f"{found.metadata['Name']}-{found.version}.egg-info"
    files = []
    for line in legacy.split():
        file = PackagePath(os.path.relpath(site / folder / line, site))
        file.hash, file.dist = None, found
        files.append(file)
    return files


def carried(packages: Path, name: str, version: str) -> None:
    """Copy one distribution, file by file, each as its wheel had it: pip checked the wheel's hash against the lock."""
    found = distribution(name)
    if found.version != version:
        sys.exit(f"deb: .venv has {name} {found.version}, the lock {version}: rm .venv/.ready && make setup")
    for file in files_of(found):
        if (
            file.parts[0] == ".."
            or "__pycache__" in file.parts
            or "tests" in file.parts
            or file.name == "direct_url.json"
        ):
            continue  # commands, bytecode, tests, and where it came from
        content = file.read_binary()
        if file.hash is not None:
            told = base64.urlsafe_b64encode(hashlib.new(file.hash.mode, content).digest()).rstrip(b"=").decode()
            if told != file.hash.value:
                sys.exit(f"deb: {file.locate()} is not what was installed: rm -r .venv && make setup")
        written(packages / file, content)


def interpreter(home: Path, python: str) -> None:
    """What makes a folder an environment, wherever it stands, and the command."""
    (home / "bin").mkdir(parents=True)
    (home / "bin/python3").symlink_to(f"/usr/bin/python{python}")
    written(home / "pyvenv.cfg", b"home = /usr/bin\ninclude-system-site-packages = false\n")
    written(home / "packaged", b"vcond's errors.how_to_install asks for it.\n")
    written(home / "bin/vcond", COMMAND.encode(), 0o755)


def written(target: Path, content: bytes, mode: int = 0o644) -> None:
    """A file with its folders."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    target.chmod(mode)


def compiled(root: Path, built: datetime) -> None:
    """Bytecode beside every module, for the time that the module will have: the daemon may not write it."""
    for file in root.rglob("*"):
        if not file.is_symlink():
            os.utime(file, (built.timestamp(), built.timestamp()))
    options = ("-q", "-j", "2", "-s", root, "-p", "/")
    run(root / HOME / "bin/python3", "-I", "-m", "compileall", *options, root / HOME / "lib")


def put(root: Path, where: str, file: Path, mode: int = 0o644) -> None:
    """A file of the checkout into the package."""
    content = file.read_bytes()
    written(root / where, gzip.compress(content, 9, mtime=0) if where.endswith(".gz") else content, mode)


def document(root: Path, name: str, what: Release) -> None:
    """What Debian wants beside a package: what changed, and whose everything is."""
    folder = root / "usr/share/doc" / name
    entry = (
        f"vcond ({what.version}) {what.suite}; urgency=medium\n\n  * What changed: docs, changelog.d of the source.\n\n"
    )
    entry += f" -- {MAINTAINER}  {format_datetime(what.built)}\n"
    written(folder / "changelog.gz", gzip.compress(entry.encode(), 9, mtime=0))
    text = f"vcond is\n\n{(TOP / 'LICENSE').read_text('utf-8')}\n"
    text += f"Below /{HOME} are, each with its licence in its folder NAME.dist-info:\n\n"
    carry = (root / HOME).glob("lib/*/site-packages/*.dist-info")
    written(folder / "copyright", (text + "".join(sorted(licences(carry), key=str.lower))).encode())


def licences(packages: Iterable[Path]) -> Iterator[str]:
    """Name, version and licence of every distribution, by its own word."""
    for info in packages:
        told = email.message_from_string((info / "METADATA").read_text("utf-8"))
        classes = [one.rpartition(" :: ")[2] for one in told.get_all("Classifier", []) if one.startswith("License ::")]
        licence = (
            told.get("License-Expression") or ", ".join(classes) or (told.get("License") or "see there").split("\n")[0]
        )
        yield f"  {told['Name']} {told['Version']}: {licence}\n"


def package(root: Path, what: Release, out: Path, about: str, compression: str, **fields: str) -> Path:
    """The control files, and the package from all of it."""
    name, control = root.name, root / "DEBIAN"
    for folder in (root, *root.rglob("*")):
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(0o755)
    control.mkdir()
    files = sorted(
        file for file in root.rglob("*") if control not in file.parents and (file.is_symlink() or file.is_file())
    )
    size = sum(-(-file.lstat().st_size // 1024) for file in files) + sum(1 for one in root.rglob("*") if one.is_dir())
    head = {
        "Package": name, "Version": what.version, "Architecture": what.architecture, "Maintainer": MAINTAINER,
        "Installed-Size": str(size), "Section": "comm", "Priority": "optional", **fields, "Description": about,
    }  # fmt: skip
    (control / "control").write_text("".join(f"{key}: {value}\n" for key, value in head.items()), "utf-8")
    for script in PACKAGING.glob(f"{name}.p*"):
        put(control, script.suffix[1:], script, 0o755)
    if kept := [f"/{file.relative_to(root)}\n" for file in files if file.is_relative_to(root / "etc")]:
        (control / "conffiles").write_text("".join(kept), "ascii")
    sums = run("md5sum", *(str(f.relative_to(root)) for f in files if not f.is_symlink()), cwd=root)
    (control / "md5sums").write_text(sums, "utf-8")
    file = out / f"{name}_{what.version}_{what.architecture}.deb"
    out.mkdir(parents=True, exist_ok=True)
    epoch = str(int(what.built.timestamp()))
    run("dpkg-deb", "--root-owner-group", *compression.split(), "--build", root, file, SOURCE_DATE_EPOCH=epoch)
    return file


def unit(text: str, suite: str) -> str:
    """A unit as that Debian's systemd takes it. systemd.exec(5): ImportCredential= is for secrets that may be missing.

    Of each that LoadCredential= names and that is not there, systemd logs a line at every start since 256.
    """
    return text if suite in OLD_SYSTEMD else re.sub(r"^LoadCredential=", "ImportCredential=", text, flags=re.MULTILINE)


def pages() -> list[Path]:
    """The documentation, which stands in the package as in the checkout: so its links hold."""
    patterns = ("*.md", "docs/*.*", "docs/decisions/*.md", "adapters/*/*.md", "adapters/*/sample*.toml")
    return sorted(file.relative_to(TOP) for pattern in patterns for file in TOP.glob(pattern))


def installed(root: Path, suite: str) -> None:
    """Everything of vcond that is not Python, in its place."""
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/vcond").symlink_to(f"../{HOME.relative_to('usr')}/bin/vcond")
    put(root, "etc/vcond/vcond.toml", TOP / "vcond/config/sample.toml", 0o640)
    (root / "etc/vcond/vcond.d").mkdir(mode=0o755)
    for name in ("vcond.service", "vcond.socket"):
        text = unit((TOP / "systemd" / name).read_text("utf-8"), suite)
        written(root / "usr/lib/systemd/system" / name, text.encode())
    put(root, "usr/lib/sysusers.d/vcond.conf", TOP / "systemd/vcond.sysusers.conf")
    put(root, "usr/lib/tmpfiles.d/vcond.conf", TOP / "systemd/vcond.tmpfiles.conf")
    for drop_in in (TOP / "systemd/vcond.service.d").glob("*.conf"):
        put(root, f"usr/share/doc/vcond/examples/vcond.service.d/{drop_in.name}", drop_in)
    for file in (TOP / "ops").iterdir():
        put(root, f"usr/share/vcond/{file.name}", file)
    for page in pages():
        put(root, f"usr/share/doc/vcond/{page}", TOP / page)
    for page in (TOP / "man").glob("*.[1-8]"):
        put(root, f"usr/share/man/man{page.suffix[1:]}/{page.name}.gz", page)
    places = {"vcond.bash": "bash-completion/completions/vcond", "_vcond": "zsh/vendor-completions/_vcond",
              "vcond.fish": "fish/vendor_completions.d/vcond.fish"}  # fmt: skip
    for name, place in places.items():
        if (TOP / "completions" / name).exists():
            put(root, f"usr/share/{place}", TOP / "completions" / name)


def main() -> None:
    """Build both."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--out", type=Path, default=TOP / "dist")
    arguments.add_argument("--compression", default="-Zxz -z6", help="options of dpkg-deb")
    given = arguments.parse_args()
    what = release()
    embedded = pinned("requirements-embedded.lock")
    extras = pinned("requirements-webrtc.lock") | pinned("requirements-siprec.lock")
    more = {name: version for name, version in extras.items() if name not in embedded}
    major, _, minor = what.python.partition(".")
    depends = f"python3 (>= {what.python}), python3 (<< {major}.{int(minor) + 1}), {DEPENDS}"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        base, extra = work / "vcond", work / "vcond-webrtc"
        site = HOME / "lib" / f"python{what.python}" / "site-packages"
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", work)
        with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
            for name in wheel.namelist():
                written(base / site / name, wheel.read(name))
        for root, wanted in ((base, embedded), (extra, more)):
            for name, version in wanted.items():
                carried(root / site, name, version)
            interpreter(root / HOME, what.python)
            document(root, root.name, what)
            put(root, f"usr/share/lintian/overrides/{root.name}", PACKAGING / f"{root.name}.lintian-overrides")
        installed(base, what.suite)
        put(extra, "usr/lib/systemd/system/vcond.service.d/webrtc.conf", TOP / "systemd/vcond.service.d/webrtc.conf")
        compiled(base, what.built)
        compiled(extra, what.built)
        shutil.rmtree(extra / HOME / "bin")
        for name in ("pyvenv.cfg", "packaged"):
            (extra / HOME / name).unlink()
        fields = {"Depends": depends, "Recommends": "ca-certificates, libjemalloc2", "Suggests": "vcond-webrtc"}
        print(package(base, what, given.out, ABOUT, given.compression, **fields))
        fields = {"Depends": f"vcond (= {what.version}), libc6 (>= 2.34), libgcc-s1, libstdc++6"}
        print(package(extra, what, given.out, ABOUT_WEBRTC, given.compression, **fields))


if __name__ == "__main__":
    main()
