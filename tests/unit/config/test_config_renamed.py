"""Keys of earlier versions. ``data/*-f19b440.toml`` are configurations as the version of that commit read them."""

import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vcond.base.errors import ConfigError
from vcond.cli.app import app
from vcond.config import load, load_daemon
from vcond.config.renamed import MOST_PLACES, RENAMED, Change, migrated

DATA = Path(__file__).parent / "data"
OLD = "[vcond]\nname = 'a.example.com'\ndisk_floor_mb = 7 # MB\n"
NEW = "[vcond]\nname = 'a.example.com'\nmin_free_mb = 7 # MB\n"
SECRET = "wallaby-17"


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str, name: str = "vcond.toml") -> Path:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(text.encode())
        return tmp_path / "vcond.toml"

    return write


def cli(*words: str | Path):
    return CliRunner().invoke(app, [*map(str, words)], catch_exceptions=True)


@pytest.mark.parametrize("name", ["sample", "all"])
def test_a_configuration_of_f19b440_is_refused_then_migrated_then_read_as_it_was(written, name: str):
    old = (DATA / f"{name}-f19b440.toml").read_text()
    path = written(old)
    with pytest.raises(ConfigError, match=r"vcond config migrate --write.* \(in .*vcond.toml\)"):
        load(path, {})
    done = cli("config", "migrate", path, "--write")
    assert (done.exit_code, done.exception) == (0, None)
    new = path.read_text()
    loaded = load(path, {}).config
    assert loaded.vcond.min_free_mb == tomllib.loads(old)["vcond"]["disk_floor_mb"]
    differ = [(a, b) for a, b in zip(old.splitlines(), new.splitlines(), strict=True) if a != b]
    assert [b for _, b in differ] == [line for line in new.splitlines() if line in {b for _, b in differ}]  # in order
    assert "nothing to rename" in cli("config", "migrate", path).output


def test_every_way_to_write_a_key_is_found_and_nothing_else_changes():
    old = (DATA / "all-f19b440.toml").read_text()
    new, changes = migrated(old)
    assert {change.old for change in changes} == set(RENAMED)
    assert tomllib.loads(new)["speech"]["routes"] == [
        {
            "match": {"adapter": "twilio", "attributes": {"search": "yes", "facts": "no"}},
            "language": "de",
            "vocabulary": ["search = 1", "facts = { disk_floor_mb = 3 }\n"],
        },
        {"language": "en", "match": {"attributes": {"queue": "support"}}},
        {"match": {"attributes": {"queue": "sales", "parameter.lang": "en"}}},
    ]
    back = list(new.splitlines())
    for change in changes:
        line = back[change.line - 1]
        assert change.new in line
        back[change.line - 1] = line.replace(change.new, change.old.rpartition(".")[2], 1)
    assert back == old.splitlines()


def test_a_refusal_is_one_line_with_key_new_key_and_command(written):
    path = written(OLD)
    line = (
        f"vcond.disk_floor_mb: is called min_free_mb now: run `vcond config migrate --write` (in {path})"  # and no more
    )
    for read in (load, load_daemon):
        with pytest.raises(ConfigError) as why:
            read(path, {})
        assert str(why.value) == line


def test_several_old_keys_are_named_in_one_refusal(written):
    path = written("[delivery]\nretry_first = 1\nretry_most = 2\ntry_most = 3\n[speech]\nsearch = 900\n" + OLD)
    with pytest.raises(ConfigError) as why:
        load(path, {})
    assert "delivery.retry_most is backoff_max, delivery.try_most is attempt_timeout and 2 more: run" in str(why.value)


def test_an_old_key_in_the_environment_is_refused_with_the_new_variable(written):
    with pytest.raises(
        ConfigError, match=r"set VCOND_VCOND__MIN_FREE_MB in its place \(in VCOND_VCOND__DISK_FLOOR_MB\)"
    ):
        load(written(""), {"VCOND_VCOND__DISK_FLOOR_MB": "5"})


def test_without_write_nothing_changes_and_no_value_is_shown(written):
    path = written(f'speech = {{ token = "{SECRET}", search = 1000 }}\n{OLD}')
    before = path.read_bytes()
    told = cli("config", "migrate", path)
    assert told.exit_code == 0
    assert f"{path}:1: speech.search -> max_active" in told.output
    assert f"{path}:4: vcond.disk_floor_mb -> min_free_mb" in told.output
    assert "use --write" in told.output
    assert SECRET not in told.output
    assert path.read_bytes() == before


def test_files_of_vcond_d_are_migrated_too_with_mode_mark_line_ends_and_links_as_they_were(written, tmp_path: Path):
    path = written("\ufeff" + OLD.replace("\n", "\r\n"))
    path.chmod(0o640)
    written(OLD, "elsewhere/site.toml")
    (tmp_path / "vcond.d").mkdir()
    (tmp_path / "vcond.d" / "10-site.toml").symlink_to(tmp_path / "elsewhere" / "site.toml")
    assert cli("config", "migrate", path, "--write").exit_code == 0
    assert path.read_bytes().decode() == "\ufeff" + NEW.replace("\n", "\r\n")
    assert path.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "vcond.d" / "10-site.toml").is_symlink()
    assert (tmp_path / "elsewhere" / "site.toml").read_text() == NEW
    assert sorted(file.name for file in tmp_path.iterdir()) == ["elsewhere", "vcond.d", "vcond.toml"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (OLD + "min_free_mb = 8\n", "vcond: min_free_mb is set twice, under its old and its new name"),
        (
            '[vcond]\n"disk\\u005ffloor_mb" = 7\n',
            "vcond.disk_floor_mb: is now min_free_mb; vcond cannot rewrite this line",
        ),
        ("[vcond\n", "vcond.toml: "),
        ("x = " + "[" * 5000 + "]" * 5000, "too deep"),
        ("#" * (1 << 20) + "\n", "larger than"),
    ],
)
def test_what_cannot_be_migrated_is_said_and_no_file_is_touched(written, text: str, says: str):
    written(OLD, "vcond.d/10.toml")
    path = written(text)
    told = cli("config", "migrate", path, "--write")
    assert isinstance(told.exception, ConfigError)
    assert says in str(told.exception)
    assert path.read_text() == text
    assert (path.parent / "vcond.d" / "10.toml").read_text() == OLD


def test_a_file_with_a_key_in_countless_comments_takes_no_countless_readings():
    text = "[delivery]\nretry_first = 5\n" + "# retry_first = 5\n" * MOST_PLACES
    with pytest.raises(ConfigError, match="cannot rewrite this line"):
        migrated(text)
    assert migrated("[delivery]\nretry_first = 5\n# retry_first = 6\n")[1] == [
        Change(2, "delivery.retry_first", "backoff_min")
    ]
