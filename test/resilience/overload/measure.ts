import { setTimeout } from "node:timers/promises";
import { percentile } from "../support/report.ts";
import { type Alike, countOf, type Load, sleep, wrongAnswer } from "./load.ts";

/** What one listener did with more than the service can do. Rates are a second, times in milliseconds. */
export interface ListenerReport {
  /** Answers in time at its best. */
  readonly peak: number;
  /** Refused then: where there are many, the limit itself keeps the service from doing more. */
  readonly refusedAtPeak: number;
  /** Answers in time under the load. */
  readonly good: number;
  /** Answers under the load, late ones too. */
  readonly served: number;
  readonly refused: number;
  readonly refusedMedianMs: number;
  readonly refused99Ms: number;
  readonly refusedWithoutRetryAfter: number;
  /** Answers that say something else than they did in calm. */
  readonly wrong: number;
  /** Answers that are none of these. */
  readonly other: number;
}

/** What a service did with more than it can do. */
export interface OverloadReport {
  readonly offered: number;
  /** By the names of the listeners; `all` is both together. */
  readonly listeners: Readonly<Record<string, ListenerReport>>;
  readonly all: ListenerReport;
  /** From the end of the load until an answer came in time, in milliseconds; NaN when none did. */
  readonly recoveryMs: number;
}

interface Settings {
  /** Calls at once at which the service is at its best. */
  readonly width: number;
  readonly peakMs: number;
  readonly overloadMs: number;
  /** Called around each phase, to measure it. */
  readonly watch?: <T>(phase: "best" | "overload", run: () => Promise<T>) => Promise<T>;
}

/** How many times what it can do is asked of a service. */
const times = 4;
/** An answer that takes longer is of no use to anyone. */
const inTimeMs = 1_000;
/** A service that is well answers within this time. */
const wellMs = 250;
/** A service that has not been well for so long will not be. */
const patienceMs = 20_000;

/** Measures how much a service does with `width` calls at once, then asks four times as much of it. */
export async function measureOverload(
  load: Load,
  { width, peakMs, overloadMs, watch = (_phase, run) => run() }: Settings,
): Promise<OverloadReport> {
  await load.closedLoop(width, peakMs / 2);
  const calm = (await watch("best", () => load.closedLoop(width, peakMs))).soFar();
  await sleep(inTimeMs / 2);
  const offered = (inTime(calm) * 1_000 * times) / peakMs;
  const outcomes = (await watch("overload", () => load.openLoop(offered, overloadMs))).soFar();
  const endedAt = performance.now();
  const recoveryMs = (await isWell(load)) ? performance.now() - endedAt : Number.NaN;

  const reportOf = (calm: readonly Alike[], outcomes: readonly Alike[]): ListenerReport => {
    const refused = outcomes.filter(({ status }) => status === 503);
    const refusedMs = refused.flatMap(({ ms }) => ms);
    return {
      peak: (inTime(calm) * 1_000) / peakMs,
      refusedAtPeak: (countOf(calm.filter(({ status }) => status === 503)) * 1_000) / peakMs,
      good: (inTime(outcomes) * 1_000) / overloadMs,
      served: (countOf(outcomes.filter(({ status }) => status === 200)) * 1_000) / overloadMs,
      refused: (refusedMs.length * 1_000) / overloadMs,
      refusedMedianMs: percentile(refusedMs, 50),
      refused99Ms: percentile(refusedMs, 99),
      refusedWithoutRetryAfter: countOf(refused.filter(({ retryAfter }) => !retryAfter)),
      wrong: countOf([...calm, ...outcomes].filter(({ status }) => status === wrongAnswer)),
      other: countOf(outcomes.filter(({ status }) => ![200, 503, wrongAnswer].includes(status))),
    };
  };
  const listeners = [...new Set(calm.map(({ listener = "" }) => listener))];
  const of = (name: string, alike: readonly Alike[]) =>
    alike.filter(({ listener = "" }) => listener === name);
  return {
    offered,
    listeners: Object.fromEntries(
      listeners.map((name) => [name, reportOf(of(name, calm), of(name, outcomes))]),
    ),
    all: reportOf(calm, outcomes),
    recoveryMs,
  };
}

/** Asks until an answer comes in time. False when none did for long. */
async function isWell(load: Load): Promise<boolean> {
  for (const until = performance.now() + patienceMs; performance.now() < until; await sleep(10)) {
    const outcome = await Promise.race([load.one(), setTimeout(patienceMs, undefined, { ref: false })]);
    if (outcome?.status === 200 && outcome.ms <= wellMs) return true;
  }
  return false;
}

const inTime = (alike: readonly Alike[]) =>
  alike
    .filter(({ status }) => status === 200)
    .reduce((sum, { ms }) => sum + ms.filter((taken) => taken <= inTimeMs).length, 0);
