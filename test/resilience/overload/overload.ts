import { fork } from "node:child_process";
import { once } from "node:events";
import { readConfig } from "../../../src/config/config.ts";
import { startFlags } from "../../bench/harness/start-flags.ts";
import { startThrowawayServer } from "../../support/throwaway-server.ts";
import { startInstance } from "../support/instance.ts";
import type { MutantName } from "../support/mutants.ts";
import type { Figure } from "../support/report.ts";
import type { LoadFindings, LoadJob } from "./load-process.ts";
import type { ListenerReport } from "./measure.ts";
import { callers, populate } from "./population.ts";
import { letStepBack } from "./step-back.ts";

interface OverloadOptions {
  /** How long each load lasts. */
  readonly seconds: number;
  /** How many calls are in flight at once when the service is at its best. */
  readonly width: number;
  readonly mutant?: MutantName | undefined;
}

/** Asks four times as much of the service as it can do, on a PostgreSQL of its own. Wants two processor cores. */
export async function runOverload({ seconds, width, mutant }: OverloadOptions): Promise<LoadFindings> {
  await using parts = new AsyncDisposableStack();
  const server = await startThrowawayServer();
  parts.defer(() => server.stop());
  // On two cores the processes of PostgreSQL would leave the service no time to refuse in. Elsewhere it has its own.
  parts.use(letStepBack(server.pid()));
  const { publicCalls, internalCalls } = readConfig({}).maxInFlight;
  const instance = parts.use(
    await startInstance({
      database: server.url,
      environment: {
        MAX_CALLS_IN_FLIGHT: String(publicCalls),
        MAX_SERVICE_CALLS_IN_FLIGHT: String(internalCalls),
      },
      mutant,
      nodeOptions: startFlags,
      detached: true,
    }),
  );
  await populate(server.url);
  const load = fork(new URL("./load-process.ts", import.meta.url), {
    serialization: "advanced",
    detached: true,
  });
  parts.defer(() => void load.kill());
  const ended = once(load, "exit").then(([code]) => {
    throw new Error(`the load ended with ${code}`);
  });
  const answer = Promise.race([once(load, "message"), ended]);
  load.send({
    publicUrl: instance.publicUrl,
    internalUrl: instance.internalUrl,
    adminUrl: instance.adminUrl,
    userTokens: await Promise.all(callers.map((id) => instance.userToken(id))),
    serviceToken: instance.token,
    width,
    ms: seconds * 1_000,
  } satisfies LoadJob);
  return (await answer)[0];
}

/** What is promised of a service of which more is asked than it can do. */
export function overloadFigures({ cores, offered, listeners, all, recoveryMs }: LoadFindings): Figure[] {
  const usOfCall = (cores.best.service * 1e6) / all.peak;
  const usOfRefusal = (cores.overload.service * 1e6 - all.served * usOfCall) / all.refused;
  const figuresOf = ([name, report]: [string, ListenerReport]): Figure[] => [
    { name: `${name}: answers in time at its best, a second`, value: report.peak },
    { name: `${name}: refused then, a second`, value: report.refusedAtPeak },
    // The two share what the service can do: what one of them no longer gets the other one has.
    { name: `${name}: answers in time, of its best`, value: report.good / report.peak },
    { name: `${name}: refused, a second`, value: report.refused, atLeast: 1 },
    { name: `${name}: refusals, median, ms`, value: report.refusedMedianMs, atMost: 25 },
    { name: `${name}: refusals, p99, ms`, value: report.refused99Ms, atMost: 150 },
    { name: `${name}: refusals without Retry-After`, value: report.refusedWithoutRetryAfter, atMost: 0 },
    { name: `${name}: answers unlike those in calm`, value: report.wrong, atMost: 0 },
    { name: `${name}: other answers`, value: report.other, atMost: 0 },
  ];
  return [
    { name: "answers in time at its best, a second", value: all.peak },
    { name: "asked, a second", value: offered },
    { name: "answers in time, of its best", value: all.good / all.peak, atLeast: 0.8 },
    ...Object.entries(listeners).flatMap(figuresOf),
    { name: "answers in time again after, ms", value: recoveryMs, atMost: 2_000 },
    { name: "service's us for a call at its best", value: usOfCall },
    { name: "service's us for a refusal", value: usOfRefusal },
    { name: "cores of the service at its best", value: cores.best.service },
    { name: "cores of the load then", value: cores.best.load },
    { name: "cores of the service under the load", value: cores.overload.service },
    { name: "cores of the load then", value: cores.overload.load },
  ];
}
