import { setTimeout } from "node:timers/promises";
import { findProgram } from "../support/programs.ts";
import {
  type ChaosOptions,
  chaosFigures,
  cutConnections,
  killEmbedded,
  killPostgresql,
  killServices,
} from "./chaos/chaos.ts";
import { deadlineFigures, runDeadlines } from "./deadlines/deadlines.ts";
import { failoverFigures, fates, openFailover, runFailover } from "./failover/failover.ts";
import {
  type FairnessOptions,
  fairnessFigures,
  fairnessNotes,
  listFigures,
  runFairness,
} from "./fairness/fairness.ts";
import { freezeBackends, holdPackets, losePackets, lostPacketsFigures } from "./lost-packets/lost-packets.ts";
import { faults } from "./outage/faults.ts";
import { openStage, outageFigures, runOutage } from "./outage/outage.ts";
import { runSoak, soakFigures } from "./soak/soak.ts";
import type { Mutant } from "./support/mutants.ts";
import { whyNoNamespace } from "./support/namespace.ts";
import type { Figure } from "./support/report.ts";
import type { MutantName } from "./support/source-mutants.ts";

export interface RunOptions {
  readonly seed: number;
  /** How large the run is, in its own measure; undefined is the full size. */
  readonly size: number | undefined;
  /** The protection that is taken out. */
  readonly mutant: string | undefined;
}

interface Report {
  readonly figures: readonly Figure[];
  /** What shows a broken promise in full. */
  readonly notes?: readonly string[];
}

const crowd = { clients: 64, users: 24 };
/** More would wait for the one connection of the embedded database than are killed. */
const few = { clients: 16, users: 24 };

/** The mutants on which each run must break. */
export const teeth: Readonly<Record<string, readonly string[]>> = {
  outage: ["patient"],
  failover: ["stale"],
  deadlines: ["uncancelled"],
  fairness: ["unlimited", "prompt"],
  reads: ["wide"],
  soak: ["leaky"],
  race: ["unlocked"],
  chaos: ["early"],
  "lost-packets": ["a commit for nobody", "changes outside of transactions"],
};

/** The full size of each run, by its name. */
export const runs: Record<string, (options: RunOptions) => Promise<Report>> = {
  /** Ways in which the database is away, each for so many seconds. */
  async outage({ seed, size = 30, mutant }) {
    const figures: Figure[] = [];
    await using stage = await openStage(mutant as Mutant | undefined);
    // The last is longer than it may take to be back.
    const options = { seed, lastsMs: size * 1_000, settleMs: 3_000 };
    for (const [name, fault] of Object.entries(faults)) {
      const outage = await runOutage(stage, fault, options);
      figures.push(...outageFigures(name, outage));
    }
    return { figures };
  },

  /** Failovers to a standby, and so many seconds after each. */
  async failover({ seed, size = 10, mutant }) {
    const haproxy = findProgram("haproxy");
    if (haproxy === undefined) throw new Error("HAProxy is not installed");
    const figures: Figure[] = [];
    for (const [name, fate] of Object.entries(fates)) {
      await using stage = await openFailover(haproxy, mutant as Mutant | undefined);
      const failover = await runFailover(stage, fate, { seed, settleMs: size * 1_000 });
      figures.push(...failoverFigures(name, failover, fate.answers));
    }
    return { figures };
  },

  /** Calls with a deadline, against a locked row. */
  async deadlines({ size = 1_000, mutant }) {
    const outcome = await runDeadlines({ calls: size, atOnce: 100, mutant: mutant as Mutant | undefined });
    return { figures: deadlineFigures(outcome) };
  },

  /** Windows of calm, and as many in which one user floods. */
  async fairness({ seed, size = 24, mutant }) {
    const fairness = await runFairness({
      seed,
      windows: size,
      windowMs: 2_000,
      connections: 64,
      mutant: mutant as FairnessOptions["mutant"],
    });
    return { figures: fairnessFigures(fairness), notes: fairnessNotes(fairness) };
  },

  /** Windows of calm, and as many in which one user floods with long lists. */
  async reads({ seed, size = 5, mutant }) {
    const fairness = await runFairness({
      seed,
      flood: "lists",
      windows: size,
      windowMs: 2_000,
      connections: 64,
      mutant: mutant as FairnessOptions["mutant"],
    });
    return { figures: listFigures(fairness), notes: fairnessNotes(fairness) };
  },

  /** Minutes of a steady load. */
  async soak({ seed, size = 9, mutant }) {
    const sampleMs = 10_000;
    const soak = await runSoak({
      seed,
      callers: 32,
      calibrateMs: sampleMs,
      samples: Math.round((size * 60_000) / sampleMs) - 1,
      sampleMs,
      mutant: mutant as Mutant | undefined,
    });
    return { figures: soakFigures(soak) };
  },

  /** Frozen backends, and a quarter as many times in which packets are late by seconds. */
  async "lost-packets"({ seed, size = 40, mutant }) {
    const options = { seed, things: 4, mutant: mutant as MutantName | undefined };
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
      notes: [...frozen.violations, ...held.violations],
    };
  },

  /** Operations, while connections are cut. */
  async race({ seed, size = 100_000, mutant }) {
    const outcome = await cutConnections({
      ...crowd,
      seed,
      operations: size,
      kills: 1,
      nextKill: (progress) => progress.after(500),
      mutant: mutant as ChaosOptions["mutant"],
    });
    return { figures: chaosFigures("connections cut", outcome, 0), notes: outcome.violations };
  },

  /** Operations while PostgreSQL is killed every 5 s; then half as many kills of the service as there are thousands. */
  async chaos({ seed, size = 100_000, mutant }) {
    const options = { seed, mutant: mutant as ChaosOptions["mutant"] };
    const kills = Math.ceil(size / 2_000);
    const killing = {
      ...options,
      operations: 0,
      kills,
      nextKill: (progress) => progress.after(150),
    } satisfies Partial<ChaosOptions>;
    const postgresql = await killPostgresql({
      ...crowd,
      ...options,
      operations: size,
      kills: 1,
      nextKill: () => setTimeout(5_000),
    });
    const services = await killServices({ ...crowd, ...killing });
    const embedded = await killEmbedded({ ...few, ...killing });
    return {
      figures: [
        ...chaosFigures("PostgreSQL killed", postgresql, 3_000),
        ...chaosFigures("service killed on PostgreSQL", services, 3_000),
        ...chaosFigures("service killed on PGlite", embedded, 10_000),
      ],
      notes: [postgresql, services, embedded].flatMap(({ violations }) => violations),
    };
  },
};
