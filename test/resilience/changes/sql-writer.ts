import { setTimeout } from "node:timers/promises";
import pg from "pg";
import type { Random } from "../support/random.ts";
import { pick, type Writer } from "./api-writers.ts";

/** What writers by SQL have done together. */
export interface Transactions {
  rolledBack: number;
  leftOpen: number;
  prepared: number;
}

interface SqlWriterOptions {
  readonly url: string;
  readonly ids: readonly string[];
  readonly transactions: Transactions;
  /** For how long it leaves transactions open at most, in milliseconds; 0: it leaves none open. */
  readonly openMs: number;
}

/** The application name of the connections of these writers. */
export const sqlWriterName = "replay writer";

/** How long a transaction pauses at most that is not left open, in milliseconds. */
const pauseMs = 60;

/**
 * Opens a writer that changes the tables by statements of its own, as an operator does: with rollbacks, savepoints, and
 * transactions that get their id early and change something late, or are left open.
 */
export function openSqlWriter({ url, ids, transactions, openMs }: SqlWriterOptions): Writer {
  const named = new URL(url);
  named.searchParams.set("application_name", sqlWriterName);
  const settings = { connectionString: named.href, lock_timeout: 2_000, statement_timeout: 10_000 };
  let client: pg.Client | undefined;
  const connect = async () => {
    const opened = new pg.Client(settings);
    opened.on("error", () => {});
    await opened.connect();
    client = opened;
    return opened;
  };
  let prepared = 0;
  const writerId = `${process.pid}_${nextWriter++}`;

  /** Runs work in a transaction, and ends it somehow. */
  async function within(random: Random, work: (run: pg.Client) => Promise<void>): Promise<void> {
    let run = client;
    try {
      run ??= await connect();
      await run.query("begin");
      await work(run);
      const end = random.below(10);
      if (end < 7) await run.query("commit");
      else if (end < 9) {
        await run.query("rollback");
        transactions.rolledBack++;
      } else {
        const name = `replay_${writerId}_${prepared++}`;
        await run.query(`prepare transaction '${name}'`);
        transactions.prepared++;
        await setTimeout(random.below(Math.max(openMs, pauseMs)));
        await run.query(`${random.below(3) > 0 ? "commit" : "rollback"} prepared '${name}'`);
      }
    } catch {
      client = undefined;
      await run?.end().catch(() => {});
      await setTimeout(random.below(pauseMs));
    }
  }

  const change = (run: pg.Client, random: Random) => run.query(pick(statements, random)(ids, random));
  const takeId = (run: pg.Client) => run.query("select pg_current_xact_id()");
  const leaveOpen = async (random: Random) => {
    transactions.leftOpen++;
    await setTimeout(random.below(openMs));
  };
  /** The last two leave the transaction open. */
  const ways: readonly ((run: pg.Client, random: Random) => Promise<void>)[] = [
    async (run, random) => {
      await change(run, random);
    },
    async (run, random) => {
      await takeId(run);
      await setTimeout(random.below(pauseMs));
      await change(run, random);
    },
    async (run, random) => {
      await takeId(run);
      await setTimeout(random.below(pauseMs));
      await change(run, random);
      await setTimeout(random.below(pauseMs));
      await change(run, random);
    },
    async (run, random) => {
      await change(run, random);
      await run.query("savepoint a");
      await change(run, random);
      await run.query("rollback to a");
      await change(run, random);
      await run.query("savepoint b");
      await change(run, random);
      await run.query("release b");
    },
    async (run, random) => {
      await takeId(run);
      await leaveOpen(random);
      await change(run, random);
    },
    async (run, random) => {
      await change(run, random);
      await leaveOpen(random);
      await change(run, random);
    },
  ];
  /** Begins an erasure as the service does for a user of very many rows; an instance continues it. */
  const beginErasure = async (run: pg.Client, random: Random) => {
    const id = [pick(ids, random)];
    await run.query("set local privacy.cause = 'erasure'");
    await run.query("select from users where id = $1 for update", id);
    await run.query("delete from follows where follower_id = $1", id);
    await run.query("update users set erased_at = clock_timestamp() where id = $1 and erased_at is null", id);
  };
  const chosen = openMs > 0 ? ways.slice(-2) : ways.slice(0, -2);

  return {
    write: (random) =>
      within(random, (run) =>
        random.below(100) === 0 ? beginErasure(run, random) : pick(chosen, random)(run, random),
      ),
    async close() {
      await client?.end().catch(() => {});
    },
  };
}

