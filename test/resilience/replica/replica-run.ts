import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { type FreezingProxy, startFreezingProxy } from "../../support/freezing-proxy.ts";
import { startThrowawayServer, type ThrowawayServer } from "../../support/throwaway-server.ts";
import { addUsers, openApiWriter, type Writer } from "../changes/api-writers.ts";
import { type Instance, startInstance } from "../support/instance.ts";
import type { MutantName } from "../support/mutants.ts";
import { type Random, randomOf } from "../support/random.ts";
import { type Figure, Problems, type Report } from "../support/report.ts";
import { compareAll } from "./compare.ts";
import { Consumer, type Pair } from "./consumer-process.ts";
import { type FaultName, faultNames, faults } from "./faults.ts";
import { Probes } from "./probes.ts";
import { Swaps } from "./swaps.ts";

export interface ReplicaRunOptions {
  readonly seed: number;
  /** Each has one fault. */
  readonly rounds: number;
  /** For how long each fault lasts, in milliseconds. */
  readonly lastsMs: number;
  /** How long a replica may take to catch up after it, in milliseconds. */
  readonly catchUpMs: number;
  /** The faults, in turn; all by default. */
  readonly only?: readonly FaultName[];
  readonly mutant?: MutantName | undefined;
}

/** What the faults of a run may use. */
export interface Stage {
  readonly server: ThrowawayServer;
  /** Before the server, one for each instance. */
  readonly databases: readonly FreezingProxy[];
  readonly instances: readonly Instance[];
  /** Before the instances, one for each consumer. */
  readonly proxies: readonly FreezingProxy[];
  readonly consumers: readonly Consumer[];
  readonly random: Random;
}

const users = 8;
const writers = 6;
const heartbeatMs = 200;
/** For how long the run goes on after each fault. */
const afterMs = 500;

/**
 * Lets replicas in processes of their own follow two instances whose users change all the time, while faults happen to the
 * connections, the instances, PostgreSQL and the processes. No replica may lack a block that was acknowledged longer ago
 * than a check accepts, and at quiet moments each must decide as the service does.
 */
export async function runReplica(options: ReplicaRunOptions): Promise<Report> {
  await using parts = new AsyncDisposableStack();
  const { seed, mutant } = options;
  const random = randomOf(seed);
  const problems = new Problems();
  const server = await startThrowawayServer();
  parts.defer(() => server.stop());
  const databases: FreezingProxy[] = [];
  const instances: Instance[] = [];
  for (let i = 0; i < 2; i++) {
    const database = await startFreezingProxy(server.url);
    parts.defer(() => database.close());
    databases.push(database);
    // Most batches have several pages then.
    instances.push(
      parts.use(await startInstance({ database: database.url, mutant: "pages of ten changes" })),
    );
  }
  const [first] = instances as [Instance];
  const ids = Array.from({ length: users }, () => randomUUID());
  await addUsers(first, ids);
  const probes = await Probes.open(instances, problems);
  const swaps = await Swaps.open(first, server.url);
  const { proxies, consumers } = await openConsumers(parts, instances, swaps.guarded, mutant);
  const stage = { server, databases, instances, proxies, consumers, random };
  const load = new Load(
    Array.from({ length: writers }, () => openApiWriter(instances, ids, problems)),
    seed,
  );
  parts.defer(() => load.close());
  const over = new AbortController();
  const work = [
    load.run(over.signal),
    probes.run(consumers, over.signal),
    swaps.run(over.signal),
    inspect(consumers, problems, over.signal),
  ];
  const names = options.only ?? faultNames;
  let comparisons = 0;
  for (let round = 0; round < options.rounds && !problems.any(); round++) {
    const name = names[round % names.length] as FaultName;
    await faults[name](stage, () => setTimeout(options.lastsMs));
    await setTimeout(afterMs);
    const resume = await load.pause();
    await compareAll(stage, ids, { problems, after: name, withinMs: options.catchUpMs });
    comparisons++;
    resume();
  }
  over.abort();
  await Promise.all(work);
  const states = problems.any() ? [] : await Promise.all(consumers.map((consumer) => consumer.state()));
  for (const consumer of consumers)
    if (!(await consumer.close()) && !problems.any())
      problems.add("processes that do not end", consumer.ended ?? "");
  const sum = (of: (state: (typeof states)[number]) => number) =>
    states.reduce((all, state) => all + of(state), 0);
  const whole = options.only === undefined && !problems.any();
  const figures: Figure[] = [
    { name: "rounds", value: comparisons, ...(whole && { atLeast: options.rounds }) },
    { name: "blocks that were acknowledged", value: probes.counts.blocks },
    { name: "checks of them", value: probes.counts.answered, ...(whole && { atLeast: 1 }) },
    { name: "checks of them that were refused", value: probes.counts.refused, ...(whole && { atLeast: 1 }) },
    { name: "moments of several messages", value: swaps.count },
    { name: "checks of pairs that are always blocked", value: sum(({ guarded }) => guarded.answers) },
    { name: "changes applied", value: sum(({ metrics }) => metrics.changesTotal) },
    { name: "streams resumed", value: sum(({ metrics }) => metrics.reconnectsTotal) },
    {
      name: "copies loaded anew",
      value: sum(({ metrics }) => metrics.reloadsTotal),
      ...(whole && options.rounds >= faultNames.length && { atLeast: 1 }),
    },
  ];
  return problems.report(figures);
}

async function openConsumers(
  parts: AsyncDisposableStack,
  instances: readonly Instance[],
  guarded: readonly Pair[],
  mutant: MutantName | undefined,
) {
  const proxies: FreezingProxy[] = [];
  const consumers: Consumer[] = [];
  for (const [i, instance] of instances.entries()) {
    const proxy = await startFreezingProxy(instance.internalUrl);
    parts.defer(() => proxy.close());
    const token = await instance.serviceToken("changes.read");
    const url = proxy.url.replace(/\/$/, "");
    const protocol = i === 0 ? "grpc" : "connect";
    const consumer = new Consumer({ url, token, protocol, heartbeatMs, guarded }, mutant);
    parts.defer(async () => {
      await consumer.close();
    });
    proxies.push(proxy);
    consumers.push(consumer);
  }
  for (const consumer of consumers) await consumer.ready();
  return { proxies, consumers };
}

/** Reports what consumers see of the pairs that are blocked at all times. */
async function inspect(consumers: readonly Consumer[], problems: Problems, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    for (const consumer of consumers) {
      const { guarded } = await consumer.state();
      for (const allowed of guarded.allowed) problems.add("answers of a state that never was", allowed);
    }
    await setTimeout(100);
  }
}

/** Writers that can be paused. */
class Load {
  readonly #writers: readonly Writer[];
  readonly #seed: number;
  #paused: Promise<void> | undefined;
  #writing = 0;

  constructor(writers: readonly Writer[], seed: number) {
    this.#writers = writers;
    this.#seed = seed;
  }

  async run(over: AbortSignal): Promise<void> {
    await Promise.all(
      this.#writers.map(async (writer, number) => {
        const random = randomOf(this.#seed + number);
        while (!over.aborted) {
          await this.#paused;
          this.#writing++;
          await writer.write(random).finally(() => this.#writing--);
          // The machine is for the replicas, too.
          await setTimeout(20);
        }
      }),
    );
  }

  /** Lets all writers end what they do. Returns a function that lets them go on. */
  async pause(): Promise<() => void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#paused = promise;
    while (this.#writing > 0) await setTimeout(5);
    return () => {
      this.#paused = undefined;
      resolve();
    };
  }

  async close(): Promise<void> {
    for (const writer of this.#writers) await writer.close();
  }
}
