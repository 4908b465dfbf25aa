import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import pg from "pg";
import { AccessService, Effect, Interaction } from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { GraphService } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { Audience, PrivacySetting } from "../../../gen/nexgate/privacy/v1/resources_pb.ts";
import { reasonOf } from "../../../src/call/errors.ts";
import { startFreezingProxy } from "../../support/freezing-proxy.ts";
import { startThrowawayServer, type ThrowawayServer } from "../../support/throwaway-server.ts";
import { type Instance, startInstance } from "../support/instance.ts";
import type { MutantName } from "../support/mutants.ts";
import { type Namespace, openNamespace } from "../support/namespace.ts";
import type { Target } from "../support/pair-client.ts";
import { type Random, randomOf } from "../support/random.ts";
import { type Figure, figuresOf } from "../support/report.ts";

export interface LostPacketsOptions {
  readonly seed: number;
  /** How often a backend is frozen, or the network loses packets, at least: a run goes on until a change is in doubt. */
  readonly faults: number;
  /** Subjects of each kind, each changed by one caller after the other. */
  readonly things: number;
  readonly mutant?: MutantName | undefined;
}

/** What callers saw. */
export interface LostPacketsOutcome {
  readonly faults: number;
  readonly acknowledged: number;
  /** Changes that failed with an unknown outcome. */
  readonly inDoubt: number;
  readonly reads: number;
  /** A description of each read that violated the promise. */
  readonly violations: readonly string[];
}

/** Interrupts the traffic for a while. */
type Fault = (random: Random) => Promise<void>;

const deadlineMs = 400;
/** A run that leaves no change in doubt ends after so many times its faults. */
const maxRepeats = 10;
/** The longest run, even when its calls do not end. */
const patienceMs = 30_000;
const restMs = 5;

/** Freezes single backends of two instances, one after the other. */
export function freezeBackends(options: LostPacketsOptions): Promise<LostPacketsOutcome> {
  return onPostgresql(options, async (server, start) => {
    const instances = [await start(server.url), await start(server.url)];
    return {
      instances,
      fault: async (random) => {
        const pids = await busyBackends(server.url);
        for (const pid of pids) process.kill(pid, "SIGSTOP");
        await setTimeout(600 + random.below(1_000));
        for (const pid of pids) process.kill(pid, "SIGCONT");
        await setTimeout(100);
      },
    };
  });
}

/** Holds back what one of two instances and PostgreSQL send to each other, and delivers it late. */
export function holdPackets(options: LostPacketsOptions, [leastMs, mostMs] = [3_500, 4_500]) {
  return onPostgresql(options, async (server, start, parts) => {
    const proxy = await startFreezingProxy(server.url);
    parts.defer(() => proxy.close());
    const instances = [await start(proxy.url), await start(server.url)];
    return {
      instances,
      fault: async (random) => {
        proxy.freeze();
        await setTimeout(leastMs + random.below(mostMs - leastMs));
        proxy.thaw();
        await setTimeout(500);
      },
    };
  });
}

/** Loses the packets between one of two instances and PostgreSQL, by a network link that is cut. Needs `whyNoNamespace` to be undefined. */
export function losePackets(options: LostPacketsOptions, [leastMs, mostMs] = [3_500, 4_500]) {
  return onPostgresql(options, async (server, start, parts) => {
    const namespace = await openNamespace(server.url);
    parts.defer(() => namespace.close());
    const instances = [await start(namespace.url, namespace), await start(server.url)];
    return {
      instances,
      fault: async (random) => {
        namespace.cut();
        await setTimeout(leastMs + random.below(mostMs - leastMs));
        namespace.mend();
        // TCP sends again what was lost, after pauses that double.
        await setTimeout(leastMs);
      },
    };
  });
}

/** The promises that a run of this kind must keep. */
export function lostPacketsFigures(name: string, outcome: LostPacketsOutcome): Figure[] {
  const figure = figuresOf(name);
  return [
    figure("faults", outcome.faults),
    figure("changes acknowledged", outcome.acknowledged, { atLeast: 1 }),
    figure("changes in doubt", outcome.inDoubt, { atLeast: 1 }),
    figure("reads", outcome.reads, { atLeast: 1 }),
    figure("reads of what no promise allows", outcome.violations.length, { atMost: 0 }),
  ];
}

type Start = (database: string, namespace?: Namespace) => Promise<Instance>;

