import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { MikroORM } from "@mikro-orm/pglite";
import { type DatabaseConnection, sql } from "kysely";
import type { Backend } from "./backend.ts";
import { lockDirectory } from "./directory-lock.ts";
import { migrate } from "./migrations/migrate.ts";
import { onePerTurn } from "./one-per-turn.ts";
import { ormOptions } from "./orm-options.ts";
import { Session, type StatementTracer } from "./session.ts";

const inMemory = "memory://";

/**
 * Opens the embedded database of a directory, which is made if it is missing. `memory://` keeps everything in memory.
 * Throws `DirectoryInUseError` when another instance uses the directory: two would ruin it.
 */
export async function openEmbedded(
  dataDir: string,
  log: (message: string) => void,
  tracer?: StatementTracer,
): Promise<Backend> {
  if (dataDir === inMemory) return open(inMemory, inMemory, () => {}, log, tracer);
  const directory = resolve(dataDir);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const release = lockDirectory(directory, join(directory, "database.lock"));
  try {
    return await open(directory, join(directory, "database"), release, log, tracer);
  } catch (failure) {
    release();
    throw failure;
  }
}

async function open(
  description: string,
  dbName: string,
  release: () => void,
  log: (message: string) => void,
  tracer: StatementTracer | undefined,
): Promise<Backend> {
  const orm = await MikroORM.init({
    ...ormOptions(log),
    dbName,
    onCreateConnection: (connection) => onePerTurn(connection as DatabaseConnection),
  });
  const session = new Session(orm.em.fork().getKysely(), { tracer });
  await session.run(sql`select 1`);
  return {
    kind: "embedded",
    session,
    // One connection serves all.
    checks: session,
    description,
    // It lives and dies with this process.
    watch: () => {},
    // Statements queue for the one connection inside of PGlite, which tells nothing of it.
    sendsAway: () => false,
    pools: () => [],
    migrate: () => migrate(orm),
    async close() {
      try {
        await orm.close();
      } finally {
        release();
      }
    },
  };
}
