import pg from "pg";

/**
 * Makes the pair lock of a migrated database ineffective for connections by the URL that is returned: there a
 * function of the same name, which locks nothing, comes before PostgreSQL's own. The service itself is not changed.
 */
export async function withoutPairLock(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(`
      create schema unlocked;
      create function unlocked.pg_advisory_xact_lock(bigint) returns void language sql as 'select'`);
  } finally {
    await client.end();
  }
  const changed = new URL(url);
  changed.searchParams.set("options", "-c search_path=unlocked,public,pg_catalog");
  return changed.href;
}
