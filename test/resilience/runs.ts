import { setTimeout } from "node:timers/promises";
import { findProgram } from "../support/programs.ts";
import { startThrowawayServer } from "../support/throwaway-server.ts";
import { replay } from "./changes/replay.ts";
import type { TriggerMutantName } from "./changes/trigger-mutants.ts";
import {
  type ChaosOptions,
  chaosFigures,
  cutConnections,
  killEmbedded,
  killPostgresql,
  killServices,
} from "./chaos/chaos.ts";
import { losses } from "./consistency/lost-writes.ts";
import { pausedFigures, pauseReplay } from "./consistency/paused-replay.ts";
import { type ConsistencyMutant, mutants as consistencyMutants, wayOf } from "./consistency/ways.ts";
import { deadlineFigures, runDeadlines } from "./deadlines/deadlines.ts";
import { failoverFigures, fates, openFailover, runFailover } from "./failover/failover.ts";
import { fairnessFigures, fairnessNotes, listFigures, runFairness } from "./fairness/fairness.ts";
import { floodRun } from "./floods/flood-run.ts";
import { memoryRun } from "./floods/memory-run.ts";
import { slowConnections } from "./floods/slow.ts";
import { fuzzRest } from "./fuzz/fuzz-rest.ts";
import { fuzzRpc } from "./fuzz/fuzz-rpc.ts";
import { importParts, messageEdges, runBurst } from "./graph/burst.ts";
import { runGraph } from "./graph/graph-run.ts";
import { freezeBackends, holdPackets, losePackets } from "./lost-packets/faults.ts";
import { lostPacketsFigures } from "./lost-packets/lost-packets.ts";
import { faults } from "./outage/faults.ts";
import { openStage, outageFigures, runOutage } from "./outage/outage.ts";
import { overloadFigures, runOverload } from "./overload/overload.ts";
import { runReplica } from "./replica/replica-run.ts";
import { runSoak, soakFigures } from "./soak/soak.ts";
import { stopFigures, stopUnderLoad, waysToStop } from "./stops/stop.ts";
import type { MutantName } from "./support/mutants.ts";
import { whyNoNamespace } from "./support/namespace.ts";
import { type Figure, isBroken, type Report } from "./support/report.ts";
import { timingRun } from "./timing/timing-run.ts";
import { tokenRun } from "./tokens/token-run.ts";

interface RunOptions<Mutant> {
  readonly seed: number;
  readonly size: number;
  readonly width: number | undefined;
  /** The protection that is taken out. */
  readonly mutant: Mutant | undefined;
}

interface Run<Mutant extends string = string> {
  readonly usual: number;
  /** What the size counts. */
  readonly unit: string;
  /** The mutants on which it must fail. */
  readonly mutants: readonly Mutant[];
  make(options: RunOptions<Mutant>): Promise<Report>;
}

/** Keeps the names of a run's mutants for its own types. */
const run = <Mutant extends MutantName | TriggerMutantName | ConsistencyMutant | "unlocked">(
  made: Run<Mutant>,
): Run => made as unknown as Run;

const manyClients = { clients: 64, users: 24 };
/** More would wait for the one connection of the embedded database than are killed. */
const fewClients = { clients: 16, users: 24 };

