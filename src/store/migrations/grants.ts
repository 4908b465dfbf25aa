import { type QueryExecutorProvider, sql } from "kysely";

/**
 * The rights that the service needs on each table. Locking a row of `users` takes the right to update it; deleting a user
 * cascades with the rights of the tables' owner.
 */
const verbs = {
  users: "select, insert, update, delete",
  follows: "select, insert, delete",
  // A new record takes the place of one that has ended.
  blocks: "select, insert, delete, update (id, created_at, expires_at)",
  mutes: "select, insert, delete, update (id, created_at, expires_at, scopes)",
  privacy_settings: "select, insert, update",
  privacy_exceptions: "select, insert, delete",
  // For the previous version, which may still serve during a rollout.
  imports: "select, insert, update",
  service_imports: "select, insert, update",
  // The triggers run with the rights of who makes the change.
  changes: "select, insert, delete",
  ticks: "select, insert, delete",
  erasures: "select, insert, update, delete",
  // The outcome comes after the key, and a key may be used again a day later.
  idempotency_keys:
    "select, insert, delete, update (request, target_id, created_at, failure, record, record_created_at, " +
    "record_expires_at, record_scopes)",
  signing_keys: "select",
  migrations: "select",
};

/**
 * Lets a role do what the service does with the tables, and nothing else, whatever it was granted before. Throws when
 * it is the very role that owns them.
 */
export async function grantTo(db: QueryExecutorProvider, role: string): Promise<void> {
  const grantee = sql.id(role);
  const { rows } = await sql`select where current_user = ${role}`.execute(db);
  if (rows.length > 0)
    throw new Error("DATABASE_SERVICE_ROLE must name another role than the one that migrates");
  for (const [name, allowed] of Object.entries(verbs)) {
    const table = sql.table(name);
    await sql`revoke all on table ${table} from ${grantee}`.execute(db);
    await sql`grant ${sql.raw(allowed)} on table ${table} to ${grantee}`.execute(db);
  }
}
