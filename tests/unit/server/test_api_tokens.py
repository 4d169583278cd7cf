import json
import stat
from pathlib import Path

import pytest

from vcond.base.errors import StorageError
from vcond.server.api import tokens as module
from vcond.server.api.guard import Who
from vcond.server.api.tokens import Tokens
from vcond.storage.files import Files

DAY = 86_400


def made(folder: Path, now=lambda: 1000.0) -> Tokens:
    tokens = Tokens(folder / "tokens", Files(), now)
    tokens.load()
    return tokens


def test_a_token_is_found_by_its_text_alone_and_only_its_hash_is_kept(tmp_path: Path):
    tokens = made(tmp_path)
    text = tokens.create("wall board", ["watch"], 1)
    token = tokens.find(text)
    assert token is not None
    assert (token.name, token.roles) == ("wall board", ("watch",))
    secret = text.rpartition("_")[2]
    kept = (tmp_path / "tokens").read_text()
    assert secret not in kept
    assert token.id in kept
    assert stat.S_IMODE((tmp_path / "tokens").stat().st_mode) == 0o600
    again = made(tmp_path).find(text)
    assert again == token


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1] + ("a" if text[-1] != "a" else "b"),
        lambda text: text + "a",
        lambda text: text.replace("vcond_", "other_"),
        lambda text: "_".join([*text.split("_")[:2], ""]),
        lambda text: "vcond_000000000000_" + text.rpartition("_")[2],
        lambda text: "",
        lambda text: "vcond",
        lambda text: "\udcff\udcfe",
        lambda text: "x" * 100_000,
    ],
)
def test_a_forged_token_is_none(tmp_path: Path, change):
    tokens = made(tmp_path)
    assert tokens.find(change(tokens.create("a", ["admin"], 1))) is None


def test_a_secret_opens_no_other_token(tmp_path: Path):
    tokens = made(tmp_path)
    one, other = (tokens.create(name, ["watch"], 1) for name in "ab")
    assert tokens.find("_".join([*one.split("_")[:2], other.split("_", 2)[2]])) is None


def test_tokens_end_and_are_revoked_for_good(tmp_path: Path):
    now = [1000.0]
    tokens = made(tmp_path, lambda: now[0])
    short, long = tokens.create("short", ["watch"], 1), tokens.create("long", ["watch"], 3)
    now[0] += DAY
    assert tokens.find(short) is None
    token = tokens.find(long)
    assert token is not None
    tokens.revoke(token.id)
    assert tokens.find(long) is None
    assert made(tmp_path).find(long) is None
    with pytest.raises(LookupError):
        tokens.revoke(token.id)


def test_roles_allow_what_is_theirs_and_admin_everything(tmp_path: Path):
    tokens = made(tmp_path)
    watch, admin = (tokens.find(tokens.create("a", [role], 1)) for role in ("watch", "admin"))
    assert watch
    assert admin
    assert [role for role in module.ROLES if Who("a", watch.all_roles).may(role)] == ["watch"]
    assert all(Who("a", admin.all_roles).may(role) for role in module.ROLES)


@pytest.mark.parametrize(
    ("name", "roles", "days"),
    [("", ["watch"], 1), ("a" * 65, ["watch"], 1), ("a\nb", ["watch"], 1), ("a", [], 1), ("a", ["root"], 1), ("a", ["watch", ""], 1),
     ("a", ["watch"], 0), ("a", ["watch"], 3661)],
)  # fmt: skip
def test_what_makes_no_token(tmp_path: Path, name: str, roles: list[str], days: int):
    with pytest.raises(ValueError, match=r"name|roles|good for"):
        made(tmp_path).create(name, roles, days)


def test_there_are_so_many_and_expired_ones_make_room(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(module, "MOST", 2)
    now = [0.0]
    tokens = made(tmp_path, lambda: now[0])
    tokens.create("a", ["watch"], 1)
    tokens.create("b", ["watch"], 9)
    with pytest.raises(ValueError, match="revoke"):
        tokens.create("c", ["watch"], 1)
    now[0] = DAY
    tokens.create("c", ["watch"], 1)
    assert [one.name for one in tokens.list()] == ["b", "c"]


def test_a_damaged_file_lets_nobody_in_and_is_left_as_it_is(tmp_path: Path):
    text = made(tmp_path).create("a", ["admin"], 1)
    file = tmp_path / "tokens"
    file.write_bytes(file.read_bytes()[:-5])
    before = file.read_bytes()
    tokens = made(tmp_path)
    assert "damaged" in tokens.trouble
    assert tokens.find(text) is None
    with pytest.raises(StorageError):
        tokens.create("b", ["watch"], 1)
    assert file.read_bytes() == before


def test_what_the_disk_does_not_take_is_not_in_force(tmp_path: Path):
    class Full(Files):
        def sync(self, fd: int) -> None:
            raise OSError(28, "No space left on device")

    tokens = Tokens(tmp_path / "tokens", Full(), lambda: 0.0)
    with pytest.raises(StorageError):
        tokens.create("a", ["admin"], 1)
    assert tokens.list() == []


def test_the_file_is_a_list_that_can_be_read(tmp_path: Path):
    tokens = made(tmp_path)
    tokens.create("a", ["watch", "read"], 1)
    (row,) = json.loads((tmp_path / "tokens").read_text())
    assert row["expires"] - row["created"] == DAY
    assert row["roles"] == ["watch", "read"]
