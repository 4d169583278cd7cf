"""Three calls of one person, two conservers and a folder: the index lists them, forgetting empties them, an old backup too."""

from __future__ import annotations

import shutil
from pathlib import Path

from fake_conserver import FakeConserver
from records_kit import TEL, config, edge

from vcond.config import Config

KEY, API = "list-key-1", "api-token-1"
SPELLINGS = (TEL, "+1 212 555 0143", "+1 (212) 555-0143")


def made(root: Path, *conservers: FakeConserver) -> Config:
    sinks = [
        {
            "type": "conserver",
            "name": f"conserver-{i}",
            "url": one.url,
            "ingress_lists": ["edge"],
            "token": KEY,
            "admin_token": API,
        }
        for i, one in enumerate(conservers)
    ]
    return config(root, sinks=[*sinks, {"type": "folder", "name": "archive", "path": str(root / "archive")}])


async def test_a_person_is_found_forgotten_everywhere_and_stays_forgotten(tmp_path: Path):
    (tmp_path / "keys").mkdir()
    async with (
        FakeConserver(ingress_auth={"edge": KEY}, tokens=[API]) as first,
        FakeConserver(ingress_auth={"edge": KEY}, tokens=[API]) as second,
    ):
        setup = made(tmp_path, first, second)
        async with edge(setup) as it:
            mine = [await it.ended(f"k{i}", tel) for i, tel in enumerate(SPELLINGS)]
            other = await it.ended("other", "+442079460958")
            found = await it.parts.records.ask(lambda _ledger, index: index.find(f"tel:{TEL}"))
            assert {one.call for one in found} == set(mine)
            for conserver in (first, second):
                assert set(conserver.vcons) >= {*mine, other}
            shutil.copytree(tmp_path / "state", tmp_path / "backup", ignore=shutil.ignore_patterns(".lock"))
            row = await it.write("forget", call=f"tel:{TEL}")
            assert row["state"] == "complete"
            places = {one["place"]: one["state"] for one in row["places"]}
            assert {places[f"sinks.{name}"] for name in ("conserver-0", "conserver-1", "archive")} == {"done"}
            for conserver in (first, second):
                assert set(conserver.vcons) & {*mine, other} == {other}
            assert [path.name[:36] for path in (tmp_path / "archive").iterdir()] == [other]
        shutil.rmtree(tmp_path / "state")
        shutil.move(tmp_path / "backup", tmp_path / "state")
        shutil.copytree(tmp_path / "state/outbox/kept", tmp_path / "state/outbox/pending", dirs_exist_ok=True)
        async with edge(setup) as it:
            await it.until(lambda: it.stage(other, "kept"))
            assert [await it.entry(uuid) for uuid in mine] == [None] * 3
            for conserver in (first, second):
                assert set(conserver.vcons) & {*mine, other} == {other}
            found = await it.parts.records.ask(lambda _ledger, index: index.find(f"tel:{TEL}"))
            assert found == [], "nor does the index know again who was in them"
