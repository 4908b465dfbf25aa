import { type HttpLoad, type Outcome, sleep } from "./http-load.ts";

/** What a service did with more than it can do. Rates are a second, times in milliseconds. */
export interface OverloadReport {
  /** Answers in time at its best. */
  readonly peak: number;
  readonly offered: number;
  /** Answers in time under the load. */
  readonly good: number;
  readonly refused: number;
  readonly refusedMedianMs: number;
  readonly refused99Ms: number;
  readonly refusedWithoutRetryAfter: number;
  /** Answers that are neither. */
  readonly other: number;
  /** From the end of the load until an answer came in time. */
  readonly recoveryMs: number;
}

/** How many times what it can do is asked of a service. */
const times = 4;
/** An answer that takes longer is of no use to anyone. */
const inTimeMs = 1_000;
/** A service that is well answers within this time. */
const wellMs = 250;

/** Finds out how much a service can do with `width` calls at once, asks four times as much of it, and looks on. */
export async function measureOverload(
  load: HttpLoad,
  { width, peakMs, overloadMs }: { width: number; peakMs: number; overloadMs: number },
): Promise<OverloadReport> {
  await load.closedLoop(width, peakMs / 2);
  const peak = rate(inTime(await load.closedLoop(width, peakMs)), peakMs);
  await sleep(inTimeMs / 2);
  const outcomes = [...(await load.openLoop(peak * times, overloadMs))];
  const endedAt = performance.now();
  for (;;) {
    const { status, ms } = await load.one();
    if (status === 200 && ms <= wellMs) break;
    await sleep(10);
  }
  const recoveryMs = performance.now() - endedAt;

  const refused = outcomes.filter(({ status }) => status === 503);
  return {
    peak,
    offered: peak * times,
    good: rate(inTime(outcomes), overloadMs),
    refused: rate(refused, overloadMs),
    refusedMedianMs: quantile(refused, 0.5),
    refused99Ms: quantile(refused, 0.99),
    refusedWithoutRetryAfter: refused.filter(({ retryAfter }) => !retryAfter).length,
    other: outcomes.filter(({ status }) => status !== 200 && status !== 503).length,
    recoveryMs,
  };
}

const inTime = (outcomes: readonly Outcome[]) =>
  outcomes.filter(({ status, ms }) => status === 200 && ms <= inTimeMs);

const rate = (outcomes: readonly Outcome[], ms: number) => (outcomes.length * 1_000) / ms;

function quantile(outcomes: readonly Outcome[], part: number): number {
  const sorted = outcomes.map(({ ms }) => ms).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length * part)] ?? 0;
}
