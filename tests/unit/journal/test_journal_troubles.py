from __future__ import annotations

import errno
import os

from vcond.journal.troubles import advice


def test_the_operator_reads_where_what_and_what_to_do():
    assert advice(OSError(errno.ENOSPC, "x"), "/srv/j") == "/srv/j: the disk is full: free space there (ENOSPC)"


def test_an_error_nobody_thought_of_is_named_all_the_same():
    assert advice(OSError(errno.ENOTEMPTY, "x"), "/j") == f"/j: {os.strerror(errno.ENOTEMPTY)} (ENOTEMPTY)"
    assert advice(OSError("without a number"), "/j").startswith("/j: ")
