"""The rig of the sink ``s3``: moto's server in a process of its own, with a relay before it."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import count
from pathlib import Path

from relay import Relay, RelayRig

from vcond.delivery.sinks.s3 import S3Config, S3Sink
from vcond.testing.needs import needs

TOP = Path(__file__).parents[3]
PYTHON = TOP / ".peers/s3/bin/python"
SERVER = TOP / "tests/peers/s3/s3_server.py"
_names = count(1)


class S3Store:
    """moto, for all tests of a module: a bucket is what each test has for itself."""

    def __init__(self) -> None:
        needs(PYTHON.exists(), "moto is not installed in .peers/s3: tools/setup.sh test")
        self._process = subprocess.Popen([PYTHON, SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.told = self._line()

    def bucket(self, *how: str) -> str:
        name = f"bucket-{next(_names)}"
        self._process.stdin.write(f"bucket {name} {' '.join(how)}\n".encode())
        self._process.stdin.flush()
        self._line()
        return name

    def stop(self) -> None:
        with self._process:
            self._process.stdin.close()

    def _line(self):
        line = self._process.stdout.readline()
        assert line, "moto has died"
        return json.loads(line)


class S3Rig(RelayRig):
    can = frozenset({"down", "stall", "lose", "keeps"})

    def __init__(self, store: S3Store, *how: str) -> None:
        self.store, self.relay, self.bucket = store, Relay(store.told["port"]), store.bucket(*how)
        self.private = (store.told["secret_key"], store.told["access_key"])

    async def start(self):
        await self.relay.up()

    async def stop(self):
        await self.relay.down()

    def config(self, **more):
        told = self.store.told
        return S3Config(
            **{"url": f"http://127.0.0.1:{self.relay.port}", "bucket": self.bucket, "access_key": told["access_key"],
               "secret_key": told["secret_key"]} | more
        )  # fmt: skip

    def sink(self, **more):
        return S3Sink(self.config(**more))

    async def received(self):
        """Every version of every object, as somebody finds them who lists the bucket."""
        sink = S3Sink(self.config(url=f"http://127.0.0.1:{self.store.told['port']}"))
        listed = await sink._ask("GET", "", {"versions": ""}, limit=1 << 20)
        found = {}
        for part in re.findall(r"<Version>.*?</Version>", listed.body.decode(), re.DOTALL):
            key, version = re.search(r"<Key>(.*?)</Key>", part)[1], re.search(r"<VersionId>(.*?)</VersionId>", part)[1]
            answer = await sink._ask("GET", key, {"versionId": version}, limit=1 << 30)
            assert answer.status == 200
            found.setdefault(key.rpartition("/")[2].removesuffix(".json"), []).append(answer.body)
        await sink.close()
        return found

    async def lose(self):
        self.relay.lose(lambda data: data.startswith(b"PUT "))
