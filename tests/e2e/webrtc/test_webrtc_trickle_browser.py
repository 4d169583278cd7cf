"""Chromium publishes from a page of somebody else's: it trickles its candidates, hidden behind names, and restarts ICE."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chromium_kit import browser
from daemon_kit import TOKEN, House
from test_webrtc_browser import ADAPTER, attachment, channels, history, spoken

pytestmark = pytest.mark.peer
HERTZ = 440
# Without a microphone that was granted, Chromium hides its addresses: the sound is a tone of the page's own.
PUBLISHER = f"""
globalThis.ask = async (method, url, headers, body) => {{
  headers.Authorization = "Bearer {TOKEN}";
  return fetch(url, {{method, headers, body}});
}};
globalThis.fragment = (offer, candidates) => {{
  const kept = /^(a=ice-ufrag|a=ice-pwd|a=mid|m=)/;
  const lines = offer.split("\\r\\n").filter((line) => kept.test(line));
  const media = lines.findIndex((line) => line.startsWith("m="));
  return [...lines.slice(media), ...candidates.map((one) => "a=" + one.candidate), "a=end-of-candidates", ""].join("\\r\\n");
}};
globalThis.patch = async (tag, body) => {{
  const type = "application/trickle-ice-sdpfrag";
  return (await ask("PATCH", session, {{"Content-Type": type, "If-Match": tag}}, body)).status;
}};
globalThis.publish = async () => {{
  const context = new AudioContext();
  const tone = new OscillatorNode(context, {{frequency: {HERTZ}}});
  const out = context.createMediaStreamDestination();
  tone.connect(out);
  tone.start();
  globalThis.peer = new RTCPeerConnection();
  const found = [];
  const all = new Promise((done) => {{
    peer.onicecandidate = (event) => event.candidate ? found.push(event.candidate) : done();
  }});
  peer.addTrack(out.stream.getAudioTracks()[0], out.stream);
  const offer = await peer.createOffer();
  await peer.setLocalDescription(offer);
  const answer = await ask("POST", "/whip?call=harbor", {{"Content-Type": "application/sdp"}}, offer.sdp);
  globalThis.session = answer.headers.get("Location");
  const tag = answer.headers.get("ETag");
  await peer.setRemoteDescription({{type: "answer", sdp: await answer.text()}});
  await all;
  const status = await patch(tag, fragment(offer.sdp, found.filter((one) => one.candidate)));
  return {{offered: offer.sdp.includes("a=candidate"), status, told: found.map((one) => one.candidate).join("\\n")}};
}};
globalThis.press = async (keys) => {{
  const [sender] = peer.getSenders();
  const pressed = new Promise((done) => {{ sender.dtmf.ontonechange = (event) => event.tone || done(); }});
  sender.dtmf.insertDTMF(keys, 100, 70);
  return pressed;
}};
globalThis.restart = async () => {{
  peer.restartIce();
  const offer = await peer.createOffer();
  return patch("*", fragment(offer.sdp, []));
}};
"""


async def test_chromium_trickles_names_connects_and_goes_on_after_a_restart_was_refused(tmp_path: Path):
    house = House(tmp_path, extra=ADAPTER)
    async with house.running() as vcond, browser(None, allowed=False) as page:
        await page.open(f"{vcond.base}/webrtc")
        await page.run(PUBLISHER)
        trickled = await page.run("publish()")
        assert trickled["offered"] is False
        assert trickled["status"] == 204
        assert ".local " in trickled["told"], trickled["told"]
        await page.until("peer.connectionState === 'connected'")
        await spoken(page, 1)
        assert await page.run("restart()") == 422
        await page.run("press('4#')")
        await spoken(page, 1)
        assert await page.run("peer.connectionState") == "connected"
        assert await page.run("ask('DELETE', session, {}).then((answer) => answer.status)") == 200
        (document,) = await vcond.delivered(1)
    assert history(document) == [(0, event) for event in ("join", "keydown", "keyup", "keydown", "keyup", "drop")]
    keys = [moment.get("button") for moment in document["dialog"][0]["party_history"] if moment["event"] == "keydown"]
    assert keys == ["4", "#"]
    assert attachment(document, "vcond-capture-report")["parties"][0]["seconds"]["lost"] == 0
    (heard,) = channels(document)
    loudest = np.abs(np.fft.rfft(heard[:16_000].astype(float) * np.hanning(16_000))).argmax()
    assert abs(int(loudest) - HERTZ) <= 2, "the tone of the page"
    print(f"trickled: {trickled['told'].count('candidate:')} candidates behind names; the restart was refused with 422")
