import { parseArgs } from "node:util";
import { readConfig } from "../../src/config.ts";
import { startThrowawayServer } from "../support/throwaway-server.ts";
import { HttpLoad } from "./overload/http-load.ts";
import { measureOverload } from "./overload/measure.ts";
import { startLoaded } from "./overload/start-service.ts";

// The long form of the overload test, on the whole service and a PostgreSQL of its own. `npm run test:overload --
// --unbounded` shows what becomes of it without a limit. The load needs a core of its own for its figures to mean
// anything.

const { values } = parseArgs({
  options: {
    unbounded: { type: "boolean", default: false },
    seconds: { type: "string", default: "10" },
  },
});
const max = values.unbounded ? 0 : readConfig({}).maxInFlight.publicCalls;
const ms = Number(values.seconds) * 1_000;

await using opened = new AsyncDisposableStack();
const server = await startThrowawayServer();
opened.defer(() => server.stop());
const script = new URL("./overload/real-service.ts", import.meta.url);
const { url, users } = opened.use(await startLoaded(script, [server.url, String(max)]));

/** Every user blocks and unblocks the others, one after the other, and looks at the list in between. */
let count = 0;
function next(): string {
  const turn = Math.floor(count / users.length);
  const token = users[count % users.length]?.token;
  // The list of others wraps around before it comes to the user itself.
  const other = users[(count + 1 + (Math.floor(turn / 3) % (users.length - 1))) % users.length]?.id;
  count += 1;
  const control = "/api/v1/e-social/privacy-control";
  const line = [
    `POST ${control}/block/${other}`,
    `GET ${control}/blocked`,
    `DELETE ${control}/unblock/${other}`,
  ];
  return `${line[turn % 3]} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\n\r\n`;
}

const load = new HttpLoad(url, next);
opened.defer(() => load.close());
const report = await measureOverload(load, { width: 64, peakMs: ms / 2, overloadMs: ms });
console.table(Object.fromEntries(Object.entries(report).map(([name, value]) => [name, Math.round(value)])));
const promises = {
  "answers in time, of the peak, at least 0.8": report.good / report.peak >= 0.8,
  "refusals, 99 of 100 within 50 ms": report.refused > 0 && report.refused99Ms <= 50,
  "every refusal says when to come again": report.refusedWithoutRetryAfter === 0,
  "nothing else is answered": report.other === 0,
  "well again within 2 s": report.recoveryMs <= 2_000,
};
for (const [promise, kept] of Object.entries(promises))
  console.log(`${kept ? "kept  " : "BROKEN"} ${promise}`);
if (Object.values(promises).includes(false)) process.exitCode = 1;
