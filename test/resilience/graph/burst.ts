import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { decisionStatements, untilGraphReady } from "../../support/graph.ts";
import { scrape } from "../../support/scrape.ts";
import { startThrowawayServer } from "../../support/throwaway-server.ts";
import { until } from "../../support/until.ts";
import { startInstance } from "../support/instance.ts";
import type { MutantName } from "../support/mutants.ts";
import { openClient, type PairClient } from "../support/pair-client.ts";
import { figuresOf, percentile, type Report } from "../support/report.ts";

export interface BurstOptions {
  readonly edges: number;
  /** How long checks are made before the burst. */
  readonly calmMs: number;
  readonly mutant?: MutantName | undefined;
}

/** The task of the thread that imports. */
export interface BurstImport {
  readonly internalUrl: string;
  readonly token: string;
  readonly users: readonly string[];
  readonly edges: number;
}

/** How many edges of a part are acknowledged. */
export interface BurstProgress {
  readonly part: number;
  readonly acknowledged: number;
}

/** The edges are imported in so many imports at once, by messages of so many. */
export const importParts = 2;
export const messageEdges = 1_000;

const userCount = 2_000;
/** No imported edge is between users who are so far apart in the list. */
const [alwaysBlocked, neverBlocked] = [900, 1_000];
const blockedBefore = 200;
const callers = 8;
const checksPerSecond = 400;
const examples = 5;

type Pair = readonly [viewer: string, owner: string];

const userAt = (users: readonly string[], index: number) => users[index % users.length] ?? "";

/** The users of an edge: the first one blocks the second one. No two of a million edges have the same. */
export function edgeAt(users: readonly string[], edge: number): Pair {
  return [userAt(users, edge), userAt(users, edge + 1 + Math.floor(edge / users.length))];
}

/**
 * Imports blocks into an instance while single checks are made at a steady rate, and holds each decision to what was
 * acknowledged before it was asked for.
 */
export async function runBurst({ edges, calmMs, mutant }: BurstOptions): Promise<Report> {
  await using parts = new AsyncDisposableStack();
  const server = await startThrowawayServer();
  parts.defer(() => server.stop());
  const instance = parts.use(await startInstance({ database: server.url, mutant }));
  const clients = Array.from({ length: callers }, () => openClient(instance));
  parts.defer(() => clients.forEach((client) => void client.close()));
  const [client] = clients as [PairClient];
  const users = Array.from({ length: userCount }, () => randomUUID() as string);
  for (let from = 0; from < userCount; from += 1_000) await client.addUsers(users.slice(from, from + 1_000));
  for (let user = 0; user < blockedBefore; user++)
    await client.act("block", userAt(users, user), userAt(users, user + alwaysBlocked));
  await untilGraphReady(instance);

  const burst = new Burst(clients, users, edges);
  const calm = await burst.check(() => setTimeout(calmMs));
  const before = await decisionStatements(instance);
  const { internalUrl, token } = instance;
  const task: BurstImport = { internalUrl, token, users, edges };
  const busy = await burst.check(() => importAll(task, burst.acknowledged));
  const after = await decisionStatements(instance);
  const inGraph = async () => (await scrape(instance.adminUrl)).value("privacy_control_graph_edges") ?? 0;
  await until(async () => (await inGraph()) >= edges + blockedBefore);
  await burst.checkAll();
  const graph = await scrape(instance.adminUrl);

  const figure = figuresOf("burst");
  const [calmP99, busyP99] = [percentile(calm, 99), percentile(busy, 99)];
  return {
    figures: [
      figure("edges in the graph", await inGraph(), { atLeast: edges }),
      figure("loads", graph.value("privacy_control_graph_loads_total") ?? 0, { atMost: 1 }),
      figure("checks meanwhile", busy.length, { atLeast: 10 }),
      figure("wrong decisions", burst.wrong, { atMost: 0 }),
      figure("checks without a decision", burst.unanswered),
      figure("statements for the graph", after.graph - before.graph),
      figure("statements for decisions of the tables", after.tables - before.tables),
      figure("p50 in calm, ms", percentile(calm, 50)),
      figure("p50 meanwhile, ms", percentile(busy, 50)),
      figure("p99 in calm, ms", calmP99),
      figure("p99 meanwhile, ms", busyP99),
      figure("p99 meanwhile, of that in calm", busyP99 / calmP99),
    ],
    notes: burst.notes,
  };
}