let nextWriter = 0;

/** Ends the transactions that writers have left prepared. */
export async function endPrepared(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ gid: string }>("select gid from pg_prepared_xacts");
    for (const { gid } of rows) await client.query(`rollback prepared '${gid}'`);
  } finally {
    await client.end();
  }
}

type Statement = (ids: readonly string[], random: Random) => pg.QueryConfig;

/** Both users are known and stay so; `$1` and `$2` are their ids. */
const both = `with known as materialized (
    select id from users where id in ($1, $2) and erased_at is null order by id for key share
  ), both_known as (select where (select count(*) from known) = 2)`;

const onPair =
  (text: string, ...more: ((random: Random) => unknown)[]): Statement =>
  (ids, random) => {
    const owner = random.below(ids.length);
    const other = (owner + 1 + random.below(ids.length - 1)) % ids.length;
    return { text, values: [ids[owner], ids[other], ...more.map((value) => value(random))] };
  };
const onUser =
  (text: string): Statement =>
  (ids, random) => ({ text, values: [pick(ids, random)] });

const lifetime = (random: Random) => `${200 + random.below(1_500)} ms`;
const scopes = (random: Random) => [-1, 1, 2, 3][random.below(4)];
const audience = (random: Random) => pick(["all", "contacts", "none"], random);

const statements: readonly Statement[] = [
  onPair(
    `${both} insert into follows select $1, $2, clock_timestamp() from both_known on conflict do nothing`,
  ),
  onPair("delete from follows where follower_id = $1 and followee_id = $2"),
  onUser(
    `with known as materialized (select id from users where erased_at is null order by id for key share)
      insert into follows select $1, id, clock_timestamp() from known
      where id <> $1 and exists (select from known where id = $1) on conflict do nothing`,
  ),
  onPair("delete from blocks where blocker_id = $1 and blocked_id = $2"),
  onPair(
    `${both} insert into blocks (blocker_id, blocked_id, id, created_at, expires_at)
      select $1, $2, gen_random_uuid(), clock_timestamp(), clock_timestamp() + $3::interval from both_known
      on conflict (blocker_id, blocked_id) do update set expires_at = excluded.expires_at`,
    lifetime,
  ),
  onPair(
    `${both} insert into mutes (muter_id, muted_id, id, created_at, expires_at, scopes)
      select $1, $2, gen_random_uuid(), clock_timestamp(), clock_timestamp() + $3::interval, $4 from both_known
      on conflict (muter_id, muted_id) do update
      set expires_at = excluded.expires_at, scopes = excluded.scopes`,
    lifetime,
    scopes,
  ),
  onUser(
    "update blocks set expires_at = clock_timestamp() + '500 ms' where blocker_id = $1 and expires_at < 'infinity'",
  ),
  onUser(
    "update mutes set expires_at = clock_timestamp() + '500 ms' where muter_id = $1 and expires_at < 'infinity'",
  ),
  onPair(
    `${both} insert into privacy_settings select $1, 'read_receipts', $3 from both_known
      on conflict (user_id, setting) do update set audience = excluded.audience`,
    audience,
  ),
  onUser("delete from privacy_settings where user_id = $1"),
  onUser("update mutes set scopes = 3 - scopes where muter_id = $1 and scopes in (1, 2)"),
  onUser("update mutes set expires_at = 'infinity' where muted_id = $1"),
  onUser("delete from privacy_exceptions where user_id = $1"),
  onUser("delete from follows where follower_id = $1"),
  onUser("delete from mutes where muted_id = $1"),
  // A change of a key is the removal of one and the addition of another.
  onPair(
    `${both} update follows f set followee_id = $2 from both_known
      where f.followee_id = $1 and f.follower_id <> $2
        and not exists (select from follows o where o.follower_id = f.follower_id and o.followee_id = $2)`,
  ),
  onUser("delete from users where id = $1 and random() < 0.1"),
];
