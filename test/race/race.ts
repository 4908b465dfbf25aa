import { randomUUID } from "node:crypto";
import pg from "pg";
import { checkLinearizable, type Operation } from "./linearizability.ts";
import { type Instance, openClient, type PairClient } from "./pair-client.ts";
import { type Action, type PairCall, pairModel } from "./pair-model.ts";
import { type Random, randomOf } from "./random.ts";

export interface RaceOptions {
  readonly seed: number;
  /** Instances of the service on one database. */
  readonly instances: readonly Instance[];
  readonly databaseUrl: string;
  readonly operations: number;
  readonly clients: number;
  readonly users: number;
  /** Ends a connection of the database every so many operations. */
  readonly cutEvery?: number;
}

/** What a race came to. */
export interface RaceOutcome {
  readonly operations: number;
  /** Operations of which it is unknown whether they took effect. */
  readonly lost: number;
  readonly seconds: number;
  readonly pairs: number;
  /** A text for each pair whose history no order of the operations explains. */
  readonly violations: readonly string[];
  /** How many follows stand across a block in the whole database. */
  readonly across: number;
}

/** Two users and everything that was done between them. */
interface Pair {
  readonly users: readonly [string, string];
  readonly history: Operation<PairCall>[];
}

/** As often as it is named. A history of many writes with few reads would explain too much. */
const mix: readonly Action[] = ["follow", "follow", "unfollow", "block", "unblock", "check", "check", "read"];

/**
 * Lets clients follow, unfollow, block, unblock, check and read between few users at once, each operation on an
 * instance chosen at random, and judges what each was answered.
 */
export async function race(options: RaceOptions): Promise<RaceOutcome> {
  const { seed, instances, databaseUrl, operations, cutEvery = Number.POSITIVE_INFINITY } = options;
  await using opened = new AsyncDisposableStack();
  const admin = new pg.Client({ connectionString: databaseUrl });
  await admin.connect();
  opened.defer(() => admin.end());
  const clients = Array.from({ length: options.clients }, () => instances.map(openClient));
  opened.defer(() => {
    for (const client of clients.flat()) client.close();
  });
  const pairs = pairsOf(Array.from({ length: options.users }, () => randomUUID()));
  await clients[0]?.[0]?.addUsers([...new Set(pairs.flatMap(({ users }) => users))]);

  let started = 0;
  const begin = performance.now();
  await Promise.all(
    clients.map(async (connections, number) => {
      const random = randomOf(seed + number);
      while (started < operations) {
        started++;
        if (started % cutEvery === 0) await cutConnection(admin);
        await actOnce(connections, pairs, random);
      }
    }),
  );
  const seconds = (performance.now() - begin) / 1_000;
  for (const pair of pairs)
    await record(clients[0]?.[0] as PairClient, pair, { action: "read", forward: true });
  return {
    operations,
    lost: pairs.flatMap(({ history }) => history).filter(({ result }) => result === undefined).length,
    seconds,
    pairs: pairs.length,
    violations: pairs.flatMap(judge),
    across: await countAcross(admin),
  };
}

function pairsOf(users: readonly string[]): Pair[] {
  return users.flatMap((first, i) =>
    users.slice(i + 1).map((second) => ({ users: [first, second] as const, history: [] })),
  );
}

async function actOnce(connections: readonly PairClient[], pairs: readonly Pair[], random: Random) {
  const client = connections[random.below(connections.length)] as PairClient;
  const pair = pairs[random.below(pairs.length)] as Pair;
  const action = mix[random.below(mix.length)] as Action;
  await record(client, pair, { action, forward: random.below(2) === 0 });
}

async function record(client: PairClient, { users, history }: Pair, call: PairCall): Promise<void> {
  const [user, other] = call.forward ? users : ([users[1], users[0]] as const);
  const invoked = performance.now();
  const result = await client.act(call.action, user, other);
  const responded = result === undefined ? Number.POSITIVE_INFINITY : performance.now();
  history.push({ call, result, invoked, responded });
}

async function cutConnection(admin: pg.Client): Promise<void> {
  await admin.query(`
    select pg_terminate_backend(pid) from (
      select pid from pg_stat_activity
      where application_name = 'privacy-control' and datname = current_database() and state <> 'idle'
      order by random() limit 1
    ) one`);
}

async function countAcross(admin: pg.Client): Promise<number> {
  const { rowCount } = await admin.query(`
    select from follows f where exists (
      select from blocks b
      where (b.blocker_id, b.blocked_id) in ((f.follower_id, f.followee_id), (f.followee_id, f.follower_id))
    )`);
  return rowCount ?? 0;
}

/** A text that shows the violation and the operations near it; nothing for a good history. */
function judge({ users, history }: Pair): string[] {
  const verdict = checkLinearizable(pairModel, history);
  if (verdict.linearizable) return [];
  const { invoked, responded } = verdict.operation;
  const near = history
    .filter((other) => other.responded >= invoked - 20 && other.invoked <= responded)
    .sort((a, b) => a.invoked - b.invoked)
    .map((operation) => `  ${operation === verdict.operation ? "*" : " "} ${describe(operation)}`);
  return [
    [`${users.join(" > ")}: nothing explains * from states ${verdict.states.join(", ")}`, ...near].join("\n"),
  ];
}

function describe({ call, result, invoked, responded }: Operation<PairCall>): string {
  return `${invoked.toFixed(3)}-${responded.toFixed(3)} ${pairModel.nameOf(call)} ${result ?? "lost"}`;
}
