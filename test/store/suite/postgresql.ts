import pg from "pg";
import { openPostgresql } from "../../../src/store/postgresql.ts";
import { postgresUrl } from "../../support/cluster.ts";
import { until } from "../../support/until.ts";
import { type TestStore, testStore } from "./store.ts";

/** A store on PostgreSQL, and what a test needs to get in its way. */
export interface PostgresStore extends TestStore {
  readonly url: string;
  /** A connection that is not of the store's pool. */
  readonly admin: pg.Client;
  /** The statements of the store's pool that are under way, each with its process id. */
  running(): Promise<{ readonly pid: number; readonly query: string; readonly waits: boolean }[]>;
  /** Waits until so many statements of the pool wait for a lock. */
  untilWaiting(count: number): Promise<void>;
  /** Ends every connection of the pool, as an administrator does. */
  endConnections(): Promise<void>;
}

/** Gives the tests of a `describe` a migrated database of their own; skips them when there is no server. */
export function onPostgresql(): () => PostgresStore {
  let store: PostgresStore;
  before(async function () {
    const url = await postgresUrl();
    if (url === undefined) return this.skip();
    store = await openPostgresStore(url);
    await store.migrate();
  });
  after(() => store?.close());
  return () => store;
}

/** Opens a store, with or without its tables. */
export async function openPostgresStore(url: string): Promise<PostgresStore> {
  // A busy machine must not refuse what the suite asks for at once.
  const poolLimits = { acquireTimeoutMs: 60_000 };
  const store = testStore(await openPostgresql(url, () => {}, { poolLimits }));
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  // Apart from the other: within a transaction the server shows the activity of its beginning.
  const observer = new pg.Client({ connectionString: url });
  await observer.connect();
  const running = async () => {
    const { rows } = await observer.query(`
      select pid, query, wait_event_type is not distinct from 'Lock' as waits from pg_stat_activity
      where application_name = 'privacy-control' and datname = current_database() and state = 'active'`);
    return rows;
  };
  return {
    ...store,
    url,
    admin,
    running,
    untilWaiting: (count) =>
      until(async () => (await running()).filter(({ waits }) => waits).length === count),
    async endConnections() {
      await observer.query(`
        select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'privacy-control' and datname = current_database()`);
    },
    async close() {
      await admin.end();
      await observer.end();
      await store.close();
    },
  };
}

/** The URL with further parameters, which override the store's own. */
export function withParameters(url: string, parameters: Record<string, string | number>): string {
  const changed = new URL(url);
  for (const [name, value] of Object.entries(parameters)) changed.searchParams.set(name, String(value));
  return changed.href;
}
