import type { LoadResult } from "../load/job.ts";
import type { Server } from "./processes.ts";
import type { Goal } from "./statistics.ts";

/** Something that is measured: a load on a server. */
export interface Contender {
  readonly name: string;
  /** The server whose core is measured; pgbench has none. */
  readonly server: Server | undefined;
  /** Puts things in order before a measurement, outside of it. */
  prepare?(): Promise<unknown>;
  run(ms: number): Promise<LoadResult>;
}

/** What a contender is compared with. */
interface Peer {
  readonly contender: Contender;
  readonly goal?: Goal;
}

/** One kind of work, done by this service and by its peers under the same load. */
export interface Comparison {
  readonly id: string;
  readonly title: string;
  /**
   * `rate` compares answers a second, `p50` the time that half of the answers took, `database` the processor time of the
   * database for an answer.
   */
  readonly figure: "rate" | "p50" | "database";
  /** What one answer counts for in `rate`, and the name of that. */
  readonly unit: { readonly name: string; readonly perCall: number };
  /** The database of the contenders, for `database`. */
  readonly database?: { cpuSeconds(): number };
  readonly ours: Contender;
  readonly peers: readonly Peer[];
}

/** One measurement of one contender. */
export interface Measurement {
  readonly value: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Microseconds of the server's processor for one call. */
  readonly cpuMicros: number;
  /** The part of its core that the server used. */
  readonly serverShare: number;
  readonly generatorShare: number;
}

/** Measures a contender once. Throws when an answer was wrong or missing. */
export async function measure(
  { figure, unit, title, database }: Comparison,
  contender: Contender,
  ms: number,
): Promise<Measurement> {
  const { server, name } = contender;
  await contender.prepare?.();
  const startedAt = performance.now();
  const before = server?.cpuSeconds() ?? 0;
  const databaseBefore = database?.cpuSeconds() ?? 0;
  const result = await contender.run(ms);
  const cpu = (server?.cpuSeconds() ?? 0) - before;
  const databaseCpu = (database?.cpuSeconds() ?? 0) - databaseBefore;
  const seconds = (performance.now() - startedAt) / 1_000;
  if (result.wrong > 0 || result.total === 0)
    throw new Error(`${title}: ${result.wrong} wrong answers of ${name}, the first: ${result.example}`);
  server?.checkLog();
  const values = {
    rate: result.rate * unit.perCall,
    p50: result.p50Ms,
    database: (databaseCpu / result.total) * 1e6,
  };
  return {
    value: values[figure],
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    cpuMicros: (cpu / result.total) * 1e6,
    serverShare: cpu / seconds,
    generatorShare: result.generatorShare,
  };
}
