import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import pg from "pg";
import { type ChangeKind, changeKinds } from "../../../src/domain/changes.ts";
import { startThrowawayServer, type ThrowawayServer } from "../../support/throwaway-server.ts";
import { type Instance, startInstance } from "../support/instance.ts";
import type { MutantName } from "../support/mutants.ts";
import { randomOf } from "../support/random.ts";
import { type Figure, Problems, type Report } from "../support/report.ts";
import { killServer } from "../support/server-faults.ts";
import { addUsers, openApiWriter, type Writer } from "./api-writers.ts";
import { openChangeClient } from "./change-client.ts";
import { differences, readTables } from "./copy.ts";
import { Follower, type Habits, type Sessions } from "./follower.ts";
import { endPrepared, openSqlWriter, sqlWriterName, type Transactions } from "./sql-writer.ts";
import { isTriggerMutant, replaceTrigger, type TriggerMutantName } from "./trigger-mutants.ts";

export interface ReplayOptions {
  readonly seed: number;
  /** How many changes are followed at least. */
  readonly changes: number;
  /** Few users: their keys are changed by several writers at once. */
  readonly users: number;
  readonly apiWriters: number;
  readonly sqlWriters: number;
  /** For how long a transaction is left open at most, in milliseconds. */
  readonly openMs: number;
  /** A backend of PostgreSQL is killed so often, in milliseconds. */
  readonly killMs: number;
  /** Between two crashes of PostgreSQL so many changes are followed. */
  readonly changesPerCrash: number;
  /** Between two comparisons at a quiet moment so many changes are followed. */
  readonly changesPerComparison: number;
  /** A crash loses what was committed last, so that followers must begin anew. */
  readonly losesCommits: boolean;
  readonly mutant?: MutantName | TriggerMutantName | undefined;
}

/** How long everything may take to settle when nothing is changed any more, in milliseconds. */
const settleMs = 60_000;
const pollMs = 20;
/** Something else may change the tables at a quiet moment: a comparison is repeated so often at most. */
const mostTries = 20;

const all: readonly ChangeKind[] = [];
/** Followers of every kind. The first one measures how far the run is. */
const followerHabits: readonly Habits[] = [
  { kinds: all, polls: false, sessionMs: undefined, snapshots: 0 },
  { kinds: all, polls: false, sessionMs: 1_000, snapshots: 0 },
  { kinds: all, polls: false, sessionMs: 3_000, snapshots: 10 },
  { kinds: all, polls: false, sessionMs: 500, snapshots: 40 },
  { kinds: all, polls: true, sessionMs: 2_000, snapshots: 5 },
  { kinds: ["block"], polls: false, sessionMs: 1_000, snapshots: 5 },
  { kinds: ["follow", "user"], polls: false, sessionMs: 2_000, snapshots: 5 },
  { kinds: ["mute", "setting", "exception"], polls: true, sessionMs: 1_000, snapshots: 10 },
];

/**
 * Changes everything that is logged, by many writers on few users, over two instances and by SQL, while backends of
 * PostgreSQL are killed and PostgreSQL crashes; and lets followers keep copies through `WatchChanges` and `ReadChanges`.
 * At quiet moments and in the end each copy must equal the tables.
 */
export async function replay(options: ReplayOptions): Promise<Report> {
  await using parts = new AsyncDisposableStack();
  const { losesCommits, mutant } = options;
  const lossy = losesCommits ? ["synchronous_commit=off", "wal_writer_delay=10s"] : [];
  const server = await startThrowawayServer({ settings: ["max_prepared_transactions=50", ...lossy] });
  parts.defer(() => server.stop());
  const database = server.url;
  const instances: Instance[] = [];
  const ofService = mutant === undefined || isTriggerMutant(mutant) ? "pages of ten changes" : mutant;
  for (let i = 0; i < 2; i++) instances.push(parts.use(await startInstance({ database, mutant: ofService })));
  if (isTriggerMutant(mutant)) await replaceTrigger(server.url, mutant);
  const run = new Replay(options, server, instances);
  parts.defer(() => run.close());
  return await run.run();
}

class Replay {
  readonly #options: ReplayOptions;
  readonly #server: ThrowawayServer;
  readonly #instances: readonly Instance[];
  readonly #ids: readonly string[];
  readonly #problems = new Problems();
  readonly #transactions: Transactions = { rolledBack: 0, leftOpen: 0, prepared: 0 };
  readonly #closers: (() => unknown)[] = [];
  #followers: Follower[] = [];
  #paused: Promise<void> | undefined;
  #writing = 0;
  #over = false;
  #kills = 0;
  #crashes = 0;
  #comparisons = 0;

