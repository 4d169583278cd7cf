// A WHIP client of libdatachannel, as an encoder is one: all candidates in the offer, audio alone, DELETE at the end.
// libdatachannel.mjs FILE URL, with the token in WHIP_TOKEN and the folder of the npm package in WHIP_PEER.
// FILE holds Opus packets of 20 ms, each behind its length in two bytes, big-endian.
// Each packet leaves when its time has come, or at once when that is past: RTP timestamps say when it was spoken.
// Prints one line of JSON: what it sent, and how its DELETE was answered.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [file, url] = process.argv.slice(2);
const library = createRequire(`${process.env.WHIP_PEER}/`)("node-datachannel");
const { Audio, PeerConnection, RtpPacketizationConfig, RtpPacketizer, RtcpNackResponder, RtcpSrReporter } = library;

const bytes = readFileSync(file);
const packets = [];
for (let at = 0; at < bytes.length; at += 2 + bytes.readUInt16BE(at)) {
  packets.push(bytes.subarray(at + 2, at + 2 + bytes.readUInt16BE(at)));
}

const SSRC = 0x5eed, TYPE = 96, TICKS = 960;
const peer = new PeerConnection("whip", { iceServers: [], disableAutoNegotiation: true });
const audio = new Audio("0", "SendOnly");
audio.addOpusCodec(TYPE);
audio.addSSRC(SSRC, "whip", "stream", "audio");
const track = peer.addTrack(audio);
const rtp = new RtpPacketizationConfig(SSRC, "whip", TYPE, 48_000);
const handler = new RtpPacketizer(rtp);
handler.addToChain(new RtcpSrReporter(rtp));
handler.addToChain(new RtcpNackResponder());
track.setMediaHandler(handler);

const opened = new Promise((done) => track.onOpen(done));
const gathered = new Promise((done) => peer.onGatheringStateChange((state) => state === "complete" && done()));
peer.setLocalDescription("offer");
await gathered;
const headers = { Authorization: `Bearer ${process.env.WHIP_TOKEN}`, "Content-Type": "application/sdp" };
const offer = peer.localDescription().sdp;
const posted = await fetch(url, { method: "POST", headers, body: offer });
if (posted.status !== 201) throw new Error(`refused: ${posted.status} ${await posted.text()}`);
peer.setRemoteDescription(await posted.text(), "answer");
await opened;

const begun = performance.now(), first = rtp.timestamp;
let sent = 0;
for (const packet of packets) {
  const wait = begun + sent * 20 - performance.now();
  if (wait > 0) await new Promise((done) => setTimeout(done, wait));
  rtp.timestamp = (first + sent * TICKS) >>> 0;
  if (!track.sendMessageBinary(packet)) throw new Error("not sent");
  sent += 1;
}
const deleted = await fetch(new URL(posted.headers.get("location"), url), { method: "DELETE", headers });
console.log(JSON.stringify({ sent, deleted: deleted.status, version: library.getLibraryVersion() }));
peer.close();
library.cleanup();
