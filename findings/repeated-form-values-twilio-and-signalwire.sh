#!/usr/bin/env bash
# twilio 9.13.0 and signalwire-sdk 3.7.5 sign the same form differently where a field comes several times with the same value, though the
# scheme is described alike (URL, then each name and value, sorted by name; HMAC-SHA1; base64) and each verifies the other's simple forms.
#
# Seen, for the body k=z&k=y&k=z&B=1: twilio sorts a field's values and takes doubles out (B1kykz), signalwire keeps order and doubles
# (B1kzkykz). Each refuses what the other signed. For k=z&B=1 both take both.
# What follows: one function for "Twilio-style signatures" is wrong for one of them; choose by platform.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install twilio==9.13.0 signalwire-sdk==3.7.5 multidict
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import base64
import hashlib
import hmac
from urllib.parse import parse_qsl

from multidict import MultiDict
from signalwire.core.security.webhook_validator import validate_webhook_signature
from twilio.request_validator import RequestValidator

KEY, URL = "a-key-of-this-example", "https://edge.example.com/status"


def signed(text):
    return base64.b64encode(hmac.new(KEY.encode(), (URL + text).encode(), hashlib.sha1).digest()).decode()


def twilio(body, text):
    return RequestValidator(KEY).validate(URL, MultiDict(parse_qsl(body)), signed(text))


def signalwire(body, text):
    return validate_webhook_signature(KEY, signed(text), URL, body)


rows = {}
for body, texts in {"k=z&B=1": ["B1kz"], "k=z&k=y&k=z&B=1": ["B1kykz", "B1kzkykz"]}.items():
    for text in texts:
        rows[body, text] = twilio(body, text), signalwire(body, text)
        print(f"{body} signed as {text}: twilio {rows[body, text][0]}, signalwire {rows[body, text][1]}")
assert rows == {
    ("k=z&B=1", "B1kz"): (True, True),
    ("k=z&k=y&k=z&B=1", "B1kykz"): (True, False),
    ("k=z&k=y&k=z&B=1", "B1kzkykz"): (False, True),
}
print("as described")
PY
