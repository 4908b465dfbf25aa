import { rmSync } from "node:fs";
import { newDataDirectory } from "../../support/data-directory.ts";
import { decisionStatements } from "../../support/graph.ts";
import { startThrowawayServer, type ThrowawayServer } from "../../support/throwaway-server.ts";
import { until } from "../../support/until.ts";
import { type Progress, type RaceOutcome, race } from "../race/race.ts";
import { countAcross } from "../support/across.ts";
import { type Instance, startInstance } from "../support/instance.ts";
import type { MutantName } from "../support/mutants.ts";
import { type Figure, figuresOf } from "../support/report.ts";
import { connectingAs, connectionsGone, cutConnection, killServer } from "../support/server-faults.ts";
import { withoutPairLock } from "../support/unlocked.ts";

export interface ChaosOptions {
  readonly seed: number;
  readonly clients: number;
  readonly users: number;
  /** How many operations are answered at least. */
  readonly operations: number;
  /** How often something is killed at least. */
  readonly kills: number;
  /** Waits for the moment of the next kill. */
  readonly nextKill: (progress: Progress) => Promise<unknown>;
  /** Instead of the service as it is. */
  readonly mutant?: MutantName | "unlocked" | undefined;
}

export interface ChaosOutcome extends RaceOutcome {
  /** How long the service took to be ready after each kill, in milliseconds. */
  readonly readyMs: readonly number[];
  /** Follows across a block that were found after the kills, and in the end. */
  readonly across: number;
  /** Statements of the instances for decisions, since they were last started: for those of the graph, and of the tables. */
  readonly statements: { readonly graph: number; readonly tables: number };
}

/** A database with instances at work on it. */
interface Stage {
  readonly instances: readonly Instance[];
  /**
   * Kills something, settles what can take effect no more, starts it again, and returns how long the service took to be
   * ready.
   */
  readonly kill: (progress: Progress) => Promise<number>;
  /** Counts follows across a block between two kills, where that can be done. */
  readonly look?: () => Promise<number>;
}

/** Ends connections of two instances to PostgreSQL. */
export function cutConnections(options: ChaosOptions): Promise<ChaosOutcome> {
  return onPostgresql(options, (server) => async () => {
    await cutConnection(server.url);
    return 0;
  });
}

/** Kills PostgreSQL under two instances. */
export function killPostgresql(options: ChaosOptions): Promise<ChaosOutcome> {
  return onPostgresql(options, (server, instances) => async (progress) => {
    await killServer(server);
    await progress.replies();
    const settle = progress.markLost();
    await server.restart();
    const begin = performance.now();
    for (const instance of instances) await instance.untilReady();
    const readyMs = performance.now() - begin;
    // A server does not start before the last process of the one before it has gone; an instance tries nothing again
    // for as long as that takes. Were it otherwise, what is good would be refused: an early end hides nothing.
    settle();
    return readyMs;
  });
}

/** Kills two instances on PostgreSQL, one after the other. */
export function killServices(options: ChaosOptions): Promise<ChaosOutcome> {
  const nameOf = (number: number) => `instance ${number}`;
  const killer = (server: ThrowawayServer, instances: readonly Instance[]) => {
    let turn = 0;
    return async (progress: Progress) => {
      const number = turn++ % instances.length;
      const instance = instances[number] as Instance;
      await instance.kill();
      await progress.replies();
      // A server continues the statements of clients that have disconnected.
      await connectionsGone(server.url, nameOf(number));
      progress.markLost(instance)();
      return instance.start();
    };
  };
  return onPostgresql(options, killer, (url, number) => connectingAs(url, nameOf(number)));
}

/** Kills an instance on an embedded database. */
export async function killEmbedded(options: ChaosOptions): Promise<ChaosOutcome> {
  const dataDir = await newDataDirectory();
  try {
    await using instance = await startInstance({ database: dataDir, mutant: serviceMutant(options) });
    const kill = async (progress: Progress) => {
      await instance.kill();
      await progress.replies();
      // The database went with the instance.
      progress.markLost()();
      return instance.start();
    };
    const outcome = await chaos(options, { instances: [instance], kill });
    await instance.kill();
    return { ...outcome, across: await countAcross(dataDir) };
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function onPostgresql(
  options: ChaosOptions,
  killer: (server: ThrowawayServer, instances: readonly Instance[]) => Stage["kill"],
  urlOf: (url: string, number: number) => string = (url) => url,
): Promise<ChaosOutcome> {
  await using parts = new AsyncDisposableStack();
  const server = await startThrowawayServer({ durable: true });
  parts.defer(() => server.stop());
  const start = async (url: string, number: number) =>
    parts.use(await startInstance({ database: urlOf(url, number), mutant: serviceMutant(options) }));
  let instances = [await start(server.url, 0)];
  if (options.mutant === "unlocked") {
    // The first has made the tables.
    const unlocked = await withoutPairLock(server.url);
    instances = [await start(unlocked, 0), await start(unlocked, 1)];
  } else {
    instances.push(await start(server.url, 1));
  }
  const look = () => countAcross(server.url);
  const outcome = await chaos(options, { instances, kill: killer(server, instances), look });
  return { ...outcome, across: outcome.across + (await look()) };
}

function serviceMutant({ mutant }: ChaosOptions): MutantName | undefined {
  return mutant === "unlocked" ? undefined : mutant;
}

async function chaos(options: ChaosOptions, { instances, kill, look }: Stage): Promise<ChaosOutcome> {
  const readyMs: number[] = [];
  let across = 0;
  const disturb = async (progress: Progress) => {
    while (readyMs.length < options.kills || !progress.enough()) {
      await options.nextKill(progress);
      readyMs.push(await kill(progress));
      across += (await look?.()) ?? 0;
    }
  };
  const outcome = await race({ ...options, instances, disturb });
  const statements = { graph: 0, tables: 0 };
  for (const instance of instances) {
    // An instance that was started just now loads the graph first.
    await until(async () => (await decisionStatements(instance)).graph > 0);
    const { graph, tables } = await decisionStatements(instance);
    statements.graph += graph;
    statements.tables += tables;
  }
  return { ...outcome, readyMs, across, statements };
}

/** What is promised of a run of this kind. */
export function chaosFigures(name: string, outcome: ChaosOutcome, slowestMs: number): Figure[] {
  const { operations, lost, pairs, violations, across, readyMs, seconds, statements } = outcome;
  const figure = figuresOf(name);
  return [
    figure("operations answered", operations),
    figure("of unknown outcome", lost),
    figure("operations/s", operations / seconds),
    figure("kills", readyMs.length),
    figure("pairs", pairs),
    figure("pairs that are not linearizable", violations.length, { atMost: 0 }),
    figure("follows across a block", across, { atMost: 0 }),
    figure("statements for decisions of the graph", statements.graph, { atLeast: 1 }),
    figure("statements for decisions of the tables", statements.tables),
    figure("slowest to be ready, ms", Math.max(...readyMs), { atMost: slowestMs }),
  ];
}
