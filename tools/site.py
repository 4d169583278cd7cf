"""``make site``: the documentation as pages for a browser, in ``site``, from the very files of this checkout.

They are laid out as they lie here, so that every link holds in both places; a link to a folder leads to a list of what is in it.
Strict: a link or an anchor that leads nowhere is an error. Nothing of others is fetched when a page is read; its search needs a web
server, such as ``python3 -m http.server -d site``.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
ZENSICAL = TOP / ".peers/site/bin/zensical"
NAVIGATION = TOP / "docs/site/zensical.toml"
LINK = re.compile(r"(\[[^\]]*\]\()(?!https?:|mailto:|#)([^)#\s]+)((?:#[^)]*)?\))")


def pages() -> list[Path]:
    """All that is written for people, but for what changed since the last release, which the release notes have."""
    found = [TOP / "README.md", TOP / "CONTRIBUTING.md", *TOP.glob("docs/**/*.md"), *TOP.glob("adapters/*/*.md")]
    return sorted(page.relative_to(TOP) for page in found)


def links(page: Path) -> Iterator[Path]:
    """What a page's links lead to in this checkout."""
    for _, target, _ in LINK.findall((TOP / page).read_text("utf-8")):
        yield (TOP / page.parent / target).resolve().relative_to(TOP)


def staged(stage: Path) -> None:
    """Pages, and the files that they lead to."""
    folders: set[Path] = set()
    for page in pages():
        into = stage / page
        into.parent.mkdir(parents=True, exist_ok=True)
        into.write_text(
            LINK.sub(lambda found, page=page: leading(page, found), (TOP / page).read_text("utf-8")), "utf-8"
        )
        for target in links(page):
            if (TOP / target).is_dir():
                folders.add(target)
            elif target.suffix != ".md":
                copied(stage, target)
    for folder in folders:
        listed(stage, folder)


def leading(page: Path, found: re.Match[str]) -> str:
    """A link of a page, to a page of the site."""
    folder = (TOP / page.parent / found[2]).is_dir()
    return f"{found[1]}{found[2]}{'/index.md' if folder else ''}{found[3]}"


def copied(stage: Path, file: Path) -> None:
    """A file that is no page."""
    into = stage / file
    into.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(TOP / file, into)


def listed(stage: Path, folder: Path) -> None:
    """A page for a folder: its pages and other files, or the pages of the folders in it."""
    inside = [one for one in sorted((TOP / folder).iterdir()) if one.is_file()]
    inside += [one / "README.md" for one in sorted((TOP / folder).iterdir()) if (one / "README.md").is_file()]
    lines = [f"# {folder.name}", ""]
    for file in inside:
        if file.suffix != ".md":
            copied(stage, file.relative_to(TOP))
        where = file.relative_to(TOP / folder)
        heading = re.match(r"# (.+)", file.read_text("utf-8"))
        lines.append(f"- [{heading[1] if heading and file.suffix == '.md' else where}]({where})")
    (stage / folder).mkdir(parents=True, exist_ok=True)
    (stage / folder / "index.md").write_text("\n".join(lines) + "\n", "utf-8")


def main() -> int:
    """Build it; 1 when something is wrong."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--out", type=Path, default=TOP / "site")
    out = arguments.parse_args().out.resolve()
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder)
        staged(stage / "pages")
        shutil.copyfile(NAVIGATION, stage / "zensical.toml")
        command = [ZENSICAL, "build", "--strict", "--config-file", stage / "zensical.toml"]
        done = subprocess.run(command, cwd=stage, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        if done.returncode or re.search(r"warning", said, re.IGNORECASE):
            print(said, file=sys.stderr)
            return 1
        shutil.rmtree(out, ignore_errors=True)
        built = stage / tomllib.loads(NAVIGATION.read_text("utf-8"))["project"]["site_dir"]
        shutil.copytree(built, out)
    print(f"{out}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
