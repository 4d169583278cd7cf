"""Nothing that runs on the event loop asks the disk or the resolver: one that does not answer would stop every call.

This is a list of the places that do ask, each with why it may. A new one fails here: put it into a thread.
"""

import ast
from pathlib import Path

HOUSE = Path(__file__).parents[3]
ON_THE_LOOP = (
    "vcond/app/daemon.py", "vcond/app/lifecycle.py", "vcond/app/supervisor.py", "vcond/app/wiring.py", "vcond/sdk", "vcond/base/systemd.py", "vcond/server", "vcond/capture", "vcond/publish",
    "vcond/delivery/outbox.py", "vcond/delivery/maintenance.py", "vcond/delivery/sink_worker.py", "vcond/delivery/sink_condition.py", "vcond/delivery/reconcile.py", "vcond/delivery/circuit_breaker.py",
    "vcond/speech/dispatcher.py", "vcond/speech/scheduler.py", "vcond/speech/segmenting.py", "vcond/speech/results.py",
    "adapters/asterisk/vcond_asterisk", "adapters/stream/vcond_stream", "adapters/twilio/vcond_twilio", "adapters/freeswitch/vcond_freeswitch",
    "adapters/webrtc/vcond_webrtc", "adapters/siprec/vcond_siprec", "vcond/sip",
)  # fmt: skip
BLOCKS = {
    # names
    "getfqdn", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo", "create_connection",
    # disks
    "statvfs", "disk_usage", "exists", "is_file", "is_dir", "is_socket", "is_symlink", "stat", "lstat", "read_text",
    "read_bytes", "write_text", "write_bytes", "unlink", "rename", "replace_file", "mkdir", "rmdir", "iterdir", "glob", "rglob",
    "touch", "chmod", "chown", "fsync", "fdatasync", "listdir", "scandir", "makedirs", "rmtree", "copyfile",
    "delete_one", "make_folder", "sync_folder", "read_part",
    # others
    "sleep", "check_output", "check_call", "urlopen",
}  # fmt: skip
MAY = {
    "vcond/publish/media_files.py:publish": "in the threads that build vCons",
    "vcond/publish/quarantine.py:set_aside": "in a thread",
    "vcond/publish/redactor.py:forget": "in the cleaner's thread, or that of an erasure",
    "vcond/publish/redactor.py:_kept": "in a thread",
    "vcond/publish/redactor.py:_keep": "in a thread",
    "vcond/app/wiring.py:clean_left": "in a thread",
    "vcond/server/conversations.py:_journals": "in a thread",
    "vcond/capture/resources.py:*": "files of /proc and /sys, which are in memory",
    "vcond/server/ingress.py:ingress_token": "before the first call",
    "vcond/server/page/serve.py:__init__": "our own package, once",
    "vcond/server/api/access.py:_append": "in a thread of its own",
    "vcond/server/admin.py:start": "before the first call",
    "vcond/server/admin.py:close": "after the last call",
    "vcond/sdk/selection.py:secret": "for an attachment: no call is heard yet",
    "vcond/delivery/reconcile.py:*": "in the outbox's own thread",
    "adapters/freeswitch/vcond_freeswitch/loopback.py:*": "vcond check, in which no call waits",
    "adapters/freeswitch/vcond_freeswitch/leftovers.py:*": "files of a tap: in memory (tmpfs), by its README",
    "adapters/freeswitch/vcond_freeswitch/channels.py:renamed": "a conversation, no file",
    "adapters/webrtc/vcond_webrtc/opus.py:library": "once, in a thread (peer.available)",
    "adapters/webrtc/vcond_webrtc/page.py:*": "our own package, once",
}


def calls_of(file: Path):
    """``(function, name)`` of each call by name in a module; commands that only look (check.py) are none of the daemon."""
    found = []

    def walk(node: ast.AST, where: str) -> None:
        for child in ast.iter_child_nodes(node):
            inside = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else where
            if isinstance(child, ast.Call):
                of = child.func
                name = of.attr if isinstance(of, ast.Attribute) else of.id if isinstance(of, ast.Name) else ""
                on = of.value.id if isinstance(of, ast.Attribute) and isinstance(of.value, ast.Name) else ""
                if name in BLOCKS and on not in {"asyncio", "fs"}:
                    found.append((inside, name))
            walk(child, inside)

    walk(ast.parse(file.read_text("utf-8")), "")
    return found


def modules():
    for place in ON_THE_LOOP:
        path = HOUSE / place
        assert path.exists(), place
        yield from [path] if path.is_file() else (file for file in path.rglob("*.py") if file.name != "check.py")


def test_nothing_on_the_loop_asks_the_disk_or_the_resolver():
    asking = {}
    for file in modules():
        path = file.relative_to(HOUSE).as_posix()
        for function, name in calls_of(file):
            if f"{path}:{function}" not in MAY and f"{path}:*" not in MAY:
                asking.setdefault(f"{path}:{function}", []).append(name)
    assert not asking, "may stop all calls: use a thread, with a bound"


def test_the_list_is_no_longer_than_it_must_be():
    used = set()
    for file in modules():
        path = file.relative_to(HOUSE).as_posix()
        used |= {f"{path}:{function}" for function, _ in calls_of(file)} | {f"{path}:*" for _ in calls_of(file)[:1]}
    assert not set(MAY) - used