  constructor(options: ReplayOptions, server: ThrowawayServer, instances: readonly Instance[]) {
    this.#options = options;
    this.#server = server;
    this.#instances = instances;
    this.#ids = Array.from({ length: options.users }, () => randomUUID());
  }

  async run(): Promise<Report> {
    const begin = performance.now();
    const [first] = this.#instances as [Instance];
    await addUsers(first, this.#ids);
    this.#followers = await this.#openFollowers();
    const stop = new AbortController();
    const following = this.#followers.map((follower) => follower.run(stop.signal));
    const work = [
      ...this.#openWriters().map((writer, number) => this.#write(writer, number)),
      this.#killBackends(),
      this.#crash(),
    ];
    await this.#supervise();
    this.#over = true;
    await Promise.all(work);
    if (!this.#problems.any()) {
      await this.#settle();
      await this.#compare("keys that differ in the end");
    }
    stop.abort();
    await Promise.all(following);
    return this.#problems.report(this.#figures((performance.now() - begin) / 1_000));
  }

  async close(): Promise<void> {
    for (const close of this.#closers) await close();
  }

  async #openFollowers(): Promise<Follower[]> {
    const clients = await Promise.all(
      this.#instances.map(async (instance) =>
        openChangeClient({
          internalUrl: instance.internalUrl,
          token: await instance.serviceToken("changes.read"),
        }),
      ),
    );
    this.#closers.push(...clients.map((client) => () => client.close()));
    return followerHabits.map(
      (habits, number) =>
        new Follower({
          name: `follower ${number}`,
          habits,
          users: new Set(this.#ids),
          clients,
          random: randomOf(this.#options.seed + 1_000 + number),
          problems: this.#problems,
          losesHistory: this.#options.losesCommits,
        }),
    );
  }

  #openWriters(): Writer[] {
    const { apiWriters, sqlWriters, openMs } = this.#options;
    const sql = { url: this.#server.url, ids: this.#ids, transactions: this.#transactions };
    const writers = [
      ...Array.from({ length: apiWriters }, () => openApiWriter(this.#instances, this.#ids, this.#problems)),
      ...Array.from({ length: sqlWriters }, (_, n) =>
        openSqlWriter({ ...sql, openMs: n === 0 ? openMs : 0 }),
      ),
    ];
    this.#closers.push(...writers.map((writer) => () => writer.close()));
    return writers;
  }

  async #write(writer: Writer, number: number): Promise<void> {
    const random = randomOf(this.#options.seed + number);
    while (!this.#over) {
      await this.#paused;
      this.#writing++;
      try {
        await writer.write(random);
      } finally {
        this.#writing--;
      }
    }
  }

  /** Kills backends of PostgreSQL that are at work for an instance or a writer. */
  async #killBackends(): Promise<void> {
    let admin: pg.Client | undefined;
    while (!this.#over) {
      await setTimeout(this.#options.killMs);
      try {
        admin ??= await connect(this.#server.url);
        const { rowCount } = await admin.query(
          `select pg_terminate_backend(pid) from (
            select pid from pg_stat_activity
            where application_name in ('privacy-control', $1) and datname = current_database() and state <> 'idle'
            order by random() limit 1
          ) one`,
          [sqlWriterName],
        );
        this.#kills += rowCount ?? 0;
      } catch {
        // The server crashed.
        await admin?.end().catch(() => {});
        admin = undefined;
      }
    }
    await admin?.end().catch(() => {});
  }

  async #crash(): Promise<void> {
    const { changes, changesPerCrash } = this.#options;
    for (let next = changesPerCrash; next < changes && !this.#over; next += changesPerCrash) {
      await this.#followed(next);
      if (this.#over) return;
      await killServer(this.#server);
      await this.#server.restart();
      this.#crashes++;
    }
  }

  /** Compares at quiet moments, until there were as many changes as there should be, or a problem. */
  async #supervise(): Promise<void> {
    const { changes, changesPerComparison } = this.#options;
    for (let next = changesPerComparison; next < changes; next += changesPerComparison) {
      await this.#followed(next);
      if (this.#problems.any()) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#paused = promise;
      try {
        while (this.#writing > 0) await setTimeout(pollMs);
        await this.#compare("keys that differ at a quiet moment");
      } finally {
        this.#paused = undefined;
        resolve();
      }
    }
    await this.#followed(changes);
  }

  /** Waits until the first follower has seen so many changes; not for ever. */
  async #followed(changes: number): Promise<void> {
    const [first] = this.#followers as [Follower];
    let seen = -1;
    let seenAt = performance.now();
    while (first.counts.changes < changes && !this.#problems.any() && !this.#over) {
      if (first.counts.changes !== seen) {
        seen = first.counts.changes;
        seenAt = performance.now();
      }
      if (performance.now() - seenAt > settleMs) {
        this.#problems.add("followers that stand still", `${first.name} after ${seen} changes`);
        return;
      }
      await setTimeout(pollMs);
    }
  }

  /** Waits until nothing changes by itself any more: no transaction is prepared, no user half erased, no row lapsed. */
  async #settle(): Promise<void> {
    for (const instance of this.#instances) await instance.untilReady();
    await endPrepared(this.#server.url);
    const lapsed = (table: string) => `select 1 from ${table} where expires_at <= clock_timestamp()`;
    const expiring = (table: string) => `select 1 from ${table} where expires_at < 'infinity'`;
    const admin = await connect(this.#server.url);
    try {
      // What would end in minutes ends now: each copy must be told.
      for (const table of ["blocks", "mutes"])
        await admin.query(`update ${table} set expires_at = clock_timestamp() where expires_at < 'infinity'`);
      const until = performance.now() + settleMs;
      const unsettled = `select 1 from users where erased_at is not null
        union all ${lapsed("blocks")} union all ${lapsed("mutes")}
        union all ${expiring("blocks")} union all ${expiring("mutes")}`;
      for (let rows = 1; rows > 0; ) {
        rows = (await admin.query(unsettled)).rowCount ?? 0;
        if (rows > 0 && performance.now() > until) {
          this.#problems.add("rows that stay", `${rows} lapsed blocks and mutes and users half erased`);
          return;
        }
        await setTimeout(pollMs);
      }
    } finally {
      await admin.end();
    }
  }

  /** Compares the copies with the tables while nothing is written. */
  async #compare(problem: string): Promise<void> {
    for (let tries = 1; tries <= mostTries; tries++) {
      const before = await this.#tables();
      const copies = await Promise.all(
        this.#followers.map((follower) =>
          Promise.race([
            follower.completeThrough(before.at),
            setTimeout(settleMs, undefined, { ref: false }),
          ]),
        ),
      );
      const after = await this.#tables();
      const kinds = new Set(changeKinds);
      const isSame = differences(after.state, before.state, { kinds, at: after.at }).length === 0;
      if (!isSame || after.version !== before.version) continue;
      this.#comparisons++;
      for (const [index, copy] of copies.entries()) {
        const { name, kinds } = this.#followers[index] as Follower;
        if (copy === undefined) this.#problems.add("followers that are never complete", name);
        else
          for (const difference of differences(copy, before.state, { kinds, at: after.at }))
            this.#problems.add(problem, `${name}: ${difference}`);
      }
      return;
    }
    if (problem.endsWith("end")) this.#problems.add("tables that never rest", `after ${mostTries} attempts`);
  }

  /** Reads the tables; again when the server crashes meanwhile. */
  async #tables() {
    for (;;) {
      try {
        return await readTables(this.#server.url);
      } catch {
        await setTimeout(pollMs);
      }
    }
  }

  #figures(seconds: number): Figure[] {
    const sum = (count: (counts: Sessions) => number) =>
      this.#followers.reduce((total, { counts }) => total + count(counts), 0);
    const [first] = this.#followers as [Follower];
    const { rolledBack, leftOpen, prepared } = this.#transactions;
    const { changes } = this.#options;
    return [
      { name: "changes", value: first.counts.changes, ...(this.#problems.any() ? {} : { atLeast: changes }) },
      { name: "changes/s", value: first.counts.changes / seconds },
      { name: "changes that followers got", value: sum((counts) => counts.changes) },
      { name: "transactions rolled back", value: rolledBack },
      { name: "transactions left open", value: leftOpen },
      { name: "transactions prepared", value: prepared },
      { name: "backends killed", value: this.#kills },
      { name: "crashes of PostgreSQL", value: this.#crashes },
      { name: "sessions of followers", value: sum((counts) => counts.sessions) },
      { name: "of these, from older cursors", value: sum((counts) => counts.older) },
      { name: "of these, from snapshots", value: sum((counts) => counts.snapshots) },
      { name: "of these, after a change of history", value: sum((counts) => counts.histories) },
      { name: "comparisons of all copies", value: this.#comparisons },
    ];
  }
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  return client;
}
