"use strict";
// Publishes an audio stream into a call of vcond by WHIP (RFC 9725), and shows what is said in that call.
//
//   const mine = vcond.publish({ endpoint: "https://edge-1.example.com/whip", token, stream: microphone });
//   const far  = vcond.publish({ endpoint, token: theirToken, stream: audioElement.srcObject, captions: false });
//   await Promise.all([mine.ready, far.ready]);
//
// One publication is one party: whoever has both sides of a conversation publishes both, each with words of its own
// (claims of its token, or with the ingress token `who: { call, party, name, role, tel }`). It is an EventTarget:
//
//   "status"   detail: "connecting", "connected", "shaky", "reconnecting" (the same party of the same call, by itself)
//   "call"     detail: { you, parties: [{ name, here }], paused: [index or null], resumable }
//   "caption"  detail: { kind: "partial" or "final", party, start, stop, text, name }
//   "over"     detail: why, in words for people; "" when it was hung up here
//
// and has mute(on), pause(), resume() (each a promise of whether it was done) and hangUp().
window.vcond = (() => {
  const GATHER_MS = 2000, ANSWER_MS = 15000, CONNECT_MS = 20000, SHAKY_MS = 4000, RETURN_MS = 60000, WATCH_MS = 2000;
  const FIRST_MS = 1000;  // so long it may take to be told that the call is over, and that a new connection is not wanted
  const SHORT_MS = 10000, MOST_SHORT = 3;  // connections that do not last are not made for ever
  const GOODBYE_MS = 2000;
  const OLDEST_CONSENT = 3600;
  const REFUSED = {
    400: "The call's link is not right. Ask for a new one.",
    401: "Your link has expired or is not right. Ask for a new one.",
    409: "Too many people are in this call.",
    422: "Your browser sends no audio that can be taken.",
    429: "Too many people join from where you are. Try again in a moment.",
    503: "The server is busy. Try again in a moment.",
  };
  const NOT_CONNECTED = "No connection for audio: a firewall may be in between. Try another network.";

  class Refusal extends Error {
    constructor(text, again = false, wait = 0) {
      super(text);
      this.again = again;
      this.wait = wait;
    }
  }

  // Resolves when `done` holds, now or at an event, when `signal` is aborted, or after `ms`.
  function settled(target, event, done, ms, signal) {
    return new Promise((resolve) => {
      const stop = new AbortController();
      const end = () => { clearTimeout(timer); stop.abort(); resolve(); };
      const timer = setTimeout(end, ms);
      target.addEventListener(event, (happened) => { if (done(happened)) end(); }, { signal: stop.signal });
      signal.addEventListener("abort", end, { signal: stop.signal });
      if (signal.aborted || done(null)) end();
    });
  }

  class Publication extends EventTarget {
    constructor({ endpoint, token, stream, who = {}, agreed = null, iceServers = [], captions = true }) {
      super();
      Object.assign(this, { endpoint, token, stream, who, agreed, iceServers, captions });
      this.muted = this.paused = this.isOver = false;
      this.pc = this.url = this.source = null;
      this.gone = new AbortController();
      this.lastLine = "";
      this.since = this.short = 0;
      this.parties = [];
      for (const track of stream.getAudioTracks()) {
        track.addEventListener("ended", () => this.leave("The microphone was taken away."));
      }
      this.ready = this.attempt();
      this.ready.catch(() => this.end(""));
    }

    mute(on) {
      this.muted = on;
      for (const track of this.stream.getAudioTracks()) track.enabled = !on;
      return this.set("mute", on);
    }

    async pause() {
      const done = await this.set("pause", true);
      this.paused ||= done;
      return done;
    }

    resume() {
      this.paused = false;
      return this.set("pause", false);
    }

    hangUp() { this.leave(""); }

    // From here on nothing is for other scripts.

    tell(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })); }

    ask(method, url, body) {
      const headers = { Authorization: "Bearer " + this.token };
      if (body) headers["Content-Type"] = "application/sdp";
      const signal = AbortSignal.timeout(ANSWER_MS);
      return fetch(url, { method, headers, body, cache: "no-store", keepalive: !body, signal });
    }

    async set(what, on) {
      if (!this.url || this.isOver) return false;
      try {
        return (await this.ask(on ? "PUT" : "DELETE", this.url + "/" + what)).ok;
      } catch {
        return false;
      }
    }

    query() {
      const words = new URLSearchParams(Object.entries(this.who).filter(([, value]) => value));
      const ago = this.agreed === null ? Infinity : (performance.now() - this.agreed) / 1000;
      if (ago <= OLDEST_CONSENT) words.set("consented", ago.toFixed(3));
      // The call that was paused may be over when the connection is back, and another one begin: paused, too.
      if (this.paused) words.set("paused", "1");
      return words;
    }

    // One connection: stands when this returns.
    async attempt() {
      if (!this.url) this.tell("status", "connecting");
      const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers: this.iceServers });
      let url = null;
      try {
        for (const track of this.stream.getAudioTracks()) {
          pc.addTransceiver(track, { direction: "sendonly", streams: [this.stream] });
        }
        await pc.setLocalDescription(await pc.createOffer());
        const gathered = () => pc.iceGatheringState === "complete";
        await settled(pc, "icegatheringstatechange", gathered, GATHER_MS, this.gone.signal);
        if (this.isOver) throw new Refusal("");
        const answer = await this.ask("POST", this.endpoint + "?" + this.query(), pc.localDescription.sdp);
        if (answer.status !== 201) {
          const wait = 1000 * Math.min(Number(answer.headers.get("Retry-After")) || 0, 30);
          const text = REFUSED[answer.status] || "The server did not take the call.";
          const passes = [404, 429].includes(answer.status) || answer.status >= 500;  // 404: vcond is still starting
          throw new Refusal(text, passes, wait);
        }
        url = new URL(answer.headers.get("Location"), answer.url).href;
        await pc.setRemoteDescription({ type: "answer", sdp: await answer.text() });
        const decided = () => ["connected", "failed", "closed"].includes(pc.connectionState);
        await settled(pc, "connectionstatechange", decided, CONNECT_MS, this.gone.signal);
        if (this.isOver) throw new Refusal("");
        if (pc.connectionState !== "connected") throw new Refusal(NOT_CONNECTED, true);
      } catch (error) {
        pc.close();
        if (url) this.ask("DELETE", url).catch(() => {});
        if (error instanceof Refusal) throw error;
        throw new Refusal("The server cannot be reached.", true);
      }
      this.pc = pc;
      this.url = url;
      this.since = Date.now();
      pc.addEventListener("connectionstatechange", () => this.changed(pc));
      this.tell("status", "connected");
      if (this.muted) this.set("mute", true);
      if (this.captions) this.watch();
    }

    changed(pc) {
      if (pc !== this.pc || this.isOver) return;
      clearTimeout(this.shaky);
      if (pc.connectionState === "connected") this.tell("status", "connected");
      else if (pc.connectionState === "disconnected") {
        this.tell("status", "shaky");
        this.shaky = setTimeout(() => this.again(pc), SHAKY_MS);
      } else this.again(pc);
    }

    // The connection is lost: a new one takes its place, for the same party of the same call.
    async again(pc) {
      if (pc !== this.pc || this.isOver) return;
      this.pc = null;
      pc.close();
      this.tell("status", "reconnecting");
      this.short = Date.now() - this.since < SHORT_MS ? this.short + 1 : 0;
      if (this.short >= MOST_SHORT) return this.end("The connection was lost.");
      const until = Date.now() + RETURN_MS;
      for (let wait = FIRST_MS; ; wait = Math.min(2 * wait, 8000)) {
        await settled(window, "online", (event) => event && wait > FIRST_MS, wait, this.gone.signal);
        if (this.isOver) return;
        this.unwatch();
        try {
          return await this.attempt();
        } catch (error) {
          if (!error.again || Date.now() > until) return this.end(error.message);
          wait = Math.max(wait, error.wait);
        }
      }
    }

    watch() {
      this.unwatch();
      const source = new EventSource(this.url + "/captions?after=" + encodeURIComponent(this.lastLine));
      this.source = source;
      const on = (name, take) => source.addEventListener(name, (event) => {
        if (source !== this.source) return;
        this.lastLine = event.lastEventId || this.lastLine;
        take(JSON.parse(event.data));
      });
      on("state", (state) => { this.parties = state.parties; this.tell("call", state); });
      for (const kind of ["partial", "final"]) {
        on(kind, (line) => this.tell("caption", { ...line, kind, name: (this.parties[line.party] || {}).name || "" }));
      }
      on("end", ({ why }) => {
        this.unwatch();
        if (why === "call") this.leave("The call has ended.");
        if (why === "superseded") this.end("You have joined this call again elsewhere, and left it here.");
      });
      source.addEventListener("error", () => {
        if (source.readyState !== EventSource.CLOSED || source !== this.source) return;
        setTimeout(() => { if (source === this.source && this.pc) this.watch(); }, WATCH_MS);
      });
    }

    unwatch() {
      if (this.source) this.source.close();
      this.source = null;
    }

    // Goodbye first: a connection that closes without it is lost, and the call waits for it to come back.
    leave(why) {
      if (this.isOver) return;
      const { pc, url } = this;
      this.pc = null;
      this.end(why);
      const close = () => { if (pc) pc.close(); };
      setTimeout(close, GOODBYE_MS);
      if (url) this.ask("DELETE", url).then(close, close);
    }

    end(why) {
      if (this.isOver) return;
      this.isOver = true;
      this.gone.abort();
      clearTimeout(this.shaky);
      this.unwatch();
      if (this.pc) this.pc.close();
      this.pc = null;
      this.tell("over", why);
    }
  }

  // A closed or reloaded page says goodbye, so that the call need not wait for a time-out; it may come back.
  const all = new Set();
  addEventListener("pagehide", () => { for (const one of all) if (one.pc) one.pc.close(); });

  return {
    publish(options) {
      const one = new Publication(options);
      all.add(one);
      one.addEventListener("over", () => all.delete(one));
      return one;
    },
  };
})();
