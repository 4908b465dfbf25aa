import { setTimeout } from "node:timers/promises";
import pg from "pg";
import { openDatabase } from "../../../src/store/database.ts";
import { startThrowawayServer } from "../../support/throwaway-server.ts";
import { loadData } from "../data/load.ts";
import type { Size } from "../data/sizes.ts";
import { cpuSecondsOfFamily, moveToCore, otherCore } from "./machine.ts";

/** What the server of the benchmark has other than PostgreSQL's defaults; the throwaway server adds `fsync=off`. */
export const serverSettings = ["shared_buffers=1GB", "max_wal_size=16GB", "checkpoint_timeout=1h"];

/** A PostgreSQL server of the benchmark's own, and a superuser's connection to it. */
export interface BenchDatabase extends AsyncDisposable {
  readonly url: string;
  readonly client: pg.Client;
  readonly version: string;
  /** Processor seconds that the server has used. */
  cpuSeconds(): number;
}

/** Starts a server, fills it, and moves it to the core of the load. */
export async function startDatabase(
  size: Size,
  say: (what: string) => void = () => {},
): Promise<BenchDatabase> {
  await using parts = new AsyncDisposableStack();
  const server = await startThrowawayServer({ settings: serverSettings });
  parts.defer(() => server.stop());
  const database = await openDatabase({ url: server.url });
  parts.defer(() => database.close());
  await database.migrate();
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  parts.defer(() => client.end());
  await loadData(client, size, say);
  const { rows } = await client.query("select current_setting('server_version') as version");
  await moveToCore(server.pid(), otherCore);
  const owned = parts.move();
  return {
    url: server.url,
    client,
    version: rows[0].version,
    cpuSeconds: () => cpuSecondsOfFamily(server.pid()),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const quietLooks = 10;
const lookMs = 20;
const longestMs = 10_000;

/** Waits until the server has no more statement to run: a load that ends leaves requests behind. */
export async function untilQuiet(client: pg.Client): Promise<void> {
  const endsAt = performance.now() + longestMs;
  for (let quiet = 0; quiet < quietLooks; ) {
    if (performance.now() > endsAt) throw new Error("the database does not come to rest");
    const { rows } = await client.query<{ busy: number }>(
      `select count(*)::int as busy from pg_stat_activity
       where backend_type = 'client backend' and state <> 'idle' and pid <> pg_backend_pid()`,
    );
    quiet = rows[0]?.busy === 0 ? quiet + 1 : 0;
    await setTimeout(lookMs);
  }
}
