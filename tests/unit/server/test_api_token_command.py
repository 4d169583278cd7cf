"""``vcond token`` against a daemon."""

import asyncio
from pathlib import Path

import pytest
import typer.main
from api_kit import daemon

from vcond.base.errors import RefusedError
from vcond.cli.app import app

COMMAND = typer.main.get_command(app)


async def run(capsys, *words: str) -> str:
    await asyncio.to_thread(COMMAND.main, list(words), standalone_mode=False)
    return capsys.readouterr().out


async def test_a_token_is_made_shown_once_listed_and_revoked(tmp_path: Path, capsys):
    async with daemon(tmp_path) as one:
        config = ["--config", str(tmp_path / "vcond.toml")]
        assert "there are no tokens" in await run(capsys, "token", "list", *config)
        made = await run(capsys, "token", "create", "agent 7", "--role", "watch", "--role", "operate", *config)
        token, where = made.splitlines()[-2:]
        assert where == f"the API answers at {one.parts.api.base_url}"
        one.tokens["made"] = token
        assert (await one.told("/me", "made"))["roles"] == ["watch", "operate"]
        listed = await run(capsys, "token", "list", *config)
        key = token.split("_")[1]
        assert "agent 7" in listed
        assert key in listed
        assert token.rpartition("_")[2] not in listed
        one.time[0] += 91 * 86_400 * 10**9
        assert "EXPIRED" in await run(capsys, "token", "list", *config)
        assert "revoked" in await run(capsys, "token", "revoke", key, *config)
        assert (await one.asked("/me", "made"))[0] == 401
        with pytest.raises(RefusedError, match="roles are"):
            await run(capsys, "token", "create", "a", "--role", "root", *config)
