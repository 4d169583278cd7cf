#!/usr/bin/env bash
# plivo 4.63.0 and vobiz-python 0.1.1 (a renamed copy): of several signatures in X-Plivo-Signature-V3 (X-Vobiz-Signature-V3) only those are found
# that follow a comma at once. A proxy that joins repeated header lines writes a comma and a space (RFC 9110, sections 5.2 and 5.6.1).
#
# Seen, with a signature of the library itself: "OTHER,GOOD" and "GOOD, OTHER" are valid, "OTHER, GOOD" is not.
# What follows: trim each signature before comparing; else calls of an account with two tokens are refused behind some proxies.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install plivo==4.63.0 vobiz-python==0.1.1
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import importlib

URL, NONCE = "https://edge.example.com/answer", "12345678901234567890"
FORM = {"CallUUID": "3b1a3d0e-0000-4000-8000-000000000001", "CallStatus": "completed"}

for package in ("plivo", "vobiz"):
    module = importlib.import_module(f"{package}.utils.signature_v3")

    def signature(token):
        made = module.get_signature_v3(token, module.construct_post_url(URL, dict(FORM)), NONCE)
        return made.decode() if isinstance(made, bytes) else made

    good, other = signature("the-token"), signature("the-older-token")

    def valid(header):
        return module.validate_v3_signature("POST", URL, NONCE, "the-token", header, dict(FORM))

    seen = {
        "GOOD": valid(good),
        "OTHER,GOOD": valid(f"{other},{good}"),
        "GOOD, OTHER": valid(f"{good}, {other}"),
        "OTHER, GOOD": valid(f"{other}, {good}"),
    }
    print(package, seen)
    assert seen == {"GOOD": True, "OTHER,GOOD": True, "GOOD, OTHER": True, "OTHER, GOOD": False}
print("as described")
PY
