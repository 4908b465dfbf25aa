import { setTimeout } from "node:timers/promises";
import { startThrowawayServer } from "../../support/throwaway-server.ts";
import { startInstance } from "../support/instance.ts";
import { startMixedLoad } from "../support/mixed-load.ts";
import type { MutantName } from "../support/mutants.ts";
import { type Figure, percentile } from "../support/report.ts";
import type { VitalSigns } from "../support/vital-signs.ts";

const share = 0.6;
/** Connections of the pool and of clients come and go. */
const looseFiles = 8;

export interface SoakOptions {
  readonly seed: number;
  readonly callers: number;
  /** How long the most that the instance can do is measured. */
  readonly calibrateMs: number;
  /** How many times it is asked how it is; the first fifth are to warm up. */
  readonly samples: number;
  readonly sampleMs: number;
  /** How many calls must be answered between two samples at least: what a start leaves behind counts for little then. */
  readonly sampleCalls?: number;
  readonly mutant?: MutantName | undefined;
}

/** What an instance was like over time. */
interface Soak {
  readonly calls: number;
  readonly failed: number;
  /** At the load that was chosen. */
  readonly rate: number;
  readonly signs: readonly (VitalSigns & { readonly minutes: number; readonly calls: number })[];
}

/** Puts an instance under 60% of the highest rate that the callers reach. */
export async function runSoak(options: SoakOptions): Promise<Soak> {
  const { seed, callers, calibrateMs, samples, sampleMs, sampleCalls = 0, mutant } = options;
  await using parts = new AsyncDisposableStack();
  const server = await startThrowawayServer();
  parts.defer(() => server.stop());
  const instance = parts.use(
    await startInstance({
      database: server.url,
      mutant,
      nodeOptions: ["--expose-gc"],
      preload: "vital-signs.ts",
    }),
  );

  const all = await startMixedLoad(instance, { seed, callers, rate: Number.POSITIVE_INFINITY });
  await setTimeout(calibrateMs);
  await all.stop();
  const rate = (share * all.calls.length * 1_000) / calibrateMs;

  const load = await startMixedLoad(instance, { seed, callers, rate });
  parts.defer(() => load.stop());
  const signs: Soak["signs"][number][] = [];
  const begin = performance.now();
  for (let i = 0; i < samples; i++) {
    await Promise.all([setTimeout(sampleMs), load.answered(sampleCalls)]);
    const sign = (await instance.ask("vital signs")) as VitalSigns;
    if (i < samples / 5) continue;
    signs.push({ ...sign, minutes: (performance.now() - begin) / 60_000, calls: load.calls.length });
  }
  const failed = load.calls.filter(({ outcome }) => outcome !== "answered").length;
  return { calls: load.calls.length, failed, rate, signs };
}

/** What is promised of 60% load, in the long run. */
export function soakFigures(soak: Soak): Figure[] {
  const perMinute = slope(soak.signs.map(({ minutes, heapBytes }) => [minutes, heapBytes / 2 ** 20]));
  const loops = soak.signs.map(({ loopP99Ms }) => loopP99Ms);
  return [
    ...callFigures(soak),
    { name: "heap after collection, MB/min", value: perMinute, atMost: 0.5 },
    { name: "event loop, median of p99, ms", value: percentile(loops, 50), atMost: 50 },
  ];
}

/** What a short run on a busy machine can show: memory that every call leaks. */
export function leakFigures(soak: Soak): Figure[] {
  const perCall = slope(soak.signs.map(({ calls, heapBytes }) => [calls, heapBytes]));
  return [
    ...callFigures(soak, Number.POSITIVE_INFINITY),
    { name: "heap after collection, bytes a call", value: perCall, atMost: 400 },
  ];
}

function callFigures({ calls, failed, rate, signs }: Soak, mostFailed = 0): Figure[] {
  const half = Math.ceil(signs.length / 2);
  const files = signs.map(({ openFiles }) => openFiles);
  const gained = Math.max(...files.slice(half)) - Math.max(...files.slice(0, half));
  return [
    { name: "calls", value: calls, atLeast: 1 },
    { name: "calls/s aimed at", value: rate },
    { name: "failed", value: failed, atMost: mostFailed },
    { name: "open files gained", value: gained, atMost: looseFiles },
  ];
}

/** The slope of the line that fits best (least squares). */
function slope(points: readonly (readonly [number, number])[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  const covariance = mean(points.map((point) => (point[0] - x) * (point[1] - y)));
  return covariance / mean(points.map((point) => (point[0] - x) ** 2));
}
