"""A call on disk: events and one audio track a party. What is in here is not lost.

Layout of a store, all of it readable by vcond's user only::

    <root>/.lock                    held by the daemon that writes here
    <root>/.trash/                  removed calls that are being deleted
    <root>/<uuid>/events.log        records, see ``records``
    <root>/<uuid>/<track>.pcm       16-bit little-endian samples at their position; holes are silence
    <root>/<uuid>/pieces/<hash>     compressed pieces of the recording, to be made again when they are not whole
    <root>/<uuid>/events.damaged-N  what a crash or a bad disk left behind the last good record
"""

from vcond.journal.call import CallJournal, Pcm
from vcond.journal.recovery import Found, read_folder
from vcond.journal.store import Store

__all__ = ["CallJournal", "Found", "Pcm", "Store", "read_folder"]
