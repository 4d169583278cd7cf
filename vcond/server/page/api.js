// The API, as this page's session may use it, and what happens now.

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export async function ask(path, { method = "GET", body } = {}) {
  const more = body === undefined ? {} : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(`api/v1${path}`, { method, ...more });
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({ error: answer.statusText }));
    throw new Refused(answer.status, said.error);
  }
  return answer.json();
}

// One connection for all that is shown; the browser comes back by itself, with the id of the last event.
const followers = new Set();
let source = null;

export function follow(follower) {
  followers.add(follower);
  if (source === null) {
    source = new EventSource("api/v1/events");
    const light = (on) => document.getElementById("dot").classList.toggle("on", on);
    source.onopen = () => light(true);
    source.onerror = () => light(false);
    for (const kind of ["hello", "reset", "partial", "final", "event"]) {
      source.addEventListener(kind, (event) => {
        const line = JSON.parse(event.data);
        for (const one of [...followers]) one(kind, line);
      });
    }
  }
  return () => followers.delete(follower);
}
