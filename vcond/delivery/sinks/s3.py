"""The sink ``s3``: each vCon is an object in a bucket of a store that speaks S3: AWS, MinIO, Ceph, Garage, R2 and others.

- The SHA-256 of what is sent is signed with it: a store takes nothing else. The vCon's SHA-512 is kept as metadata, by which a
  try after a lost answer knows that the object is there: no second version is made, no second lock.
- Large ones go in parts (multipart upload); what an earlier try left of those is aborted first.
- Addresses are ``url/bucket/path`` ("path style"), which all stores take.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, Final, Literal

from msgspec import Meta
from yarl import URL

from vcond.base.errors import ConfigError
from vcond.delivery.sinks.http_client import LIMIT, Answer, HttpClient, HttpConfig, Name, Secret, Url, receiver_url
from vcond.delivery.sinks.places import OF_PATH, PROBE, Places
from vcond.delivery.sinks.s3_answers import code, not_stored, tags
from vcond.delivery.sinks.s3_signature import EMPTY, query, signed
from vcond.sdk.sink import MEDIA_TYPE, Form, OutgoingVcon, Profile, Receipt, Refused, Retry, Seen

PART: Final = 8 << 20
"""Bytes of a part of a large object; S3 wants 5 MiB at least."""
SINGLE: Final = 2 * PART
"""Bytes up to which an object is sent at once."""
DIGEST: Final = "x-amz-meta-vcon-sha512"
LISTING: Final = 1 << 20
"""Bytes of a list that are read: a thousand entries."""


class S3Config(HttpConfig, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """``[[sinks]]`` with ``type = "s3"``."""

    url: Url
    """The root of the store, without the bucket: ``https://s3.eu-central-1.amazonaws.com``."""
    bucket: Name
    """It must be there."""
    region: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,64}$")] = "us-east-1"
    """Of the bucket. Stores of your own mostly take any."""
    path: Annotated[str, Meta(min_length=1, max_length=900)] = "vcons/{date}/{uuid}.json"
    """The object's key, with ``{uuid}`` in it and ``{date}``: ``YYYY/MM/DD``, the UTC day the call began."""
    access_key: Annotated[str, Meta(pattern=r"^[!-+\--~]{1,256}$")]
    """Of a user that may put objects there, and get them (for HEAD); to erase also list and delete versions."""
    secret_key: Secret
    """Its secret. By reference: ``${credential:NAME}``."""
    encryption: Literal["", "AES256", "aws:kms"] = ""
    """How the store encrypts it (SSE-S3, SSE-KMS). Empty = as the bucket says."""
    kms_key: Annotated[str, Meta(pattern=r"^[!-~]{0,2048}$")] = ""
    """For ``aws:kms``: which key; empty = the store's own."""
    lock: Literal["", "GOVERNANCE", "COMPLIANCE"] = ""
    """Object lock: nobody deletes it before ``lock_days`` are over; with COMPLIANCE not even the owner, nor ``vcond outbox erase``."""
    lock_days: Annotated[int, Meta(ge=0, le=36_500)] = 0
    """Days from the delivery on."""
    name: Name = "s3"
    """What you call it: in the outbox, in the log, as a label of metrics. It stays the same as long as vCons wait for it."""

    def __repr__(self) -> str:
        """Without the secret: a configuration may end up in a log line."""
        return f"S3Config(name={self.name!r}, url={self.url!r}, bucket={self.bucket!r})"


