#!/usr/bin/env bash
# sipp 3.6.1 (Debian 12) takes a 200 to INVITE that comes again, because its ACK was lost (RFC 3261 section 13.3.1.4), for the answer to
# BYE, and counts a call as successful whose BYE nobody answered. Its <recv response="200"/> takes a 200 to any method that the scenario
# has sent so far; only the very last message that came is known as one that came again.
#
# Seen: a peer that answers INVITE and UPDATE, then sends the 200 to INVITE once more where BYE waits for its own: "Successful call 1".
# The same scenario with start_txn and response_txn on each request: the call fails with BYE unanswered, as it should.
# What follows: what a scenario without transactions says of calls under loss is not to be believed: not by what it counts as well, and
# not by requests that it never repeated.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir packages root
(cd packages && apt-cache depends --recurse --important sip-tester | grep '^[a-z]' | sort -u | grep -vE '^(libc6|libgcc-s1|gcc-.*-base|libstdc\+\+6|libcrypt1)$' \
  | xargs apt-get download -qq)
for package in packages/*.deb; do dpkg -x "$package" root; done
python3 - <<'PY'
import os
import re
import socket
import subprocess
import threading

HEAD = """Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
From: <sip:a@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:b@[remote_ip]:[remote_port]>{tag}
Call-ID: [call_id]
CSeq: {number} {method}
Contact: <sip:a@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Length: 0
"""


def sent(method, number, attributes="", tag="[peer_tag_param]"):
    return f"<send {attributes}><![CDATA[\n{method} sip:b@[remote_ip]:[remote_port] SIP/2.0\n{HEAD.format(tag=tag, number=number, method=method)}\n]]></send>\n"


def scenario(named):
    def request(method, number, **more):
        begins, answers = (f'start_txn="{method}"', f'response_txn="{method}"') if named else ("", "")
        return sent(method, number, f'retrans="500" {begins}', **more) + f'<recv response="200" {answers}/>\n'

    ack = sent("ACK", 1, 'ack_txn="INVITE"' if named else "")
    calls = request("INVITE", 1, tag="") + ack + request("UPDATE", 2) + request("BYE", 3)
    return f'<?xml version="1.0"?><!DOCTYPE scenario SYSTEM "sipp.dtd"><scenario name="call">{calls}</scenario>'


def answer(message):
    copied = re.findall(r"(?m)^(?:Via|From|Call-ID|CSeq):.*\r\n", message)
    to = re.search(r"(?m)^To: [^;\r]*", message)[0]
    return f"SIP/2.0 200 OK\r\n{''.join(copied)}{to};tag=peer\r\nContact: <sip:b@127.0.0.1>\r\nContent-Length: 0\r\n\r\n".encode()


def peer(door):
    """Answers INVITE and UPDATE. To BYE it says nothing, but what it said to INVITE: the ACK did not arrive."""
    first = b""
    while True:
        try:
            data, address = door.recvfrom(65536)
        except OSError:
            return
        method = data.split(b" ")[0].decode()
        if method == "INVITE":
            first = answer(data.decode())
        if method != "ACK":
            door.sendto(first if method in ("INVITE", "BYE") else answer(data.decode()), address)


program = "root/usr/bin/sipp"
libraries = ":".join(sorted({at for at, _, files in os.walk("root") if any(".so" in name for name in files)}))
with_libraries = {**os.environ, "LD_LIBRARY_PATH": libraries, "TERM": "dumb"}
version = re.search(r"SIPp v(\d+\.\d+\.\d+)", subprocess.run([program, "-v"], env=with_libraries, capture_output=True, text=True).stdout)[1]
print("sipp", version)
assert version == "3.6.1", version
counted = {}
for named in (False, True):
    with open("call.xml", "w") as file:
        file.write(scenario(named))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.bind(("127.0.0.1", 0))
        threading.Thread(target=peer, args=(door,), daemon=True).start()
        told = subprocess.run(
            [program, f"127.0.0.1:{door.getsockname()[1]}", "-i", "127.0.0.1", "-sf", "call.xml", "-m", "1", "-nostdin", "-max_retrans", "3"],
            env=with_libraries, capture_output=True, text=True, check=False, timeout=60,
        ).stdout
        counted[named] = [int(re.findall(rf"{what} call +\| +\d+ +\| +(\d+)", told)[-1]) for what in ("Successful", "Failed")]
    print("with transactions" if named else "without transactions", "successful, failed:", counted[named])
assert counted == {False: [1, 0], True: [0, 1]}, counted
PY
