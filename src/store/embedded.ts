import { existsSync, renameSync, rmSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { MikroORM } from "@mikro-orm/pglite";
import { type DatabaseConnection, sql } from "kysely";
import type { Backend } from "./backend.ts";
import { DataDirectoryError, makeDataDirectory } from "./data-directory.ts";
import { lockDirectory } from "./directory-lock.ts";
import { SqlExecutor, type StatementTracer } from "./executor.ts";
import { migrate } from "./migrations/migrate.ts";
import { onePerTurn } from "./one-per-turn.ts";
import { ormOptions } from "./orm-options.ts";

const inMemory = "memory://";

interface EmbeddedOptions {
  /** Called before a database is made, which takes seconds. */
  readonly onCreate?: (() => void) | undefined;
  readonly tracer?: StatementTracer | undefined;
}

/**
 * Opens the embedded database of a directory; both are made if they are missing. `memory://` keeps everything in
 * memory. Throws `DirectoryInUseError` when another instance uses the directory, since two would ruin it, and
 * `DataDirectoryError` when the directory or its database cannot be used.
 */
export async function openEmbedded(
  dataDir: string,
  log: (message: string) => void,
  { onCreate, tracer }: EmbeddedOptions = {},
): Promise<Backend> {
  if (dataDir === inMemory) return serve(await connect(inMemory, log), inMemory, () => {}, tracer);
  const directory = resolve(dataDir);
  makeDataDirectory(directory);
  const release = lockDirectory(directory, join(directory, "database.lock"));
  try {
    const path = join(directory, "database");
    if (!existsSync(path)) {
      onCreate?.();
      await create(path, log);
    }
    return serve(await connectTo(path, log), directory, release, tracer);
  } catch (failure) {
    release();
    throw failure;
  }
}

/** Makes an empty database. When the process ends in between, the next one makes it again from the start. */
async function create(path: string, log: (message: string) => void): Promise<void> {
  const draft = `${path}.new`;
  rmSync(draft, { recursive: true, force: true });
  await (await connect(draft, log)).close();
  renameSync(draft, path);
}

/** Opens a database that exists. Throws a `DataDirectoryError` when it cannot be opened. */
async function connectTo(path: string, log: (message: string) => void): Promise<MikroORM> {
  try {
    // Without this file PGlite would take the directory for an empty one, and write over what is left in it.
    statSync(join(path, "PG_VERSION"));
    return await connect(path, log);
  } catch (cause) {
    const { message } = cause as Error;
    const advice =
      "if it is damaged, move it away to start with an empty one, or set DATA_DIR to another directory";
    throw new DataDirectoryError(
      `DATA_DIR: the embedded database in ${path} cannot be opened (${message}); ${advice}`,
      { cause },
    );
  }
}

async function connect(dbName: string, log: (message: string) => void): Promise<MikroORM> {
  const orm = await MikroORM.init({
    ...ormOptions(log),
    dbName,
    onCreateConnection: (connection) => onePerTurn(connection as DatabaseConnection),
  });
  await new SqlExecutor(orm.em.fork().getKysely(), {}).read(sql`select 1`);
  return orm;
}

function serve(
  orm: MikroORM,
  description: string,
  release: () => void,
  tracer: StatementTracer | undefined,
): Backend {
  const executor = new SqlExecutor(orm.em.fork().getKysely(), { tracer });
  return {
    kind: "embedded",
    executor,
    // One connection serves all.
    checks: executor,
    description,
    // It lives and dies with this process.
    watch: () => {},
    // Statements queue for the one connection inside of PGlite, which tells nothing of it.
    isSaturated: () => false,
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