async function onPostgresql(
  options: LostPacketsOptions,
  prepare: (
    server: ThrowawayServer,
    start: Start,
    parts: AsyncDisposableStack,
  ) => Promise<{ instances: Instance[]; fault: Fault }>,
): Promise<LostPacketsOutcome> {
  await using parts = new AsyncDisposableStack();
  const server = await startThrowawayServer();
  parts.defer(() => server.stop());
  const start: Start = async (database, namespace) =>
    parts.use(await startInstance({ database, namespace, mutant: options.mutant }));
  const { instances, fault } = await prepare(server, start, parts);
  const clients = instances.map(openThingClient);
  parts.defer(() => {
    for (const client of clients) client.close();
  });
  const [first] = clients as [ThingClient];
  const things: Thing[] = [];
  for (let i = 0; i < options.things; i++)
    for (const kind of Object.values(kinds)) things.push(await kind(first));

  const random = randomOf(options.seed);
  const witness = new Witness();
  let over = false;
  let faults = 0;
  const faulting = (async () => {
    const most = options.faults * maxRepeats;
    while (faults < options.faults || (faults < most && witness.outcome().inDoubt === 0)) {
      await fault(random);
      faults++;
    }
    over = true;
  })();
  await Promise.all([
    faulting,
    ...things.map(async (thing, number) => {
      const own = randomOf(options.seed + 1 + number);
      while (!over) {
        await witness.change(
          thing,
          thing.values[own.below(thing.values.length)] as string,
          pick(clients, own),
        );
        await witness.read(thing, pick(clients, own));
        await setTimeout(restMs);
      }
    }),
  ]);
  // A change that is still late at the end has no later change to be compared with.
  await untilIdle(server.url);
  for (const thing of things) await witness.read(thing, pick(clients, random));
  return { ...witness.outcome(), faults };
}

/** Records which values each subject may have, and which were read. */
class Witness {
  readonly #possible = new Map<Thing, Set<string>>();
  readonly #violations: string[] = [];
  #acknowledged = 0;
  #inDoubt = 0;
  #reads = 0;

  /** A subject has the value of the last acknowledged change, or of a change in doubt since then. */
  async change(thing: Thing, value: string, client: ThingClient): Promise<void> {
    if (await isAnswered(() => thing.set(value, client))) {
      this.#acknowledged++;
      this.#possible.set(thing, new Set([value]));
    } else {
      this.#inDoubt++;
      this.#possible.get(thing)?.add(value);
    }
  }

  async read(thing: Thing, client: ThingClient): Promise<void> {
    let found: string | undefined;
    // An unanswered read proves nothing.
    if (!(await isAnswered(async () => (found = await thing.read(client))))) return;
    const possible = this.#possible.get(thing);
    if (possible === undefined || found === undefined) return;
    this.#reads++;
    if (!possible.has(found))
      this.#violations.push(`${thing.name}: found ${found}, possible: ${[...possible].join(", ")}`);
  }

  outcome() {
    return {
      acknowledged: this.#acknowledged,
      inDoubt: this.#inDoubt,
      reads: this.#reads,
      violations: this.#violations,
    };
  }
}

/** Returns false when the outcome of a call is unknown. Throws errors that no caller should see. */
async function isAnswered(call: () => Promise<unknown>): Promise<boolean> {
  try {
    await call();
    return true;
  } catch (failure) {
    const { code } = ConnectError.from(failure);
    if (code === Code.Unavailable || code === Code.DeadlineExceeded || code === Code.ResourceExhausted)
      return false;
    throw failure;
  }
}

/** A subject of changes, which has one of a few values. */
interface Thing {
  readonly name: string;
  readonly values: readonly string[];
  set(value: string, client: ThingClient): Promise<unknown>;
  read(client: ThingClient): Promise<string>;
}

type ThingClient = ReturnType<typeof openThingClient>;

function openThingClient({ internalUrl, token }: Target) {
  const sessionManager = new Http2SessionManager(internalUrl);
  const transport = createGrpcTransport({ baseUrl: internalUrl, sessionManager });
  // The server must enforce the deadline: it may learn too late of a call that its client ended.
  const options = (actor?: string) => ({
    headers: {
      authorization: `Bearer ${token}`,
      "grpc-timeout": `${deadlineMs}m`,
      ...(actor === undefined ? {} : { "x-acting-user": actor }),
    },
    signal: AbortSignal.timeout(patienceMs),
  });
  const untimed = () => ({
    headers: { authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(patienceMs),
  });
  return {
    access: createClient(AccessService, transport),
    graph: createClient(GraphService, transport),
    control: createClient(PrivacyControlService, transport),
    options,
    untimed,
    close: () => sessionManager.abort(),
  };
}

async function newUsers({ graph, untimed }: ThingClient, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => randomUUID());
  await graph.upsertUsers({ users: ids.map((id) => ({ id, userName: id })) }, untimed());
  return ids;
}

