"""What pages tell people to type and to write holds: commands by the real parser, snippets by the real types, links and anchors."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from vcond.app.plugins import adapters, sinks
from vcond.capture.clock import SteadyClock
from vcond.cli.app import app
from vcond.config import load
from vcond.testing.needs import needs

TOP = Path(__file__).resolve().parents[3]
PAGES = sorted(
    str(page.relative_to(TOP))
    for page in [TOP / "README.md", TOP / "CONTRIBUTING.md", *TOP.glob("docs/**/*.md"), *TOP.glob("adapters/*/*.md")]
)
COMMAND = typer.main.get_command(app)
UsageError = typer.BadParameter.__base__
"""Of the click that typer carries."""
ANSWERED = {  # what somebody asked who installed it without knowing it, and the page that answers
    "back it up": "backup.md", "upgrade, go back": "upgrade.md", "remove it": "upgrade.md#removing", "How large": "sizing.md",
    "ports": "operations.md#ports-and-firewalls", "encrypted": "operations.md#encryption-of-what-is-kept",
    "How long": "#what-is-kept-and-for-how-long", "GDPR": "#deleting-one-call",
    "tells the caller": "#telling-people-that-they-are-recorded", "not recorded": "#not-recording-some-calls",
    "may hear": "operations.md#who-may-use-the-commands", "FreePBX": "freepbx.md", "FusionPBX": "fusionpbx.md",
    "own authority": "operations.md#tls", "Several PBXs": "operations.md#several-systems-on-one-vcond",
    "standby": "#a-second-machine", "was somebody in": "ledger.md#who-is-in-which-vcon", "Prometheus": "operations.md#alerts-and-a-dashboard", "/readyz": "operations.md#health",
    "read the log": "operations.md#reading-the-log", "clock": "#time", "Where is the vCon": "#where-is-the-vcon-of-this-call",
    "Docker, SELinux": "#containers-and-selinux", "alert": "troubleshooting.md#alerts-and-what-to-do",
}  # fmt: skip


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Language and content of every block of code, fenced or indented."""
    fence = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
    for found in fence.finditer(text):
        yield found[2], found[3]
    for line in re.findall(r"^    (\S.*)$", fence.sub("", text), re.MULTILINE):
        yield "", line


def typed(text: str) -> Iterator[str]:
    """Lines with a command of vcond, as one types them; what follows after two blanks, a # or a colon is said of it."""
    lines = [line for _, block in blocks(text) for line in block.splitlines()]
    lines += re.findall(r"`(vcond [^`\n]+)`", text)
    for line in lines:
        for part in re.split(r" && |; {2,}|;   ", line):
            found = re.match(r"\s*(?:\$ )?(?:\w+=\S+ )*(?:\.venv/bin/|/usr/bin/)?(vcond [a-z].*)$", part)
            if found and not re.search(r"[|…/] ?(?:[a-z]+|\.\.\.)?$|\||…|\.\.\.|/ [a-z]", found[1]):
                yield re.split(r"\s{2,}| #|: ", found[1])[0]


def understood(line: str) -> None:
    """Parse it as the command line does, without running anything. Raises UsageError."""
    command, words, parent = COMMAND, shlex.split(line)[1:], None
    while hasattr(command, "commands"):
        context = command.make_context("vcond", words, parent=parent)
        rest = [*context._protected_args, *context.args]
        if not rest:
            return
        _, found, words = command.resolve_command(context, rest)
        assert found is not None
        command, parent = found, context
    with contextlib.suppress(typer.Exit):  # --help, --version
        command.make_context("vcond", words, parent=parent)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_line_is_one_that_vcond_understands(page: str):
    if page.startswith("docs/decisions/") or page == "docs/cli.md":
        return  # they tell of their day; it is made from the parser
    for line in typed((TOP / page).read_text()):
        try:
            understood(line)
        except UsageError as why:
            # a command that is spoken of; a file of yours
            if type(why).__name__ != "MissingParameter" and "does not exist" not in str(why):
                pytest.fail(f"{page}: {line}: {why.format_message()}")


def test_command_lines_are_found_and_wrong_ones_refused():
    found = [line for page in PAGES for line in typed((TOP / page).read_text())]
    assert len(found) > 150
    assert {"vcond check", "vcond config migrate", "vcond model get NAME --from FILE"} <= {*found}
    for wrong in ("vcond chek", "vcond check --offlin", "vcond outbox erase A B", "vcond pause"):
        with pytest.raises(UsageError):
            understood(wrong)


SECRET = "YS1zZWNyZXQtb2YtbW9yZS10aGFuLXRoaXJ0eS10d28tYnl0ZXMu"


def snippets() -> list[tuple[str, str]]:
    return [
        (page, block)
        for page in PAGES
        if not page.startswith("docs/decisions/")
        for language, block in blocks((TOP / page).read_text())
        if language == "toml"
    ]


@pytest.mark.parametrize(("page", "snippet"), snippets(), ids=[f"{page}-{n}" for n, (page, _) in enumerate(snippets())])
def test_every_snippet_of_configuration_is_taken(page: str, snippet: str, tmp_path: Path):
    tree = tomllib.loads(snippet)
    if "project" in tree or "tool" in tree:
        return  # of a plug-in's pyproject.toml
    for secret in set(re.findall(r"\$\{credential:([^}]+)\}", snippet)):
        (tmp_path / secret).write_text(SECRET)
    for secret in set(re.findall(r"\$\{file:([^}]+)\}", snippet)):
        (tmp_path / Path(secret).name).write_text(SECRET)
        snippet = snippet.replace(secret, str(tmp_path / Path(secret).name))
    file = tmp_path / "vcond.toml"
    file.write_text(snippet)
    config = load(file, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).config
    assert adapters(config).keys() == config.adapters.keys()
    if config.sinks:
        sinks(config, clock=SteadyClock().now)


def anchors(page: Path) -> set[str]:
    """Of its headings, as code browsers and the site make them; a heading of the same words gets a number."""
    text = re.sub(r"^( *)```.*?^\1```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ (.+?)\s*$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", plain.lower()))
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_anchor_leads_to_a_heading(page: str):
    file = TOP / page
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)]+)\)", file.read_text()):
        target = file.parent / path if path else file
        assert anchor in anchors(target), f"{page}: {path}#{anchor}"


def test_every_question_of_a_first_user_has_its_page():
    rows = re.findall(r"^\| (.+?\?|An alert .+?) \| (.+) \|$", (TOP / "docs/questions.md").read_text(), re.MULTILINE)
    for asked, page in ANSWERED.items():
        assert any(asked in question and f"({page})" in answer for question, answer in rows), asked
    assert len(rows) == len(ANSWERED)


def test_every_page_is_in_the_sites_menu_once():
    menu = re.findall(r'"([\w./-]+\.md)"', (TOP / "docs/site/zensical.toml").read_text())
    assert sorted(menu) == sorted(
        [page for page in PAGES if not page.startswith("docs/decisions/") and page != "docs/README.md"]
        + ["docs/decisions/index.md"]
    )


@pytest.mark.peer
def test_the_site_is_made_without_a_warning_and_fetches_nothing_of_others(tmp_path: Path):
    needs((TOP / ".peers/site/bin/zensical").exists(), "zensical is missing: tools/setup.sh site")
    command = [sys.executable, TOP / "tools/site.py", "--out", tmp_path / "site"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        assert re.findall(r'<(?:script|link|img)\b[^>]*(?:src|href)="?(?:https?:)?//[^">]*', page.read_text()) == []
    assert (tmp_path / "site/search.json").stat().st_size > 100_000
    shutil.rmtree(tmp_path / "site")
