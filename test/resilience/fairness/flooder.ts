import { HttpLoad } from "../overload/http-load.ts";
import { countOf, type Outcomes, sleep } from "../overload/load.ts";

/** The settings of the flooding user. */
export interface FlooderSettings {
  readonly url: string;
  readonly token: string;
  /** What it asks for in turn, as `GET /path`. */
  readonly requests: readonly string[];
  readonly connections: number;
}

/** What became of all that the user asked for. */
export interface FlooderReport {
  readonly asked: number;
  /** Refused for being too many. */
  readonly refused: number;
  readonly refusedWithoutRetryAfter: number;
  /** Refused because the service has too much to do for everyone. */
  readonly overloaded: number;
  /** Worked on, whatever came of them. */
  readonly letThrough: number;
  readonly unanswered: number;
}

// Run as a process of its own: one user who calls as fast as answers come, over many connections, for as many
// milliseconds as each message says. Reports the outcomes when the message is 0.
const { url, token, requests, connections } = JSON.parse(process.argv[2] ?? "") as FlooderSettings;
/** Within which the last answers must have come. */
const patienceMs = 10_000;

let asked = 0;
const load = new HttpLoad(url, () => {
  const request = requests[asked++ % requests.length];
  return `${request} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\n\r\n`;
});
const floods: Outcomes[] = [];
process.on("message", async (ms: number) => {
  if (ms > 0) floods.push(await load.closedLoop(connections, ms));
  process.send?.(ms > 0 ? "done" : await report());
});
process.once("disconnect", () => process.exit());

async function report(): Promise<FlooderReport> {
  const answered = () => floods.reduce((sum, { count }) => sum + count, 0);
  for (let waited = 0; answered() < asked && waited < patienceMs; waited += 10) await sleep(10);
  const all = floods.flatMap((outcomes) => outcomes.soFar());
  const withStatus = (wanted: number) => all.filter(({ status }) => status === wanted);
  const refused = countOf(withStatus(429));
  const overloaded = countOf(withStatus(503));
  return {
    asked,
    refused,
    refusedWithoutRetryAfter: countOf(withStatus(429).filter(({ retryAfter }) => !retryAfter)),
    overloaded,
    letThrough: answered() - refused - overloaded,
    unanswered: asked - answered(),
  };
}
