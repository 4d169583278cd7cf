"""A SIP user agent server: calls that come by SIP, over UDP, TCP and TLS. It knows nothing of what they are for.

How it is used::

    class Recorder:                                   # vcond.sip.application.Application
        def health(self): return 0                    # or seconds of Retry-After while it drains
        async def on_invite(self, dialog, request):   # vcond.sip.messages.Request: headers, body, media_type, ...
            ports = await self.open(request.body)
            return Answer(body=sdp)                   # 200; Answer.refused(488) otherwise
        async def on_reinvite(self, dialog, request): ...
        async def on_update(self, dialog, request): ...
        def on_ack(self, dialog, request): ...        # request.body answers a delayed offer
        def on_info(self, dialog, request): ...
        def on_changed(self, dialog): ...             # write dialog.saved() down, to go on after a restart
        def alive(self, dialog): ...                  # the session timer ran out: does media still come?
        def odd(self, reason): ...                    # something was dropped or refused: count it
        def on_end(self, dialog, why, request): ...   # BYE, CANCEL, no ACK, expiry; exactly once

    async with SipServer(settings, Recorder(), clock) as server:
        await server.listen("udp", "0.0.0.0", 5060)
        await server.listen("tls", "0.0.0.0", 5061, tls=context)
        server.restore(saved)                         # of an earlier process, before ``listen``
        server.hang_up(dialog)

Inside: ``fields`` and ``messages`` (bytes to values), ``stream`` (a TCP stream cut into messages); ``core`` has the rules,
with ``calls`` (what happens to dialogs), ``door`` (what is refused at once), ``transactions``, ``dialogs``, ``timers``,
``sessions``, ``digest``, ``limits``, ``client`` (requests of ours) and ``sending``, all without a socket and with time as
an argument; ``server`` and ``transports`` are the sockets and tasks around it. RFC 3261, 3311, 3581, 4028, 5626 section
3.5.1, 6026, 8760; 4475 is in the tests.
"""