/** Repeats a change that may have taken effect already. */
async function unlessDone(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (failure) {
    const reason = reasonOf(ConnectError.from(failure));
    if (reason !== "USER_ALREADY_BLOCKED" && reason !== "USER_ALREADY_MUTED") throw failure;
  }
}

/** The kinds of subjects. Each makes one, with users of its own. */
const kinds: Record<string, (client: ThingClient) => Promise<Thing>> = {
  /** As decisions and the list show it, which must agree. */
  async block(first) {
    const [user, other] = (await newUsers(first, 2)) as [string, string];
    return {
      name: "block",
      values: ["blocked", "not blocked"],
      set: (value, { control, options }) =>
        value === "blocked"
          ? unlessDone(control.blockUser({ userId: other }, options(user)))
          : control.unblockUser({ userId: other }, options(user)),
      async read({ access, options }) {
        const viewer = { case: "viewerId", value: other } as const;
        const { effect } = await access.checkAccess(
          { viewer, ownerId: user, interaction: Interaction.FOLLOW },
          options(),
        );
        return effect === Effect.DENY ? "blocked" : "not blocked";
      },
    };
  },
  async "listed block"(first) {
    const [user, other] = (await newUsers(first, 2)) as [string, string];
    return {
      name: "listed block",
      values: ["blocked", "not blocked"],
      set: (value, { control, options }) =>
        value === "blocked"
          ? unlessDone(control.blockUser({ userId: other }, options(user)))
          : control.unblockUser({ userId: other }, options(user)),
      async read({ control, options }) {
        const { blocks } = await control.listBlockedUsers({}, options(user));
        return blocks.length > 0 ? "blocked" : "not blocked";
      },
    };
  },
  async mute(first) {
    const [user, other] = (await newUsers(first, 2)) as [string, string];
    return {
      name: "mute",
      values: ["muted", "not muted"],
      set: (value, { control, options }) =>
        value === "muted"
          ? unlessDone(control.muteUser({ userId: other }, options(user)))
          : control.unmuteUser({ userId: other }, options(user)),
      async read({ graph, options }) {
        const { muting } = await graph.getRelationship({ userId: user, otherUserId: other }, options());
        return muting ? "muted" : "not muted";
      },
    };
  },
  async follow(first) {
    const [followerId, followeeId] = (await newUsers(first, 2)) as [string, string];
    return {
      name: "follow",
      values: ["followed", "not followed"],
      set: (value, { graph, options }) =>
        value === "followed"
          ? graph.followUser({ followerId, followeeId }, options())
          : graph.unfollowUser({ followerId, followeeId }, options()),
      async read({ graph, options }) {
        const { following } = await graph.getRelationship(
          { userId: followerId, otherUserId: followeeId },
          options(),
        );
        return following ? "followed" : "not followed";
      },
    };
  },
  async setting(first) {
    const [user] = (await newUsers(first, 1)) as [string];
    const audiences = [Audience.ALL, Audience.CONTACTS, Audience.NONE];
    return {
      name: "setting",
      values: audiences.map(String),
      set: (value, { control, options }) =>
        control.updatePrivacySetting(
          { setting: PrivacySetting.GROUPS, value: Number(value) as Audience },
          options(user),
        ),
      async read({ control, options }) {
        const { settings } = await control.getPrivacySettings({}, options(user));
        return String(settings?.groups);
      },
    };
  },
  async user(first) {
    const [id] = (await newUsers(first, 1)) as [string];
    return {
      name: "user",
      values: ["Ann", "Bea", "Cat"],
      set: (firstName, { graph, options }) =>
        graph.upsertUsers({ users: [{ id, userName: id, firstName }] }, options()),
      async read({ graph, options }) {
        const { user } = await graph.getUser({ userId: id }, options());
        return user?.firstName ?? "";
      },
    };
  },
};

function pick<T>(of: readonly T[], random: Random): T {
  return of[random.below(of.length)] as T;
}

/** Backends of pools of changes, those at work first. */
async function busyBackends(url: string): Promise<number[]> {
  const rows = await ask<{ pid: number }>(
    url,
    `select pid from pg_stat_activity
      where application_name = 'privacy-control' and (state <> 'idle' or query = 'commit')
      order by state = 'idle', random() limit 4`,
  );
  return rows.map(({ pid }) => pid);
}

async function untilIdle(url: string): Promise<void> {
  const busy = "select from pg_stat_activity where application_name = 'privacy-control' and state <> 'idle'";
  while ((await ask(url, busy)).length > 0) await setTimeout(restMs);
}

async function ask<Row extends pg.QueryResultRow>(url: string, question: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(question)).rows;
  } finally {
    await client.end();
  }
}
