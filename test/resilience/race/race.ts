import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { checkLinearizable, type Operation } from "../support/linearizability.ts";
import { openClient, type PairClient, type Target } from "../support/pair-client.ts";
import { type Action, changes, type PairCall, pairModel } from "../support/pair-model.ts";
import { type Random, randomOf } from "../support/random.ts";

export interface RaceOptions {
  readonly seed: number;
  /** Instances of the service on one database. */
  readonly instances: readonly Target[];
  /** How many operations are answered at least. */
  readonly operations: number;
  readonly clients: number;
  readonly users: number;
  /** Gets in the way meanwhile; the race goes on until it returns. */
  readonly disturb?: (progress: Progress) => Promise<void>;
}

/** How far a race has come. */
export interface Progress {
  /** Whether as many operations have been answered as there should be. */
  enough(): boolean;
  /** Waits until so many more operations have been answered. */
  after(operations: number): Promise<void>;
  /** Waits until everything that was sent before has been answered, or its answer was lost. */
  replies(): Promise<void>;
  /**
   * Marks the operations whose answer was lost until now, on one of the instances or on any. What is returned settles
   * them: to be called when none of them can take effect any more. What is not settled can explain much.
   */
  markLost(target?: Target): () => void;
}

/** What a race came to. */
export interface RaceOutcome {
  /** Operations that were answered. */
  readonly operations: number;
  /** Operations of which it is unknown whether they took effect. */
  readonly lost: number;
  readonly seconds: number;
  readonly pairs: number;
  /** A text for each pair whose history no order of the operations explains. */
  readonly violations: readonly string[];
}

type Recorded = { -readonly [Key in keyof Operation<PairCall>]: Operation<PairCall>[Key] } & {
  readonly target: Target;
};

/** A client of an instance. */
interface Connection {
  readonly target: Target;
  readonly client: PairClient;
}

/** Two users and everything that was done between them. */
interface Pair {
  readonly users: readonly [string, string];
  readonly history: Recorded[];
}

/** As often as it is named. A history of many writes with few reads would explain too much. */
const mix: readonly Action[] = [
  ...(["follow", "follow", "follow", "follow", "unfollow", "unfollow"] as const),
  ...(["block", "blockForADay", "endInADay", "keepForGood", "unblock", "unblock"] as const),
  ...(["muteContent", "muteNotificationsInstead", "unmute"] as const),
  ...(["check", "check", "check", "check", "read", "read", "read"] as const),
];

/** How long a client rests that got no answer: what is lost can explain much. */
const restMs = 100;

/**
 * Lets clients follow, block, mute, undo and change all that, check and read between few users at once, each operation on
 * an instance chosen at random, and judges what each was answered.
 */
export async function race(options: RaceOptions): Promise<RaceOutcome> {
  const { seed, instances, operations, disturb = async () => {} } = options;
  await using opened = new AsyncDisposableStack();
  const clients = Array.from({ length: options.clients }, () =>
    instances.map((target): Connection => ({ target, client: openClient(target) })),
  );
  opened.defer(() => {
    for (const { client } of clients.flat()) client.close();
  });
  const pairs = pairsOf(Array.from({ length: options.users }, () => randomUUID()));
  const [first] = clients.flat() as [Connection];
  await first.client.addUsers([...new Set(pairs.flatMap(({ users }) => users))]);

  const counter = new Counter(operations, pairs);
  const begin = performance.now();
  let disturbed = false;
  const disturbance = disturb(counter).finally(() => {
    disturbed = true;
  });
  await Promise.all([
    disturbance,
    ...clients.map(async (connections, number) => {
      const random = randomOf(seed + number);
      while (!(disturbed && counter.enough())) {
        if (await counter.track(actOnce(connections, pairs, random))) counter.count();
        else await setTimeout(restMs);
      }
    }),
  ]);
  const seconds = (performance.now() - begin) / 1_000;
  for (const pair of pairs) {
    while (!(await record(first, pair, { action: "read", forward: true }))) await setTimeout(restMs);
  }
  return {
    operations: counter.answered,
    lost: pairs.flatMap(({ history }) => history).filter(({ result }) => result === undefined).length,
    seconds,
    pairs: pairs.length,
    violations: pairs.flatMap(judge),
  };
}

class Counter implements Progress {
  readonly #operations: number;
  readonly #pairs: readonly Pair[];
  readonly #waiting = new Map<() => void, number>();
  readonly #sent = new Set<Promise<unknown>>();
  answered = 0;

  constructor(operations: number, pairs: readonly Pair[]) {
    this.#operations = operations;
    this.#pairs = pairs;
  }

  enough(): boolean {
    return this.answered >= this.#operations;
  }

  after(operations: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.set(resolve, this.answered + operations);
    return promise;
  }

  async replies(): Promise<void> {
    await Promise.allSettled(this.#sent);
  }

  markLost(target?: Target): () => void {
    const lost = this.#pairs
      .flatMap(({ history }) => history)
      .filter(({ responded }) => responded === Number.POSITIVE_INFINITY)
      .filter((operation) => target === undefined || operation.target === target);
    return () => {
      const now = performance.now();
      for (const operation of lost) operation.responded = now;
    };
  }

  async track<T>(operation: Promise<T>): Promise<T> {
    this.#sent.add(operation);
    try {
      return await operation;
    } finally {
      this.#sent.delete(operation);
    }
  }

  count(): void {
    this.answered++;
    for (const [resolve, at] of this.#waiting) {
      if (this.answered < at) continue;
      this.#waiting.delete(resolve);
      resolve();
    }
  }
}

function pairsOf(users: readonly string[]): Pair[] {
  return users.flatMap((first, i) =>
    users.slice(i + 1).map((second) => ({ users: [first, second] as const, history: [] })),
  );
}

async function actOnce(connections: readonly Connection[], pairs: readonly Pair[], random: Random) {
  const connection = connections[random.below(connections.length)] as Connection;
  const pair = pairs[random.below(pairs.length)] as Pair;
  const action = mix[random.below(mix.length)] as Action;
  return record(connection, pair, { action, forward: random.below(2) === 0 });
}

/** Returns whether there was an answer. */
async function record(
  { target, client }: Connection,
  { users, history }: Pair,
  call: PairCall,
): Promise<boolean> {
  const [user, other] = call.forward ? users : ([users[1], users[0]] as const);
  const invoked = performance.now();
  const result = await client.act(call.action, user, other);
  const isAnswered = result !== undefined;
  const ended = performance.now();
  const responded = isAnswered ? ended : Number.POSITIVE_INFINITY;
  const inDoubtSince = isAnswered ? undefined : ended;
  // A question that was not answered says nothing.
  if (isAnswered || changes.has(call.action))
    history.push({ call, result, invoked, responded, inDoubtSince, target });
  return isAnswered;
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
