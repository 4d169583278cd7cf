"""What a store that speaks S3 says, and what mends it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from yarl import URL

from vcond.delivery.sinks.answers import place, speaker
from vcond.delivery.sinks.http_answers import AGAIN, not_done
from vcond.delivery.sinks.http_client import Answer
from vcond.sdk.sink import Refused, Retry, bounded

_CODE: Final = re.compile(rb"<Error>.*?<Code>([A-Za-z0-9.]{1,64})</Code>", re.DOTALL)
_HELD: Final = {
    "AccessDenied": "the key may not do that there: give it s3:PutObject and s3:GetObject for `bucket`",
    "AuthorizationHeaderMalformed": "the bucket is in another region: correct `region`",
    "ExpiredToken": "the key has expired: set `access_key` and `secret_key` of a user that lasts",
    "InvalidAccessKeyId": "the store does not know `access_key`: correct it",
    "InvalidBucketName": "correct `bucket`",
    "NoSuchBucket": "there is no such bucket: make it, or correct `bucket`",
    "PermanentRedirect": "the bucket is at another address: correct `url` and `region`",
    "RequestTimeTooSkewed": "this machine's clock is wrong: timedatectl set-ntp true",
    "SignatureDoesNotMatch": "correct `secret_key` (and look whether a proxy changes the headers)",
    "NoSuchKey": "correct `url`: it must be the root of the store, without the bucket",
    "KMS.NotFoundException": "there is no such key: correct `kms_key`",
    "KMS.DisabledException": "the key is switched off: enable it, or correct `kms_key`",
}
_LOCK: Final = "InvalidRequest"
_ROOM: Final = frozenset(
    {"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage"}
)
_AGAIN: Final = frozenset(
    {
        "BadDigest",
        "ConditionalRequestConflict",
        "IncompleteBody",
        "NoSuchUpload",
        "RequestTimeout",
        "XAmzContentSHA256Mismatch",
    }
)
"""What was sent did not arrive so: another try is another matter."""


def code(body: bytes) -> str:
    """Of an error; "" for what is none."""
    found = _CODE.search(body[:4096])
    return found[1].decode() if found else ""


def tags(body: bytes, name: str) -> Iterator[str]:
    """The text of each element of that name that has no elements inside, with XML's own entities undone."""
    for found in re.findall(rf"<{name}>([^<]*)</{name}>".encode(), body):
        text = found.decode("utf-8", "replace")
        for entity, char in (
            ("&quot;", '"'),
            ("&#34;", '"'),
            ("&apos;", "'"),
            ("&lt;", "<"),
            ("&gt;", ">"),
            ("&amp;", "&"),
        ):
            text = text.replace(entity, char)
        yield text


def not_stored(answer: Answer, at: URL, *, locks: bool = False) -> Retry | Refused:
    """``locks``: object lock was asked for."""
    said, status = code(answer.body), answer.status
    text = bounded(answer.body)
    detail = f"{speaker(answer.headers, answer.body)} at {place(at)} answers {status}{f' {said}' if said else ''}"
    if said == "EntityTooLarge":
        return Retry(
            said, status=status, answer=text, detail=detail, hint=f"raise the store's limit; {AGAIN}", too_large=True
        )
    if said in _ROOM:
        hint = f"make room there, or raise the quota; {AGAIN}"
        return Retry(said, status=status, answer=text, detail=detail, hint=hint, whole_sink=True)
    if said in _AGAIN or (status == 200 and said):  # a multipart upload may fail after its 200 (S3 API reference)
        return Retry(said, status=status, answer=text, detail=detail)
    hint = _HELD.get(said, "")
    if said == _LOCK and locks:
        hint = "make the bucket with object lock enabled, or leave `lock` out"
    if hint:
        return Retry(said, status=status, answer=text, detail=detail, hint=f"{hint}; {AGAIN}", held=True)
    return not_done(answer, at, "secret_key")
