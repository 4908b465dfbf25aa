import { fork } from "node:child_process";
import { once } from "node:events";
import { readCommandLine } from "../../../src/command-line.ts";
import { readConfig } from "../../../src/config/config.ts";
import { startThrowawayServer } from "../../support/throwaway-server.ts";
import { type Figure, isBroken, lineOf } from "../support/report.ts";
import type { LoadFindings, LoadJob } from "./load-process.ts";
import type { ListenerReport } from "./measure.ts";
import { startLoaded } from "./start-service.ts";
import { letStepBack } from "./step-back.ts";

const usage = `Usage:
  npm run test:overload -- [options]

Asks four times as much of the service as it can do, on a PostgreSQL of its own.
Wants two cores.

Options:
  --mutant unbounded   shows what becomes of it without a limit
  --seconds N          how long each load lasts: 10 unless said otherwise
  --width N            how many calls a connection makes at once: 64
  --help               shows this
`;

const { values } = readCommandLine(usage, {
  options: {
    mutant: { type: "string" },
    seconds: { type: "string", default: "10" },
    width: { type: "string", default: "64" },
  },
});
if (values.mutant !== undefined && values.mutant !== "unbounded")
  throw new Error("there is no mutant but unbounded");
const { publicCalls, internalCalls } = readConfig({}).maxInFlight;
const limits = values.mutant === "unbounded" ? ["0", "0"] : [String(publicCalls), String(internalCalls)];

await using opened = new AsyncDisposableStack();
const server = await startThrowawayServer();
opened.defer(() => server.stop());
// On two cores its many processes would leave the one of the service no time to refuse in. Elsewhere it has its own.
opened.use(letStepBack(server.pid()));
const script = new URL("./real-service.ts", import.meta.url);
const service = opened.use(await startLoaded<Omit<LoadJob, "width" | "ms">>(script, [server.url, ...limits]));
const load = fork(new URL("./load-process.ts", import.meta.url), {
  serialization: "advanced",
  detached: true,
});
opened.defer(() => void load.kill());
const ended = once(load, "exit").then(([code]) => {
  throw new Error(`the load ended with ${code}`);
});
const answer = Promise.race([once(load, "message"), ended]);
const { [Symbol.asyncDispose]: _, ...target } = service;
load.send({ ...target, width: Number(values.width), ms: Number(values.seconds) * 1_000 } satisfies LoadJob);
const [{ cores, offered, listeners, all, recoveryMs }] = (await answer) as [LoadFindings];

const usOfCall = (cores.best.service * 1e6) / all.peak;
const usOfRefusal = (cores.overload.service * 1e6 - all.served * usOfCall) / all.refused;
const figuresOf = ([name, report]: [string, ListenerReport]): Figure[] => [
  { name: `${name}: answers in time at its best, a second`, value: report.peak },
  { name: `${name}: refused then, a second`, value: report.refusedAtPeak },
  // The two share what the service can do: what one of them no longer gets the other one has.
  { name: `${name}: answers in time, of its best`, value: report.good / report.peak },
  { name: `${name}: refused, a second`, value: report.refused, atLeast: 1 },
  { name: `${name}: refusals, median, ms`, value: report.refusedMedianMs },
  { name: `${name}: refusals, p99, ms`, value: report.refused99Ms, atMost: 50 },
  { name: `${name}: refusals without their advice`, value: report.refusedWithoutRetryAfter, atMost: 0 },
  { name: `${name}: answers unlike those in calm`, value: report.wrong, atMost: 0 },
  { name: `${name}: other answers`, value: report.other, atMost: 0 },
];
const figures: Figure[] = [
  { name: "answers in time at its best, a second", value: all.peak },
  { name: "asked, a second", value: offered },
  { name: "answers in time, of its best", value: all.good / all.peak, atLeast: 0.8 },
  ...Object.entries(listeners).flatMap(figuresOf),
  { name: "well again after, ms", value: recoveryMs, atMost: 2_000 },
  { name: "service's us for a call at its best", value: usOfCall },
  { name: "service's us for a refusal", value: usOfRefusal },
  { name: "cores of the service at its best", value: cores.best.service },
  { name: "cores of the load then", value: cores.best.load },
  { name: "cores of the service under the load", value: cores.overload.service },
  { name: "cores of the load then", value: cores.overload.load },
];
for (const figure of figures) console.log(lineOf(figure));
const broken = figures.filter(isBroken);
console.log(
  `verdict: ${broken.length === 0 ? "kept" : `BROKEN: ${broken.map(({ name }) => name).join(", ")}`}`,
);
if (broken.length > 0) process.exitCode = 1;
