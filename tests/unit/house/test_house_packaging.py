"""What a user gets: the wheel, the sample configuration, and words in the README that are true."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from vcond.app.plugins import adapters, sinks
from vcond.app.setup_steps import steps
from vcond.base.errors import ConfigError
from vcond.capture.clock import SteadyClock
from vcond.config import load

TOP = Path(__file__).resolve().parents[3]
PAGES = {page.parent.name: page for page in TOP.glob("adapters/*/README.md")}
PAGES["janus"] = TOP / "adapters/webrtc/JANUS.md"  # a second adapter of the package


def build(target: str, source: Path, out: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return next(out.iterdir())


def test_the_wheel_made_from_the_source_archive_is_whole(tmp_path: Path):
    sdist = build("sdist", TOP, tmp_path / "sdist")
    (tmp_path / "source").mkdir()
    subprocess.run(["tar", "-xf", sdist, "-C", tmp_path / "source"], check=True)
    wheel = build("wheel", next((tmp_path / "source").iterdir()), tmp_path / "wheel")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"vcond", *(path.name for path in TOP.glob("adapters/*/vcond_*"))}
    for needed in (
        "vcond/py.typed",
        "vcond/config/sample.toml",
        "vcond/demo/caller.ulaw",
        "vcond/demo/call.json",
        "vcond_asterisk/setup.md",
        "vcond_webrtc/setup-janus.md",
    ):
        assert needed in names
    assert not [name for name in names if "test" in name.split("/")[0]]


def test_the_sample_configuration_is_true(tmp_path: Path):
    file = tmp_path / "vcond.toml"
    sample = (TOP / "sample.toml").read_text()
    file.write_text(sample)
    assert load(file, {}).config.adapters == {}
    # and with everything that is commented out
    lines = [re.sub(r"^# (?=\[|\w+ = )", "", line) for line in sample.splitlines()]
    file.write_text("\n".join(lines))
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for name in set(re.findall(r"\$\{credential:([^}]+)\}", sample)):
        (credentials / name).write_text("YS1zZWNyZXQtb2YtbW9yZS10aGFuLXRoaXJ0eS10d28tYnl0ZXMu")
    file.write_text(file.read_text().replace('form = "signed"', 'form = "plain"'))  # there are no keys here
    config = load(file, {"CREDENTIALS_DIRECTORY": str(credentials)}).config
    assert sorted(adapters(config)) == sorted(PAGES)
    assert {page.parent for page in PAGES.values()} == {path for path in TOP.glob("adapters/*") if path.is_dir()}
    assert [sink.name for sink in sinks(config, clock=SteadyClock().now)] == ["folder", "conserver", "webhook"]


def test_each_adapters_sample_is_true(tmp_path: Path):
    for name, page in PAGES.items():
        sample = page.parent / ("sample.toml" if page.name == "README.md" else f"sample-{name}.toml")
        file = tmp_path / "vcond.toml"
        file.write_text(sample.read_text())
        credentials = tmp_path / "credentials"
        credentials.mkdir(exist_ok=True)
        for secret in set(re.findall(r"\$\{credential:([^}]+)\}", sample.read_text())):
            (credentials / secret).write_text("a-secret-of-more-than-thirty-two-bytes")
        config = load(file, {"CREDENTIALS_DIRECTORY": str(credentials)}).config
        assert list(adapters(config)) == [name]


def test_vcond_setup_says_what_the_adapters_page_says():
    for name, page in PAGES.items():
        text = steps(name, {}).text
        assert text.startswith("## From zero to the first vCon")
        assert text.strip() in page.read_text(), f"{page} and setup.md of its package differ"
    with pytest.raises(ConfigError, match="there are for: asterisk, conserver"):
        steps("pabx", {})


def test_the_readme_names_the_two_commands_on_its_first_screen():
    first = (TOP / "README.md").read_text().splitlines()[:25]
    assert any("make demo" in line for line in first)
    assert any("make test" in line for line in first)


def test_links_between_pages_lead_somewhere():
    for page in [TOP / "README.md", TOP / "CONTRIBUTING.md", *TOP.glob("docs/**/*.md"), *TOP.glob("adapters/*/*.md")]:
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.relative_to(TOP)} links to {link}"


@pytest.mark.parametrize(
    ("file", "least"),
    [
        ("requirements.lock", 50),
        ("tests/peers/judges/requirements.txt", 15),
        ("tests/peers/judges/judges.txt", 1),
        ("tests/peers/judges/sdks.txt", 30),
        ("docs/site/requirements.txt", 10),
    ],
)
def test_a_lock_names_no_index_and_pins_everything_with_hashes(file: str, least: int):
    lock = (TOP / file).read_text()
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", lock)
    pins = re.findall(r"^[a-z0-9-]+==\S+.*\\$", lock, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[a-z0-9]", lock, re.MULTILINE)) > least
