import { Code, ConnectError } from "@connectrpc/connect";

/** A change of what one module exports. */
interface Replacement {
  /** A path from the root of the project, or the name of a package. */
  readonly module: string;
  /** Makes each export that is replaced out of the original. */
  readonly exports: Readonly<Record<string, (original: never) => unknown>>;
}

/** The service without one of its protections. */
interface Mutant {
  readonly replacements?: readonly Replacement[];
  readonly environment?: Readonly<Record<string, string>>;
}

type Exports<Module> = { readonly [Name in keyof Module]?: (original: Module[Name]) => Module[Name] };

/** Held to the types of the module, so that a mutant cannot outlive what it replaces. */
function replace<Module>(module: string, exports: Exports<Module>): Replacement {
  return { module, exports: exports as Replacement["exports"] };
}

type Executor = typeof import("../../../src/store/executor.ts");
type Transaction = InstanceType<Executor["SqlExecutor"]>["transaction"];
type ChangeLogModule = typeof import("../../../src/store/change-log.ts");
type Limits = typeof import("../../../src/http/listener-limits.ts");
type ReadIndexModule = typeof import("../../../src/store/read-index.ts");
type ReadIndexClass = InstanceType<ReadIndexModule["ReadIndex"]>;

const executorPath = "src/store/executor.ts";

/** Replaces the class that runs statements by one derived from it. */
const executor = (SqlExecutor: (original: Executor["SqlExecutor"]) => Executor["SqlExecutor"]): Mutant => ({
  replacements: [replace<Executor>(executorPath, { SqlExecutor })],
});

type ReplicaCopyModule = typeof import("../../../src/client/replica-copy.ts");
type ReplicaCopy = InstanceType<ReplicaCopyModule["ReplicaCopy"]>;

/** Replaces the copy of a replica by one of a class derived from it. */
const copy = (
  ReplicaCopy: (original: ReplicaCopyModule["ReplicaCopy"]) => ReplicaCopyModule["ReplicaCopy"],
): Mutant => ({
  replacements: [replace<ReplicaCopyModule>("src/client/replica-copy.ts", { ReplicaCopy })],
});

type ChangeLogClass = InstanceType<ChangeLogModule["ChangeLog"]>;
type Changes = Awaited<ReturnType<ChangeLogClass["read"]>>;
type Ask = <Row>(sql: string, parameter: unknown) => Promise<Row[]>;

