import { sql } from "kysely";
import type { Backend } from "../../../src/store/database.ts";
import { openEmbedded } from "../../../src/store/embedded.ts";
import { openPostgresql } from "../../../src/store/postgresql.ts";

/**
 * How many follows exist between users who block each other, in PostgreSQL or in the embedded database of a directory. Each
 * is a block that was applied by half, or a follow that was wrongly accepted.
 */
export async function countAcross(database: string): Promise<number> {
  const open = database.startsWith("postgres:") ? openPostgresql : openEmbedded;
  const backend: Backend = await open(database, () => {});
  try {
    const rows = await backend.executor.read(sql`
      select from follows f where exists (
        select from blocks b
        where (b.blocker_id, b.blocked_id) in ((f.follower_id, f.followee_id), (f.followee_id, f.follower_id))
      )`);
    return rows.length;
  } finally {
    await backend.close();
  }
}
