from __future__ import annotations

import errno
import os

from vcond.journal.disk_errors import advice, say


def test_the_operator_reads_where_what_and_what_to_do():
    assert advice(OSError(errno.ENOSPC, "x"), "/srv/j") == "/srv/j: the disk is full: free space there (ENOSPC)"


def test_an_error_nobody_thought_of_is_named_all_the_same():
    assert advice(OSError(errno.ENOTEMPTY, "x"), "/j") == f"/j: {os.strerror(errno.ENOTEMPTY)} (ENOTEMPTY)"
    assert advice(OSError("without a number"), "/j").startswith("/j: ")


def test_a_log_nobody_reads_stops_nothing():
    said = []

    def broken(text: str, **facts: object) -> None:
        said.append((text, facts))
        raise BrokenPipeError

    say(broken, "x", a=1)
    assert said == [("x", {"a": 1})]