/** Changes what is read between two ticks, of which `from` is the snapshot of the earlier one. */
const changeLog = (change: (read: Changes, from: string, ask: Ask) => Promise<Changes>): Mutant => ({
  replacements: [
    replace<ChangeLogModule>("src/store/change-log.ts", {
      ChangeLog: (original) =>
        class extends original {
          readonly #ask: Ask;

          constructor(executor: ConstructorParameters<typeof original>[0]) {
            super(executor);
            this.#ask = (sql, parameter) => executor.read({ sql, parameters: [parameter] } as never);
          }

          override async read(...[from, ...rest]: Parameters<ChangeLogClass["read"]>): Promise<Changes> {
            return change(await super.read(from, ...rest), from.snapshot, this.#ask);
          }
        },
    }),
  ],
});

const listenerLimits = (changed: Partial<Limits["publicLimits"]>): Mutant => {
  const change = (limits: Limits["publicLimits"]) => ({ ...limits, ...changed });
  const exports = { publicLimits: change, internalLimits: change };
  return { replacements: [replace<Limits>("src/http/listener-limits.ts", exports)] };
};

/**
 * Every run must fail on a mutant of its own, or it proves nothing. A mutant exists in the process of a test alone, into
 * which `inject-mutant.ts` brings it. This module loads nothing of the service: what is loaded before the
 * injection stays as it is.
 */
export const mutants = {
  "no scope check": {
    replacements: [
      replace<typeof import("../../../src/call/auth/tokens.ts")>("src/call/auth/tokens.ts", {
        tokenVerifier: (original) => (keys, rules, options) => {
          const verify = original(keys, rules, options);
          const scopes = Object.assign(new Set<string>(), { has: () => true });
          return (authorization) => {
            const claims = verify(authorization);
            if (!(claims instanceof Promise)) return { ...claims, scopes };
            return claims.then((verified) => ({ ...verified, scopes }));
          };
        },
      }),
    ],
  },
  "any algorithm": {
    replacements: [
      replace<typeof import("jose")>("jose", {
        jwtVerify: (original) =>
          ((token: string, key: Uint8Array, options: object) =>
            original(token, key, { ...options, algorithms: undefined } as object)) as never,
      }),
    ],
  },
  "keys of any age": {
    replacements: [
      replace<typeof import("../../../src/call/auth/remote-jwks.ts")>("src/call/auth/remote-jwks.ts", {
        RemoteJwks: (original) =>
          class extends original {
            constructor(...[url, options]: ConstructorParameters<typeof original>) {
              super(url, { ...options, now: () => 0 });
            }
          },
      }),
    ],
  },
  "no check of authorities": {
    replacements: [
      replace<typeof import("../../../src/http/normalize-request.ts")>("src/http/normalize-request.ts", {
        authorityCheck: () => () => () => true,
      }),
    ],
  },
  "no check of framing": {
    replacements: [
      replace<typeof import("../../../src/http/normalize-request.ts")>("src/http/normalize-request.ts", {
        isAmbiguous: () => () => false,
      }),
    ],
  },
  "no guard of percent-encoding": {
    replacements: [
      replace<typeof import("../../../src/rest/request-reader.ts")>("src/rest/request-reader.ts", {
        compileRequestReader:
          (original) =>
          (...rule) => {
            const reader = original(...rule);
            return {
              ...reader,
              readPath: (segments, into) => {
                for (const segment of segments) decodeURIComponent(segment);
                return reader.readPath(segments, into);
              },
              readQuery: (query, into) => {
                decodeURIComponent(query.replaceAll("+", " "));
                return reader.readQuery(query, into);
              },
            };
          },
      }),
    ],
  },
  /** A list that a merge patch clears is null. */
  "no clearing of lists": {
    replacements: [
      replace<typeof import("../../../src/rest/message-json.ts")>("src/rest/message-json.ts", {
        mergePatchReader:
          (original) =>
          (...parts) => {
            const read = original(...parts);
            return (json, path, into) => {
              const given = read(json, path, into);
              for (const { fieldKind, name, localName } of given)
                if (fieldKind === "list" && json[name] === null) Object.assign(into, { [localName]: null });
              return given;
            };
          },
      }),
    ],
  },
  /** What the sender did wrong counts as the service's own fault, as Connect has it. */
  "no blame of senders": {
    replacements: [
      replace<typeof import("../../../src/call/errors.ts")>("src/call/errors.ts", {
        toConnectError: (original) => (failure) => {
          const isInternal = failure instanceof ConnectError && failure.code === Code.Internal;
          return original(isInternal && failure.details.length === 0 ? new Error(failure.message) : failure);
        },
      }),
    ],
  },
  "no time limits": listenerLimits({ handshakeMs: 3_600_000, sweepMs: 3_600_000 }),
  "no bound of bytes": listenerLimits({ requestMemoryBytes: Number.POSITIVE_INFINITY }),
  /** Reads whether the target blocks anyone, and takes longer when it does not; the answers are the same. */
  "an early return for who is blocked": {
    replacements: [
      replace<typeof import("../../../src/store/database.ts")>("src/store/database.ts", {
        openDatabase: (original) => async (options) => {
          const database = await original(options);
          const { blocks } = database;
          const unblock = blocks.unblock.bind(blocks);
          const slowly: typeof unblock = async (actor, target, ...rest) => {
            if ((await blocks.list(target, 1)).length === 0)
              for (let i = 0; i < 20; i++) await blocks.list(actor, 1);
            return unblock(actor, target, ...rest);
          };
          Object.assign(blocks, { unblock: slowly });
          return database;
        },
      }),
    ],
  },

  /** No limits of callers. */
  unlimited: {
    environment: { RATE_WRITES_PER_MINUTE: "0", MAX_CALLS_IN_FLIGHT: "0", MAX_CALLS_IN_FLIGHT_PER_USER: "0" },
  },
  /** No limit of one user's calls in flight. */
  wide: { environment: { MAX_CALLS_IN_FLIGHT_PER_USER: "0" } },
  /** A caller beyond a limit is refused without delay. */
  prompt: {
    replacements: [
      replace<typeof import("../../../src/call/rate-limits/rate-limits.ts")>(
        "src/call/rate-limits/rate-limits.ts",
        { delayRejection: () => async () => {} },
      ),
    ],
  },
  /** Everything is taken, however much there is. */
  unbounded: {
    environment: { MAX_CALLS_IN_FLIGHT: "0", MAX_SERVICE_CALLS_IN_FLIGHT: "0" },
    replacements: [
      replace<typeof import("../../../src/service/check-batcher.ts")>("src/service/check-batcher.ts", {
        CheckBatcher: (original) =>
          class<Query, Result> extends original<Query, Result> {
            override get isFull(): boolean {
              return false;
            }
          },
      }),
    ],
  },
  /** The service ends at once when it is stopped. */
  exit: {
    replacements: [
      replace<typeof import("../../../src/stop-on-signal.ts")>("src/stop-on-signal.ts", {
        stopOnSignal: () => () => {
          process.once("SIGTERM", () => process.exit());
          return () => {};
        },
      }),
    ],
  },

  /** Answers a transaction before it is committed. */
  early: executor(
    (original) =>
      class extends original {
        override transaction: Transaction = (work, ...rest) => {
          const { promise, resolve, reject } = Promise.withResolvers<Awaited<ReturnType<typeof work>>>();
          const answering = async (run: Parameters<typeof work>[0]) => {
            const result = await work(run);
            resolve(result);
            return result;
          };
          super.transaction(answering, ...rest).catch(reject);
          return promise;
        };
      },
  ),
  /** Does not cancel the statements of callers who no longer wait. */
  uncancelled: executor(
    (original) =>
      class extends original {
        override read: InstanceType<typeof original>["read"] = (statement, signal) =>
          abandoned(super.read(statement), signal);
        override transaction: Transaction = (work, options) =>
          abandoned(super.transaction(work, { ...options, signal: undefined }), options?.signal);
      },
  ),
  /** Commits without asking whether the caller still waits. */
  "a commit for nobody": executor(
    (original) =>
      class extends original {
        override transaction: Transaction = (work, options) => {
          const signal = options?.signal;
          if (signal !== undefined) Object.defineProperty(signal, "throwIfAborted", { value: () => {} });
          return super.transaction(work, options);
        };
      },
  ),
  /** Every statement is sent at once and takes effect alone: there is no begin to wait for, and no commit. */
  "changes outside of transactions": {
    replacements: [
      replace<typeof import("../../../src/store/connection.ts")>("src/store/connection.ts", {
        withConnection:
          (original) =>
          (pool, work, ...rest) =>
            original(
              pool,
              ({ connection, ...use }) =>
                work({
                  ...use,
                  connection: {
                    query: (statement) => connection.query(statement),
                    execute: async () => {},
                    cancel: () => connection.cancel(),
                  },
                }),
              ...rest,
            ),
      }),
    ],
  },
  /** Waits for as long as the database takes. */
  patient: {
    replacements: [
      replace<typeof import("../../../src/store/database.ts")>("src/store/database.ts", {
        openDatabase: (original) => async (options) => {
          const url = new URL(options.url ?? "");
          for (const name of ["lock_timeout", "statement_timeout", "query_timeout"])
            url.searchParams.set(name, "3600000");
          return { ...(await original({ ...options, url: url.href })), watchAvailability: () => {} };
        },
      }),
    ],
  },
  /** Keeps the connections to a server that was replaced. */
  stale: {
    replacements: [
      replace<typeof import("../../../src/store/pg-pool.ts")>("src/store/pg-pool.ts", {
        PgPool: (original) =>
          class extends original {
            override closeConnections = () => {};
          },
      }),
    ],
  },
  /** Reads on after the highest sequence number that was seen. */
  "changes after the last sequence number": changeLog(async (read, from, ask) => {
    const [last] = await ask<{ seq: string }>(
      "select coalesce(max(seq), 0)::text as seq from changes where pg_visible_in_snapshot(xid, $1::pg_snapshot)",
      from,
    );
    return read.filter(({ version }) => version > BigInt(last?.seq ?? 0));
  }),
  "changes in the order of transactions": changeLog(async (read, _, ask) => {
    const rows = await ask<{ seq: string }>(
      "select seq::text from changes where seq = any ($1::bigint[]) order by xid, changes.seq",
      read.map(({ version }) => version.toString()),
    );
    const byVersion = new Map(read.map((change) => [change.version, change]));
    return rows.flatMap(({ seq }) => byVersion.get(BigInt(seq)) ?? []);
  }),
  /** No protection is taken out: batches and snapshots of few changes have several pages. */
  "pages of ten changes": {
    replacements: [
      replace<typeof import("../../../src/service/change-ring.ts")>("src/service/change-ring.ts", {
        pageSize: () => 10,
      }),
    ],
  },
  /** Takes a transaction that was running at a tick for one that the tick sees. */
  "ticks without running transactions": {
    replacements: [
      replace<ChangeLogModule>("src/store/change-log.ts", {
        ChangeLog: (original) =>
          class extends original {
            override read: InstanceType<typeof original>["read"] = (from, ...rest) =>
              super.read({ ...from, snapshot: from.snapshot.replace(/[^:]*$/, "") }, ...rest);
          },
      }),
    ],
  },
  /** Goes on from the tick before one that was lost. */
  "lost ticks go unnoticed": {
    replacements: [
      replace<ChangeLogModule>("src/store/change-log.ts", {
        ChangeLog: (original) =>
          class extends original {
            readonly #ask: Ask;

            constructor(executor: ConstructorParameters<typeof original>[0]) {
              super(executor);
              this.#ask = (sql, parameter) => executor.read({ sql, parameters: [parameter] } as never);
            }

            override findTick: ChangeLogClass["findTick"] = async (name, ...rest) =>
              super.findTick(await this.#stored(name), ...rest);
            override ticksAfter: ChangeLogClass["ticksAfter"] = async (name, ...rest) =>
              super.ticksAfter(await this.#stored(name), ...rest);
            override read: ChangeLogClass["read"] = async (from, ...rest) =>
              super.read({ ...from, ...(await this.#stored(from)) }, ...rest);

            async #stored({ id, nonce }: { id: bigint; nonce: string }) {
              const sql = "select id::text, nonce from ticks where id <= $1::bigint order by id desc limit 1";
              const [tick] = await this.#ask<{ id: string; nonce: string }>(sql, id.toString());
              return tick === undefined ? { id, nonce } : { id: BigInt(tick.id), nonce: tick.nonce };
            }
          },
      }),
    ],
  },
  /** The graph answers by what it happens to have. */
  "decisions without asking the database": {
    replacements: [
      replace<typeof import("../../../src/service/relationship-index.ts")>(
        "src/service/relationship-index.ts",
        {
          RelationshipIndex: (original) =>
            class extends original {
              override confirm = async () => this.mode === "ready";
            },
        },
      ),
    ],
  },
  "graph changes in the order of transactions": {
    replacements: [
      replace<ReadIndexModule>("src/store/read-index.ts", {
        ReadIndex: (original) =>
          class extends original {
            override read: ReadIndexClass["read"] = async (...start) => {
              const read = await super.read(...start);
              const changes = read?.changes?.toSorted((a, b) => Number(a.xid - b.xid));
              return read && { ...read, changes };
            };
          },
      }),
    ],
  },
  /** Takes another session of the server for the one that has read the snapshot. */
  "a lost session is carried on": {
    replacements: [
      replace<ReadIndexModule>("src/store/read-index.ts", {
        ReadIndex: (original) =>
          class extends original {
            override read: ReadIndexClass["read"] = async (start, ...rest) =>
              (await super.read(start, ...rest)) ??
              super.read({ ...start, session: await this.begin() }, ...rest);
          },
      }),
      replace<typeof import("../../../src/service/graph-journal.ts")>("src/service/graph-journal.ts", {
        GraphJournal: (original) =>
          class extends original {
            override rollBack = () => true;
          },
      }),
    ],
  },
  "expiries are forgotten": {
    replacements: [
      replace<typeof import("../../../src/graph/relationship-graph.ts")>("src/graph/relationship-graph.ts", {
        RelationshipGraph: (original) =>
          class extends original {
            override decide: InstanceType<typeof original>["decide"] = (query) => super.decide(query, 0);
          },
      }),
    ],
  },
  "age not counted while disconnected": {
    replacements: [
      replace<typeof import("../../../src/client/replica-follower.ts")>("src/client/replica-follower.ts", {
        ReplicaFollower: (original) =>
          class extends original {
            override get currentAt(): number {
              return this.isConnected || !Number.isFinite(super.currentAt)
                ? super.currentAt
                : this.clock.now();
            }
          },
      }),
    ],
  },
  /** Takes what the signs of life say for the age of the copy, whatever time they bring. */
  "signs of life make a copy current": {
    replacements: [
      replace<typeof import("../../../src/client/replica-follower.ts")>("src/client/replica-follower.ts", {
        ReplicaFollower: (original) =>
          class extends original {
            override get currentAt(): number {
              return this.isConnected && Number.isFinite(super.currentAt)
                ? this.clock.now()
                : super.currentAt;
            }
          },
      }),
    ],
  },
  "half of a moment is applied": copy(
    (original) =>
      class extends original {
        override take(message: Parameters<ReplicaCopy["take"]>[0]): Promise<void> {
          return super.take(this.isLoaded ? { ...message, complete: true } : message);
        }
      },
  ),
  "a copy answers while it is loaded": copy(
    (original) =>
      class extends original {
        override get isLoaded(): boolean {
          return true;
        }
        override get throughMicros(): number {
          return super.throughMicros ?? Date.now() * 1_000;
        }
      },
  ),
  "the cursor is kept when a copy is loaded anew": copy((original) => {
    let kept: string | undefined;
    return class extends original {
      override cursor = kept;
      override async take(message: Parameters<ReplicaCopy["take"]>[0]): Promise<void> {
        await super.take(message);
        kept = this.cursor;
      }
    };
  }),
  /** Keeps 1 KB of every call. */
  leaky: executor((original) => {
    const kept: unknown[] = [];
    const leak = () => kept.push(new Array(128).fill(0));
    return class extends original {
      override read: InstanceType<typeof original>["read"] = (...args) => {
        leak();
        return super.read(...args);
      };
      override transaction: Transaction = (...args) => {
        leak();
        return super.transaction(...args);
      };
    };
  }),
} satisfies Record<string, Mutant>;

export type MutantName = keyof typeof mutants;

export function mutantOf(name: MutantName): Mutant {
  return mutants[name];
}

function abandoned<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  if (signal?.aborted) reject(signal.reason);
  signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  work.then(resolve, reject);
  return promise;
}