/** Makes checks, and knows what they must be answered. */
class Burst {
  readonly #clients: readonly PairClient[];
  readonly #users: readonly string[];
  readonly #partEdges: number;
  /** Edges of each part that are acknowledged. */
  readonly acknowledged = new Array<number>(importParts).fill(0);
  readonly notes: string[] = [];
  wrong = 0;
  unanswered = 0;

  constructor(clients: readonly PairClient[], users: readonly string[], edges: number) {
    this.#clients = clients;
    this.#users = users;
    this.#partEdges = edges / importParts;
  }

  /** Makes checks at a steady rate as long as something lasts. Returns how long each took, in milliseconds. */
  async check(lasts: () => Promise<unknown>): Promise<number[]> {
    const durations: number[] = [];
    let isOver = false;
    let next = performance.now();
    const calling = this.#clients.map(async (client) => {
      while (!isOver) {
        const at = Math.max(next, performance.now());
        next = at + 1_000 / checksPerSecond;
        await setTimeout(Math.max(0, at - performance.now()));
        const begin = performance.now();
        await this.#checkAny(client);
        durations.push(performance.now() - begin);
      }
    });
    await lasts();
    isOver = true;
    await Promise.all(calling);
    return durations;
  }

  /** Checks some edges of each part after all are imported. */
  async checkAll(): Promise<void> {
    const [client] = this.#clients as [PairClient];
    for (let part = 0; part < importParts; part++)
      for (let n = 0; n < 100; n++) await this.#checkEdge(client, part, below(this.#partEdges));
  }

  async #checkAny(client: PairClient): Promise<void> {
    const part = below(importParts);
    const acknowledged = this.acknowledged[part] ?? 0;
    switch (below(5)) {
      case 0:
        return this.#expect(client, this.#pair(below(blockedBefore), alwaysBlocked), "DENY");
      case 1:
        return this.#expect(client, this.#pair(below(userCount), neverBlocked), "ALLOW");
      case 2:
        return this.#checkEdge(client, part, below(this.#partEdges));
      case 3:
        return this.#checkEdge(client, part, below(acknowledged));
      default:
        // Of the message that was acknowledged last.
        return this.#checkEdge(client, part, Math.max(0, acknowledged - 1 - below(messageEdges)));
    }
  }

  /** While the message of an edge is being stored, either answer is right. */
  async #checkEdge(client: PairClient, part: number, edge: number): Promise<void> {
    const isStored = edge < (this.acknowledged[part] ?? 0);
    const pair = edgeAt(this.#users, part * this.#partEdges + edge);
    const mayBeStored = () => edge < (this.acknowledged[part] ?? 0) + messageEdges;
    return this.#expect(client, pair, isStored ? "DENY" : () => (mayBeStored() ? "" : "ALLOW"));
  }

  async #expect(client: PairClient, pair: Pair, expected: string | (() => string)): Promise<void> {
    const answer = (await client.act("check", ...pair).catch(() => undefined)) ?? "";
    const effect = typeof expected === "string" ? expected : expected();
    if (answer === "") this.unanswered++;
    else if (!answer.startsWith(effect)) {
      this.wrong++;
      if (this.notes.length < examples) this.notes.push(`${answer} instead of ${effect}`);
    }
  }

  #pair(user: number, distance: number): Pair {
    return [userAt(this.#users, user), userAt(this.#users, user + distance)];
  }
}

/** Imports all edges by another thread. */
async function importAll(task: BurstImport, acknowledged: number[]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const worker = new Worker(new URL("burst-importer.ts", import.meta.url), { workerData: task });
  worker.on("message", (progress: BurstProgress) => {
    acknowledged[progress.part] = progress.acknowledged;
  });
  worker.on("error", reject);
  worker.on("exit", () => resolve());
  await promise;
}

function below(limit: number): number {
  return Math.floor(Math.random() * limit);
}
