// jambonz's recording client, as its servers drive it: what it wants of rtpengine and of SIP goes out as lines of JSON, and
// what became of it comes in as such. recorder.mjs GIVEN, with the folder of the npm package in JAMBONZ_PEER; GIVEN is what
// SrsClient is made with. In: {"do": "start"}, {"id": 1, "reply": {...}}. Out: {"id": 1, "ask": "ng", "given": {...}},
// {"did": "start", "well": true}.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const SrsClient = createRequire(`${process.env.JAMBONZ_PEER}/`)("@jambonz/siprec-client-utils");
const waiting = new Map();
let asked = 0;

const tell = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const ask = (what, given) =>
  new Promise((done) => {
    asked += 1;
    waiting.set(asked, done);
    tell({ id: asked, ask: what, given });
  });
const ng = (command) => (given) => ask("ng", { command, ...given });
const dialog = (answer) => ({
  remote: { sdp: answer.body },
  modify: (body) => ask("modify", { body }),
  destroy: () => ask("bye", {}),
});
const complain = (...words) => console.error(...words);
const given = JSON.parse(process.argv[2]);
const client = new SrsClient(
  { info: () => {}, error: complain },
  {
    ...given,
    originalInvite: { get: () => given.sipCallId, locals: {} },
    srf: { createUAC: async (_, { headers, localSdp }) => dialog(await ask("invite", { headers, body: localSdp })) },
    subscribeRequest: ng("subscribe request"),
    subscribeAnswer: ng("subscribe answer"),
    unsubscribe: ng("unsubscribe"),
    blockMedia: ng("block media"),
    unblockMedia: ng("unblock media"),
    del: ng("delete"),
  },
);

for await (const text of createInterface({ input: process.stdin })) {
  const line = JSON.parse(text);
  if (line.do) {
    client[line.do]().then(
      (well) => tell({ did: line.do, well: well === true }),
      (error) => {
        complain(error);
        tell({ did: line.do, well: false });
      },
    );
  } else {
    waiting.get(line.id)(line.reply);
    waiting.delete(line.id);
  }
}