class S3Sink:
    """Delivers by PUT or multipart upload."""

    Config: ClassVar[type[S3Config]] = S3Config
    forms: ClassVar[tuple[Form, ...]] = ("plain", "signed", "encrypted")
    profile: ClassVar[Profile] = "core"
    max_bytes: int = 0

    def __init__(self, config: S3Config, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Raises ConfigError."""
        at = f"sinks.{config.name}"
        self.name, self.concurrency = config.name, config.concurrency
        self._config, self._now = config, now
        self._root = receiver_url(config.url.rstrip("/"), config.name)
        self._places = Places(config.path.lstrip("/"), f"{at}.path", allowed=OF_PATH)
        if bool(config.lock) != bool(config.lock_days):
            raise ConfigError("`lock` and `lock_days` belong together", f"{at}.lock_days")
        if config.kms_key and config.encryption != "aws:kms":
            raise ConfigError('needs encryption = "aws:kms"', f"{at}.kms_key")
        if not all(33 <= ord(char) < 127 for char in config.secret_key) or not config.secret_key:
            raise ConfigError("is empty, or has a character that no secret of S3 has", f"{at}.secret_key")
        self.address = f"{self._root}/{config.bucket}/{config.path}"
        self._client = HttpClient(config, at)
        self._conditions = True

    async def deliver(self, record: OutgoingVcon) -> Receipt:
        """Put it, unless it is there. Raises Retry or Refused."""
        key = self._places.of(record.uuid)
        receipt = Receipt(200, str(self._url(key)))
        there = await self._there(key, record)
        if there:
            return receipt
        if len(record.body) <= SINGLE:
            await self._at_once(key, record, new=there is False and self._conditions)
            return receipt
        await self._in_parts(key, record)
        if await self._there(key, record) is False:
            raise Retry("not-there", hint="the store said that it has it, and has not: look at its log")
        return receipt

    async def erase(self, uuid: str) -> Receipt:
        """Delete every version, then look: nothing may be there. Raises Retry or Refused."""
        key = self._places.of(uuid)
        versions = await self._ask("GET", "", {"versions": "", "prefix": key}, limit=LISTING)
        if versions.status == 403 and code(versions.body) == "AccessDenied":
            hint = "give the key s3:ListBucketVersions, s3:DeleteObject and s3:DeleteObjectVersion, or delete it there"
            raise Refused("cannot-erase", status=403, hint=hint)
        if versions.status not in {200, 501}:
            raise not_stored(versions, self._url(""))
        found = zip(tags(versions.body, "Key"), tags(versions.body, "VersionId"), strict=False)
        named = [{"versionId": version} for name, version in found if name == key]
        for version in (
            named if b"<ListVersionsResult" in versions.body else [{}]
        ):  # a store that knows no versions has none
            answer = await self._ask("DELETE", key, version)
            if answer.status == 403 and code(answer.body) == "AccessDenied":
                hint = "it is locked until its time is over, or the key needs s3:DeleteObjectVersion"
                raise Refused("locked", status=403, hint=hint)
            if answer.status not in {200, 204, 404}:
                raise not_stored(answer, self._url(key))
        answer = await self._ask("HEAD", key)
        if answer.status == 200:
            raise Retry("still-there", status=200, hint="it was put there again, or has more versions than one list")
        if answer.status != 404:
            raise not_stored(answer, self._url(key))
        return Receipt(404, str(self._url(key)))

    async def look(self) -> list[Seen]:
        """Whether the bucket is there, takes the key, and can lock. Raises Retry or Refused."""
        where = self._url("")
        answer = await self._ask("GET", "", {"list-type": "2", "max-keys": "1", "prefix": PROBE})
        if answer.status == 403 and code(answer.body) == "AccessDenied":
            fix = "to have it checked, give the key s3:ListBucket; whether it may write only a delivery shows"
            return [Seen("warning", f"{where} may not be listed with this key", fix)]
        if answer.status != 200:
            raise not_stored(answer, where)
        found = [Seen("ok", f"{where} is there and takes the key; whether it may write only a delivery shows")]
        if self._config.lock:
            answer = await self._ask("GET", "", {"object-lock": ""})
            if "Enabled" not in tags(answer.body, "ObjectLockEnabled"):
                said = (
                    "has no object lock" if answer.status in {200, 404} else "does not say whether it has object lock"
                )
                fix = "make a bucket with object lock enabled, or leave `lock` out"
                found.append(Seen("error" if answer.status in {200, 404} else "warning", f"{where} {said}", fix))
        return found

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def _there(self, key: str, record: OutgoingVcon) -> bool | None:
        """Whether these very bytes are there; a key that may only write is not told (None). Raises Refused for other bytes."""
        answer = await self._ask("HEAD", key)
        if answer.status == 200:
            if answer.headers.get(DIGEST) == record.sha512 and answer.headers.get("Content-Length") == str(
                len(record.body)
            ):
                return True
            raise Refused("other-bytes-there", status=200, hint="compare the two; move the old object away, then retry")
        if answer.status not in {403, 404}:
            raise not_stored(answer, self._url(key))
        return False if answer.status == 404 else None

    async def _at_once(self, key: str, record: OutgoingVcon, *, new: bool) -> None:
        """``new``: only if nothing is there: aiohttp sends a PUT twice when the connection goes before its answer."""
        sha256 = await asyncio.to_thread(lambda: hashlib.sha256(record.body).digest())
        headers = {
            **self._about(record),
            "x-amz-checksum-sha256": base64.b64encode(sha256).decode(),  # a lock wants one
            "x-amz-sdk-checksum-algorithm": "SHA256",
        }
        if new:
            headers["If-None-Match"] = "*"
        answer = await self._ask("PUT", key, headers=headers, body=record.body)
        if new and answer.status == 501:  # a store that knows no conditions, and is asked for none any more
            self._conditions = False
            return await self._at_once(key, record, new=False)
        if new and answer.status in {409, 412} and await self._there(key, record):
            return None
        if answer.status != 200:
            raise not_stored(answer, self._url(key), locks=bool(self._config.lock))
        return None

    async def _in_parts(self, key: str, record: OutgoingVcon) -> None:
        """Raises Retry or Refused; what it leaves behind then the next try aborts."""
        left = await self._ask("GET", "", {"uploads": "", "prefix": key}, limit=LISTING)
        names, uploads = tags(left.body, "Key"), tags(left.body, "UploadId")
        for name, upload in zip(names, uploads, strict=False) if left.status == 200 else ():
            if name == key:
                await self._ask("DELETE", key, {"uploadId": upload})
        begun = await self._done("POST", key, {"uploads": ""}, headers=self._about(record))
        upload = next(tags(begun.body, "UploadId"), "")
        if not upload:
            raise not_stored(begun, self._url(key))
        made = []
        for number, start in enumerate(range(0, len(record.body), PART), 1):
            where = {"partNumber": str(number), "uploadId": upload}
            answer = await self._done("PUT", key, where, body=record.body[start : start + PART])
            made.append(f"<Part><PartNumber>{number}</PartNumber><ETag>{answer.headers.get('ETag', '')}</ETag></Part>")
        body = f"<CompleteMultipartUpload>{''.join(made)}</CompleteMultipartUpload>".encode()
        ended = await self._done("POST", key, {"uploadId": upload}, body=body)
        if code(ended.body):
            raise not_stored(ended, self._url(key))

    async def _done(
        self,
        method: str,
        key: str,
        parameters: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        answer = await self._ask(method, key, parameters or {}, headers=headers, body=body)
        if answer.status != 200:
            raise not_stored(answer, self._url(key), locks=bool(self._config.lock))
        return answer

    async def _ask(
        self,
        method: str,
        key: str,
        parameters: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        limit: int = LIMIT,
    ) -> Answer:
        url, config = self._url(key), self._config
        made = signed(
            method, url.raw_authority, url.raw_path, parameters or {}, headers or {},
            sha256=await asyncio.to_thread(lambda: hashlib.sha256(body).hexdigest()) if body else EMPTY,
            now=self._now(), region=config.region, access_key=config.access_key, secret_key=config.secret_key,
        )  # fmt: skip
        asked = URL(f"{url}?{query(parameters)}", encoded=True) if parameters else url
        return await self._client.ask(method, asked, made, body=body or None, limit=limit)

    def _url(self, key: str) -> URL:
        return URL("/".join(filter(None, (str(self._root), self._config.bucket, key))), encoded=True)

    def _about(self, record: OutgoingVcon) -> dict[str, str]:
        """What is kept with the object."""
        config = self._config
        about = {"Content-Type": MEDIA_TYPE, DIGEST: record.sha512}
        if config.encryption:
            about["x-amz-server-side-encryption"] = config.encryption
        if config.kms_key:
            about["x-amz-server-side-encryption-aws-kms-key-id"] = config.kms_key
        if config.lock:
            until = self._now() + timedelta(days=config.lock_days)
            about["x-amz-object-lock-mode"] = config.lock
            about["x-amz-object-lock-retain-until-date"] = until.strftime("%Y-%m-%dT%H:%M:%SZ")
        return about
