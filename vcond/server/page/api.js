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
    if (answer.status === 401) setTimeout(() => dispatchEvent(new Event("loggedout"))); // who asked speaks first
    throw new Refused(answer.status, said.error);
  }
  return answer.json();
}

// One connection for all that is shown; the browser comes back by itself, with the id of the last event.
const AGAIN = 2000; // milliseconds
const followers = new Set();
let source = null;

export function follow(follower) {
  followers.add(follower);
  if (source === null) open();
  return () => followers.delete(follower);
}

function open() {
  source = new EventSource("api/v1/events?levels=true");
  const light = (on) => document.getElementById("dot").classList.toggle("on", on);
  source.onopen = () => light(true);
  source.onerror = () => {
    light(false);
    if (source.readyState === EventSource.CLOSED) again();
  };
  for (const kind of ["hello", "reset", "partial", "final", "event", "levels"]) {
    source.addEventListener(kind, (event) => {
      const line = JSON.parse(event.data);
      for (const one of [...followers]) one(kind, line);
    });
  }
}

// A browser does not come back by itself from a refusal, as when vcond was restarted and knows no session any more.
function again() {
  setTimeout(async () => {
    source = null;
    if (!followers.size) return;
    const why = await ask("/me").catch((refused) => refused);
    if (why.status === 401 || source !== null) return;
    if (why instanceof Error) again();
    else open();
  }, AGAIN);
}
