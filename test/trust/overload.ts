import { parseArgs } from "node:util";
import { readConfig } from "../../src/config.ts";
import { startThrowawayServer } from "../support/throwaway-server.ts";
import { type Figure, isBroken, lineOf } from "./figures.ts";
import { HttpLoad } from "./overload/http-load.ts";
import { measureOverload } from "./overload/measure.ts";
import { startLoaded } from "./overload/start-service.ts";

// The long form of the overload test, on the whole service and a PostgreSQL of its own. `npm run test:overload --
// --mutant unbounded` shows what becomes of it without a limit. The load needs a core of its own for its figures to mean
// anything.

const { values } = parseArgs({
  options: {
    mutant: { type: "string" },
    seconds: { type: "string", default: "10" },
  },
});
if (values.mutant !== undefined && values.mutant !== "unbounded")
  throw new Error("there is no mutant but unbounded");
const max = values.mutant === "unbounded" ? 0 : readConfig({}).maxInFlight.publicCalls;
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
const figures: Figure[] = [
  { name: "requests", value: count },
  { name: "answers in time at its best, a second", value: report.peak },
  { name: "asked, a second", value: report.offered },
  { name: "answers in time, of its best", value: report.good / report.peak, atLeast: 0.8 },
  { name: "refused, a second", value: report.refused, atLeast: 1 },
  { name: "refusals, median, ms", value: report.refusedMedianMs },
  { name: "refusals, p99, ms", value: report.refused99Ms, atMost: 50 },
  { name: "refusals without Retry-After", value: report.refusedWithoutRetryAfter, atMost: 0 },
  { name: "other answers", value: report.other, atMost: 0 },
  { name: "well again after, ms", value: report.recoveryMs, atMost: 2_000 },
];
for (const figure of figures) console.log(lineOf(figure));
const broken = figures.filter(isBroken);
console.log(
  `verdict: ${broken.length === 0 ? "kept" : `BROKEN: ${broken.map(({ name }) => name).join(", ")}`}`,
);
if (broken.length > 0) process.exitCode = 1;
