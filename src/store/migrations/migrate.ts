import { randomBytes } from "node:crypto";
import type { IMigrator } from "@mikro-orm/core";
import { Migrator } from "@mikro-orm/migrations";
import type { SqlEntityManager } from "@mikro-orm/postgresql";
import { type RawBuilder, sql } from "kysely";
import { entities } from "../entities.ts";
import type { SqlExecutor } from "../executor.ts";
import { grantTo } from "./grants.ts";
import { migrationsList } from "./list.ts";

const signingKeyBytes = 32;

/** The options of MikroORM on both databases. */
export function ormOptions(log: (message: string) => void) {
  return {
    entities,
    extensions: [Migrator],
    logger: log,
    colors: false,
    // A migration makes them.
    schemaGenerator: { ignoreTriggers: true },
    migrations: {
      migrationsList,
      tableName: "migrations",
      snapshot: false,
      silent: true,
      // Switching the checks off needs a superuser on PostgreSQL.
      disableForeignKeys: false,
      // Makes the migrator look for its table inside the transaction: instances that start at once would collide on
      // it outside of the lock, and PGlite's one connection would wait for itself.
      includeWildcardSchema: true,
    },
  };
}

/**
 * Applies the pending migrations and returns their names: all or none, in one transaction. Several instances may
 * call it at once; one works, the others wait and find nothing left to do. Also makes the signing key, once, and lets
 * `serviceRole` do what the service does.
 */
export async function migrate(
  orm: { em: SqlEntityManager; migrator: IMigrator },
  serviceRole?: string,
): Promise<string[]> {
  return orm.em.fork().transactional(async (em) => {
    const db = em.getKysely();
    await sql`set local statement_timeout = 0`.execute(db);
    await sql`set local lock_timeout = 0`.execute(db);
    // Two numbers: a key space of its own, apart from the one-number locks on pairs of users.
    await sql`select pg_advisory_xact_lock(7001, 1)`.execute(db);
    await appliedMigrations(async (statement) => (await statement.execute(db)).rows);
    // MikroORM would take a table of this name in any other schema for its own.
    await sql`
      create table if not exists migrations (
        id serial primary key,
        name varchar(255) not null,
        executed_at timestamptz(6) not null default current_timestamp(6)
      )`.execute(db);
    const applied = await orm.migrator.up({ transaction: em.getTransactionContext() });
    const key = randomBytes(signingKeyBytes);
    await sql`insert into signing_keys (id, key) values (1, ${key}) on conflict do nothing`.execute(db);
    if (serviceRole !== undefined) await grantTo(db, serviceRole);
    return applied.map(({ name }) => name);
  });
}

/** Returns the names of the migrations that the database lacks, oldest first. Changes nothing. */
export async function pendingMigrations(executor: SqlExecutor, signal?: AbortSignal): Promise<string[]> {
  const names = migrationsList.map(({ name }) => name);
  const applied = await appliedMigrations((statement) => executor.read(statement, signal));
  return names.filter((name) => !applied.includes(name));
}

/** Reads the names of the applied migrations. Throws an error for the operator when other software applied them. */
async function appliedMigrations(
  read: <Row>(statement: RawBuilder<Row>) => Promise<Row[]>,
): Promise<string[]> {
  const [table] = await read(sql<{ schema: string; isOurs: boolean }>`
    select n.nspname as schema, (
      select count(*) = 3 from pg_attribute a
      where a.attrelid = c.oid and not a.attisdropped and a.attname in ('id', 'name', 'executed_at')
    ) as "isOurs"
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.oid = to_regclass('migrations')`);
  if (table === undefined) return [];
  const rows = table.isOurs ? await read(sql<{ name: string }>`select name from migrations`) : [];
  const applied = rows.map(({ name }) => name);
  const isOurs = migrationsList.some(({ name }) => applied.includes(name));
  if (!table.isOurs || (applied.length > 0 && !isOurs))
    throw new Error(
      `the table "migrations" of the schema "${table.schema}" is other software's: make a schema for this service, ` +
        "and name it in DATABASE_URL, as ?options=-c%20search_path%3Dprivacy",
    );
  return applied;
}
