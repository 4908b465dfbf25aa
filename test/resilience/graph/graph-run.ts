import { randomUUID } from "node:crypto";
import pg from "pg";
import { decisionStatements, untilGraphReady } from "../../support/graph.ts";
import { startThrowawayServer, type ThrowawayServer } from "../../support/throwaway-server.ts";
import { until } from "../../support/until.ts";
import { type Instance, startInstance } from "../support/instance.ts";
import type { MutantName } from "../support/mutants.ts";
import { openClient, type PairClient } from "../support/pair-client.ts";
import type { Report } from "../support/report.ts";
import { killServer } from "../support/server-faults.ts";

export interface GraphRunOptions {
  readonly rounds: number;
  readonly mutant?: MutantName | undefined;
}

/** Changes of each round that are asked about at once. */
const changesAtOnce = 20;
const lastsMs = 200;
const [allowed, denied] = ["ALLOW UNSPECIFIED", "DENY BLOCKING"];

const insertBlock = `insert into blocks (blocker_id, blocked_id, id, created_at, expires_at)
  values ($1, $2, gen_random_uuid(), now(), coalesce(now() + $3::interval, 'infinity'))`;
const deleteBlock = "delete from blocks where blocker_id = $1 and blocked_id = $2";

interface Stage {
  readonly server: ThrowawayServer;
  readonly instance: Instance;
  readonly client: PairClient;
  /** Records a check and what it must be answered. */
  expect(kind: string, pair: Pair, expected: string): Promise<void>;
  newPair(): Promise<Pair>;
}

type Pair = readonly [viewer: string, owner: string];

/**
 * Changes the tables of an instance by SQL, and asks for a decision about each change at once: changes of transactions that
 * overlap, blocks at the moment when they end, and blocks that a crash of the server loses.
 */
export async function runGraph({ rounds, mutant }: GraphRunOptions): Promise<Report> {
  await using parts = new AsyncDisposableStack();
  const server = await startThrowawayServer({
    durable: true,
    settings: ["synchronous_commit=off", "wal_writer_delay=10s"],
  });
  parts.defer(() => server.stop());
  const instance = parts.use(await startInstance({ database: server.url, mutant }));
  const client = openClient(instance);
  parts.defer(() => client.close());
  const wrong = new Map<string, number>();
  const notes: string[] = [];
  let checks = 0;
  const stage: Stage = {
    server,
    instance,
    client,
    async expect(kind, pair, expected) {
      checks++;
      let answer: string | undefined;
      // A call that fails, as one may right after a crash, is no decision.
      await until(async () => {
        answer = await client.act("check", ...pair).catch(String);
        return answer !== undefined;
      });
      if (!wrong.has(kind)) wrong.set(kind, 0);
      if (answer === expected) return;
      wrong.set(kind, (wrong.get(kind) ?? 0) + 1);
      notes.push(`${kind}: ${answer} instead of ${expected}`);
    },
    async newPair() {
      const pair = [randomUUID(), randomUUID()] as const;
      await client.addUsers(pair);
      return pair;
    },
  };
  for (let round = 0; round < rounds; round++) {
    await untilGraphReady(instance);
    await withAdmin(server, async (admin) => {
      await askAtOnce(stage, admin);
      await overlap(stage, admin);
      await letEnd(stage, admin);
    });
    await loseCommits(stage);
  }
  const { graph, tables } = await decisionStatements(instance);
  return {
    figures: [
      { name: "checks", value: checks, atLeast: rounds },
      ...[...wrong].map(([kind, value]) => ({ name: `wrong decisions, ${kind}`, value, atMost: 0 })),
      { name: "statements for the graph", value: graph, atLeast: mutant === undefined ? checks / 2 : 0 },
      { name: "statements for decisions of the tables", value: tables, atMost: checks / 2 },
    ],
    notes: notes.slice(0, 5),
  };
}

async function askAtOnce({ newPair, expect }: Stage, admin: pg.Client): Promise<void> {
  const pair = await newPair();
  for (let change = 0; change < changesAtOnce; change++) {
    await admin.query(insertBlock, [...pair, null]);
    await expect("asked at once", pair, denied);
    await admin.query(deleteBlock, [...pair]);
    await expect("asked at once", pair, allowed);
  }
}

/** The transaction that began first makes the last change. */
async function overlap({ server, newPair, expect }: Stage, admin: pg.Client): Promise<void> {
  const pair = await newPair();
  const other = await newPair();
  await withAdmin(server, async (first) => {
    await first.query("begin");
    await first.query(insertBlock, [...other, null]);
    await admin.query(insertBlock, [...pair, null]);
    await first.query(deleteBlock, [...pair]);
    await first.query("commit");
  });
  await expect("of transactions that overlap", pair, allowed);
  await expect("of transactions that overlap", other, denied);
}

async function letEnd({ newPair, expect }: Stage, admin: pg.Client): Promise<void> {
  const pair = await newPair();
  await admin.query(insertBlock, [...pair, `${lastsMs} ms`]);
  await admin.query("select pg_sleep($1::float8)", [lastsMs / 1_000]);
  await expect("of a block that has ended", pair, allowed);
}

/** A block is seen, and lost in a crash. */
async function loseCommits({ server, instance, newPair, expect }: Stage): Promise<void> {
  const pair = await newPair();
  await withAdmin(server, async (admin) => {
    await admin.query("checkpoint");
    await untilGraphReady(instance);
    await admin.query(insertBlock, [...pair, null]);
    await expect("before a crash", pair, denied);
    await killServer(server);
  });
  await server.restart();
  await instance.untilReady();
  await untilGraphReady(instance);
  await withAdmin(server, async (admin) => {
    const { rowCount } = await admin.query("select from blocks where blocker_id = $1", [pair[0]]);
    await expect("after a crash", pair, rowCount === 0 ? allowed : denied);
  });
}

async function withAdmin<T>(server: ThrowawayServer, work: (admin: pg.Client) => Promise<T>): Promise<T> {
  const admin = new pg.Client(server.url);
  admin.on("error", () => {});
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.end().catch(() => {});
  }
}
