"""One recording session: what its client says of lines and people, told to the record that it belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Final

from vcond.sdk import clean
from vcond.sdk.contract import SECOND, AdapterHost, Instant, LiveCall, Warned
from vcond_siprec.body import Body
from vcond_siprec.directions import Directions, Inactive
from vcond_siprec.lines import AudioLine
from vcond_siprec.participants import Speakers
from vcond_siprec.people import People
from vcond_siprec.recordings import Recording, Recordings
from vcond_siprec.said import Said
from vcond_siprec.saved import SavedSession
from vcond_siprec.silence import Silence

EMPTY: Final = SECOND
"""A session that ends sooner and of which nothing was heard is no call: it ended while it was set up."""
HELD: Final = 20 * SECOND
"""How often it is told that nothing is to come on a line, ns: before anybody would be missed."""


class Session:
    """From its INVITE to its BYE; the same object over all that changes."""

    def __init__(
        self,
        host: AdapterHost,
        recordings: Recordings,
        call_id: str,
        headers: Iterable[tuple[str, str]],
        *,
        inactive: Inactive = "drop",
    ) -> None:
        """``headers``: of the INVITE, names in lower case."""
        self.call_id = clean(call_id)
        self.began = host.clock.now()
        self.changed = self.began
        """When the client last said something about its lines."""
        self.lines: list[AudioLine] = []
        """Its audio lines, in the order of the offer."""
        self.over = False
        self.retired = False
        """Another session has taken its place."""
        self.replaces: Session | None = None
        """The session that was this communication session's before, until something is heard of this one."""
        self.silence = Silence(self.began)
        self.recording: Recording | None = None
        self.joined: str = ""
        """The rule by which it was joined to a record."""
        self._host = host
        self._recordings = recordings
        self._directions = Directions(inactive)
        self._held = self.began
        self.said = Said(host, self.call_id, headers)
        self.people: People | None = None

    @property
    def call(self) -> LiveCall | None:
        """Its call, if that is open."""
        return None if self.recording is None else self.recording.call

    # What the client says.

    def begin(self, body: Body, lines: Sequence[AudioLine]) -> None:
        """The first INVITE, with a line for each audio line that is taken. The record is found, or made."""
        self.lines = list(lines)
        said = self.said
        said.read(body.metadata)
        found = self._recordings.find(said.ids(), said.addresses())
        if found is None:
            key = said.key if not self._recordings.has(said.key) else f"{said.key} {self.call_id}"
            self.recording = self._recordings.make(key, self.began, said.direction)
        else:
            self.recording, self.joined = found
            if self.joined == "session":
                self.replaces = self._earlier(self.recording)
        self._recordings.enter(self.recording, self)
        self.people = People(self.recording, self, said.session)
        self.tell(self.began)

    def resume(self, recording: Recording, saved: SavedSession, lines: Sequence[AudioLine]) -> None:
        """Be what another process wrote down; ``tell`` goes on with it when all sessions of the record are back."""
        self.lines = list(lines)
        self.said.participants, self.said.documented = saved.participants, saved.documented
        self.silence = Silence(self.began, known=True)
        self.replaces = self._earlier(recording)
        self.recording = recording
        recording.sessions.add(self)
        if self._directions.stopped(lines):
            recording.pausing.add(self)
        self.people = People(recording, self, saved.people.name)
        self.people.restore(saved.people, lines)
        self._directions.restore(lines)

    def _earlier(self, recording: Recording) -> Session | None:
        """The session of a record that this one takes the place of as soon as it is heard."""
        return next((one for one in recording.sessions if isinstance(one, Session) and one.shares(self)), None)

    def change(self, body: Body, lines: Sequence[AudioLine] | None, headers: Iterable[tuple[str, str]] = ()) -> None:
        """A re-INVITE or an UPDATE. ``lines`` are all audio lines that there are now; None: nothing is said of them.

        Metadata that is not there changes nothing about people.
        """
        at = self._host.clock.now()
        if lines is not None:
            self.changed = at
            for line in self.lines:
                if line not in lines:
                    line.stop(at)
            self.lines = list(lines)
        self.said.read(body.metadata, headers)
        self.tell(at)

    def end(self, at: Instant) -> None:
        """It is over. A second end does nothing."""
        if self.over:
            return
        with ExitStack() as all_the_same:  # last comes first; whatever fails of it, the rest is done
            if self.recording is not None and self.people is not None:
                all_the_same.callback(self._recordings.leave, self.recording, self, at)
                all_the_same.callback(self.people.leave, at)
                if at - self.began >= EMPTY:
                    all_the_same.callback(self.recording.open)
            all_the_same.callback(setattr, self, "over", True)
            all_the_same.callback(self._stop, at)  # takes what has come, so it is not over yet

    def retire(self, at: Instant) -> None:
        """Another session has taken its place: what still comes here is no more than a copy."""
        self.retired = True
        self._stop(at)

    def _stop(self, at: Instant) -> None:
        with ExitStack() as each:
            for line in reversed(self.lines):
                each.callback(line.stop, at)

    def tick(self, now: Instant) -> None:
        """Open the call of a session of which nothing was heard yet; say so when that lasts, and of lines that are to be silent."""
        if self.over or self.retired or self.recording is None:
            return
        deaf = self.silence.look(self.lines, now)  # first: whatever fails below, it is known whether the session lives
        if self.recording.call is None and now - self.began >= EMPTY:
            self.recording.open()
        if now - self._held >= HELD:
            self._held = now
            for line in [line for line in self.lines if not line.wanted]:
                line.want(now, wanted=False)
        call = self.recording.open() if deaf else None
        if call is not None:
            call.emit(Warned(at=now, code="no-audio", text="no audio has arrived since the client began to record"))
            fix = "check ports, advertise and the firewall between the recording client and vcond"
            self._host.log.warning("no audio from a recording client", call=call.uuid, hint=fix)

    def lose(self, since: Instant) -> None:
        """Nothing came since then, and nothing more is waited for."""
        call = self.call
        try:
            if call is not None and call.state.ended is None and not self.retired:
                text = "the client did not say that the recording is over; nothing came any more"
                call.emit(Warned(at=self._host.clock.now(), code="no-bye", text=text))
        finally:
            self.end(since)

    def shares(self, other: Session) -> bool:
        """Whether both are of one communication session."""
        return not self.sessions.isdisjoint(other.sessions)

    @property
    def sessions(self) -> set[str]:
        """Ids of the communication sessions that it tells of."""
        return set(self.said.participants.sessions)

    # What lines ask (``lines.Owner``).

    def call_for(self, line: AudioLine, at: Instant) -> LiveCall | None:  # noqa: ARG002 - the protocol's
        """The call, which is opened by the first sound."""
        if self.over or self.recording is None:
            return None
        return self.recording.open()

    def heard(self, line: AudioLine, at: Instant) -> None:
        """Sound came that is wanted."""
        self.silence.heard(at)
        if self.recording is not None:
            self.recording.heard(line, at, alone=len(self.lines) == 1)
            self._tell_mixed(at)
        if self.replaces is not None:
            earlier, self.replaces = self.replaces, None
            earlier.retire(at)

    # The record.

    def tell(self, at: Instant) -> None:
        """Make the record say what is known now."""
        assert self.recording is not None
        assert self.people is not None
        self._recordings.know(self.recording, self.said.ids())
        speakers = self.people.tell(self.said.participants, self.lines, at)
        self._tell_facts(speakers, at)
        self._tell_mixed(at)
        self._directions.tell(self.recording, self, self.lines, at)

    def _tell_facts(self, speakers: Sequence[Speakers], at: Instant) -> None:
        recording = self.recording
        assert recording is not None
        for name, value in self.said.facts():
            recording.also(at, name, value)
        recording.consent(at, self, list(self.said.consents()))
        if self.joined:
            recording.also(at, "siprec.joined_by", self.joined)
        if any(heard.rule == "order" for heard in speakers):
            recording.fact(at, "siprec.parties_by", "order of the lines, not their labels")

    def _tell_mixed(self, at: Instant) -> None:
        """Who is heard on one line with others."""
        for line in self.lines:
            if line.mixed and self.call is not None and self.recording is not None:
                self.recording.fact(at, "siprec.mixed", " ".join(str(person.index) for person in line.mixed))