/** The full size of each run, by its name. */
export const runs: Readonly<Record<string, Run>> = {
  /** Operations, while connections are cut. */
  race: run({
    usual: 100_000,
    unit: "operations",
    mutants: ["unlocked"],
    async make({ seed, size, mutant }) {
      const outcome = await cutConnections({
        ...manyClients,
        seed,
        operations: size,
        kills: 1,
        nextKill: (progress) => progress.after(500),
        mutant,
      });
      return { figures: chaosFigures("connections cut", outcome, 0), notes: outcome.violations };
    },
  }),

  /** Operations while PostgreSQL is killed every 5 s; then half as many kills of the service as there are thousands. */
  chaos: run({
    usual: 100_000,
    unit: "operations",
    mutants: ["early"],
    async make({ seed, size, mutant }) {
      const killing = {
        seed,
        mutant,
        operations: 0,
        kills: Math.ceil(size / 2_000),
        nextKill: (progress) => progress.after(150),
      } satisfies Partial<ChaosOptions>;
      const postgresql = await killPostgresql({
        ...manyClients,
        seed,
        mutant,
        operations: size,
        kills: 1,
        nextKill: () => setTimeout(5_000),
      });
      const services = await killServices({ ...manyClients, ...killing });
      const embedded = await killEmbedded({ ...fewClients, ...killing });
      return {
        figures: [
          ...chaosFigures("PostgreSQL killed", postgresql, 3_000),
          ...chaosFigures("service killed on PostgreSQL", services, 3_000),
          ...chaosFigures("service killed on PGlite", embedded, 10_000),
        ],
        notes: [postgresql, services, embedded].flatMap(({ violations }) => violations.slice(0, 3)),
      };
    },
  }),

  /** Changes that are followed, while backends are killed every 300 ms and PostgreSQL now and then. */
  changes: run({
    usual: 100_000,
    unit: "changes",
    mutants: [
      "changes after the last sequence number",
      "changes in the order of transactions",
      "ticks without running transactions",
      "an erasure of an unknown user is logged",
      "follows that a block removes are not logged",
      "lost ticks go unnoticed",
    ],
    async make({ seed, size, mutant }) {
      const options = {
        seed,
        users: 12,
        apiWriters: 16,
        sqlWriters: 6,
        openMs: 4_000,
        killMs: 300,
        mutant,
      };
      const rare = { changesPerCrash: 5_000, changesPerComparison: 5_000, losesCommits: false };
      const frequent = { changesPerCrash: 500, changesPerComparison: 1_000, losesCommits: true };
      const parts: Record<string, Report> = {};
      // A mutant fails in one of the two.
      if (mutant !== "lost ticks go unnoticed")
        parts.crashes = await replay({ ...options, ...rare, changes: size });
      if (mutant === undefined || mutant === "lost ticks go unnoticed")
        parts["crashes that lose commits"] = await replay({
          ...options,
          ...frequent,
          changes: Math.ceil(size / 10),
        });
      return {
        figures: Object.entries(parts).flatMap(([part, { figures }]) =>
          figures.map((figure) => ({ ...figure, name: `${part}: ${figure.name}` })),
        ),
        notes: Object.values(parts).flatMap(({ notes = [] }) => notes),
      };
    },
  }),

  /**
   * Changes by SQL that are asked about at once, and a crash of PostgreSQL that loses one; then as many edges are imported as
   * make a million in the usual run.
   */
  graph: run({
    usual: 30,
    unit: "rounds",
    mutants: [
      "decisions without asking the database",
      "graph changes in the order of transactions",
      "a lost session is carried on",
      "expiries are forgotten",
    ],
    async make({ size, mutant }) {
      const { figures, notes = [] } = await runGraph({ rounds: size, mutant });
      if (mutant !== undefined) return { figures, notes };
      const messages = Math.ceil((size * 1_000) / 30 / importParts) * importParts;
      const burst = await runBurst({ edges: messages * messageEdges, calmMs: 15_000 });
      return { figures: [...figures, ...burst.figures], notes: [...notes, ...(burst.notes ?? [])] };
    },
  }),

  /** Rounds with a fault each, while replicas are asked and compared with the service. */
  replica: run({
    usual: 28,
    unit: "rounds",
    mutants: [
      "age not counted while disconnected",
      "signs of life make a copy current",
      "half of a moment is applied",
      "a copy answers while it is loaded",
      "the cursor is kept when a copy is loaded anew",
    ],
    make: ({ seed, size, mutant }) =>
      runReplica({ seed, rounds: size, lastsMs: 3_000, catchUpMs: 30_000, mutant }),
  }),

  /** Each way in which the database is away lasts for the time of the size. */
  outage: run({
    usual: 30,
    unit: "seconds",
    mutants: ["patient"],
    async make({ seed, size, mutant }) {
      const figures: Figure[] = [];
      await using stage = await openStage(mutant);
      // The last is longer than it may take to be back.
      const options = { seed, lastsMs: size * 1_000, settleMs: 3_000 };
      for (const [name, fault] of Object.entries(faults)) {
        const outage = await runOutage(stage, fault, options);
        figures.push(...outageFigures(name, outage));
      }
      return { figures };
    },
  }),

  /** Failovers to a standby, and the time of the size after each. */
  failover: run({
    usual: 10,
    unit: "seconds",
    mutants: ["stale"],
    async make({ seed, size, mutant }) {
      const haproxy = findProgram("haproxy");
      if (haproxy === undefined) throw new Error("HAProxy is not installed");
      const figures: Figure[] = [];
      for (const [name, fate] of Object.entries(fates)) {
        await using stage = await openFailover(haproxy, mutant);
        const failover = await runFailover(stage, fate, { seed, settleMs: size * 1_000 });
        figures.push(...failoverFigures(name, failover, fate.answers));
      }
      return { figures };
    },
  }),

  /** Frozen backends, and a quarter as many times in which packets are late by seconds. */
  "lost-packets": run({
    usual: 40,
    unit: "faults",
    mutants: ["a commit for nobody", "changes outside of transactions"],
    async make({ seed, size, mutant }) {
      const options = { seed, subjects: 4, mutant };
      const frozen = await freezeBackends({ ...options, faults: size });
      const missing = whyNoNamespace();
      if (missing !== undefined)
        console.log(`packets are delayed by a proxy instead of lost, because ${missing}`);
      const late = missing === undefined ? losePackets : holdPackets;
      const held = await late({ ...options, faults: Math.ceil(size / 4) });
      return {
        figures: [
          ...lostPacketsFigures("backends frozen", frozen),
          ...lostPacketsFigures("packets late", held),
        ],
        notes: [...frozen.violations, ...held.violations].slice(0, 3),
      };
    },
  }),

  /** For so long a standby is asked; then as many writes are lost, by a failover and by a crash. */
  consistency: run({
    usual: 40,
    unit: "seconds",
    mutants: Object.keys(consistencyMutants) as ConsistencyMutant[],
    async make({ seed, size, mutant }) {
      const way = wayOf(mutant);
      const answers = await pauseReplay({ seed, lastsMs: size * 1_000, way });
      const figures = pausedFigures(answers);
      for (const lose of Object.values(losses)) figures.push(...(await lose(size, way)));
      return { figures };
    },
  }),

  /** Calls with a deadline, against a locked row. */
  deadlines: run({
    usual: 1_000,
    unit: "calls",
    mutants: ["uncancelled"],
    async make({ size, mutant }) {
      return { figures: deadlineFigures(await runDeadlines({ calls: size, atOnce: 100, mutant })) };
    },
  }),

  /** Windows of calm, and as many in which one user floods. */
  fairness: run({
    usual: 24,
    unit: "windows of 2 seconds",
    mutants: ["unlimited", "prompt"],
    async make({ seed, size, mutant }) {
      const load = { windows: size, windowMs: 2_000, connections: 64 };
      const fairness = await runFairness({ seed, mutant, ...load });
      return { figures: fairnessFigures(fairness), notes: fairnessNotes(fairness) };
    },
  }),

  /** Windows of calm, and as many in which one user floods with long lists. */
  reads: run({
    usual: 5,
    unit: "windows of 2 seconds",
    mutants: ["wide"],
    async make({ seed, size, mutant }) {
      const load = { windows: size, windowMs: 2_000, connections: 64 };
      const fairness = await runFairness({ seed, mutant, flood: "lists", ...load });
      return { figures: listFigures(fairness), notes: fairnessNotes(fairness) };
    },
  }),

  /** A steady load. */
  soak: run({
    usual: 9,
    unit: "minutes",
    mutants: ["leaky"],
    async make({ seed, size, mutant }) {
      const sampleMs = 10_000;
      const soak = await runSoak({
        seed,
        callers: 32,
        calibrateMs: sampleMs,
        samples: Math.round((size * 60_000) / sampleMs) - 1,
        sampleMs,
        mutant,
      });
      return { figures: soakFigures(soak) };
    },
  }),

  overload: run({
    usual: 10,
    unit: "seconds",
    mutants: ["unbounded"],
    async make({ size, width = 64, mutant }) {
      return { figures: overloadFigures(await runOverload({ seconds: size, width, mutant })) };
    },
  }),

  /** Processes that are stopped under load, each in another way. */
  stops: run({
    usual: 20,
    unit: "stops",
    mutants: ["exit"],
    make: ({ size, mutant }) =>
      onPostgresql(async (url) => {
        const figures: Figure[] = [];
        const lost: string[] = [];
        for (const [i, way] of waysToStop(size, url).entries()) {
          const outcome = await stopUnderLoad({ ...way, mutant });
          const found = stopFigures(outcome, way);
          const how = `after ${way.drainDelayMs} ms, with${way.tls === undefined ? "out" : ""} TLS`;
          console.log(`stop ${i + 1}, ${how}: ${found.some(isBroken) ? "BROKEN" : "kept"}`);
          figures.push(...found);
          lost.push(...outcome.lost.slice(0, 3));
        }
        const sum = figures.filter(({ name }) => name === "calls").reduce((all, { value }) => all + value, 0);
        return {
          figures: [
            ...figures.filter(isBroken),
            { name: "stops", value: size },
            { name: "calls", value: sum },
          ],
          notes: lost,
        };
      }),
  }),

  "fuzz-rest": run({
    usual: 100_000,
    unit: "requests",
    mutants: [
      "no check of authorities",
      "no check of framing",
      "no guard of percent-encoding",
      "no clearing of lists",
    ],
    make: ({ seed, size, mutant }) =>
      onPostgresql((databaseUrl) => fuzzRest({ databaseUrl, mutant, seed, count: size, slowMs: 1_000 })),
  }),

  "fuzz-rpc": run({
    usual: 100_000,
    unit: "calls",
    mutants: ["no blame of senders"],
    make: ({ seed, size, mutant }) =>
      onPostgresql((databaseUrl) => fuzzRpc({ databaseUrl, mutant, seed, count: size, slowMs: 1_000 })),
  }),

  floods: run({
    usual: slowConnections,
    unit: "slow connections to each listener",
    mutants: ["no time limits"],
    make: ({ size, mutant }) =>
      onPostgresql((databaseUrl) =>
        floodRun({
          databaseUrl,
          mutant,
          scale: size / slowConnections,
          flooders: 10,
          fast: true,
          warmUp: { steady: 250, most: 2_500 },
          p99Ms: 250,
          closeMs: 10_000,
        }),
      ),
  }),

  memory: run({
    usual: 1_500,
    unit: "connections",
    mutants: ["no bound of bytes"],
    make: ({ size, mutant }) =>
      onPostgresql((databaseUrl) => memoryRun({ databaseUrl, mutant, connections: size })),
  }),

  tokens: run({
    usual: 10_000,
    unit: "random key ids",
    mutants: ["any algorithm", "keys of any age"],
    make: ({ size, mutant }) =>
      onPostgresql((databaseUrl) => tokenRun({ databaseUrl, mutant, keyIds: size })),
  }),

  timing: run({
    usual: 44_000,
    unit: "samples",
    mutants: ["an early return for who is blocked"],
    make: ({ seed, size, mutant }) =>
      onPostgresql((databaseUrl) => timingRun({ databaseUrl, mutant, seed, samples: size, most: 0.55 })),
  }),
};

/** The mutants on which a run must fail. */
export function mutantNames(name: string): readonly string[] {
  return runs[name]?.mutants ?? [];
}

async function onPostgresql<Result>(use: (url: string) => Promise<Result>): Promise<Result> {
  const server = await startThrowawayServer();
  try {
    return await use(server.url);
  } finally {
    await server.stop();
  }
}
