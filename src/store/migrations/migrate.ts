import { randomBytes } from "node:crypto";
import type { IMigrator } from "@mikro-orm/core";
import type { SqlEntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import type { Session } from "../session.ts";
import { grantTo } from "./grants.ts";
import { migrationsList } from "./list.ts";

const signingKeyBytes = 32;

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
    const applied = await orm.migrator.up({ transaction: em.getTransactionContext() });
    const key = randomBytes(signingKeyBytes);
    await sql`insert into signing_keys (id, key) values (1, ${key}) on conflict do nothing`.execute(db);
    if (serviceRole !== undefined) await grantTo(db, serviceRole);
    return applied.map(({ name }) => name);
  });
}

/** Returns the names of the migrations that the database lacks, oldest first. Changes nothing. */
export async function pendingMigrations(session: Session, signal?: AbortSignal): Promise<string[]> {
  const names = migrationsList.map(({ name }) => name);
  const [found] = await session.read(
    sql<{ any: boolean }>`select to_regclass('migrations') is not null as any`,
    signal,
  );
  if (!found?.any) return names;
  const applied = await session.read(sql<{ name: string }>`select name from migrations`, signal);
  return names.filter((name) => !applied.some((migration) => migration.name === name));
}
