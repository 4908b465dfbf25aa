import { existsSync, renameSync, rmSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { MikroORM, type PgliteConnection } from "@mikro-orm/pglite";
import type { CompiledQuery } from "kysely";
import type { Connection, ConnectionPool } from "./connection.ts";
import { DataDirectoryError, lockDirectory, makeDataDirectory } from "./data-directory.ts";
import type { Backend } from "./database.ts";
import { SqlExecutor, type StatementTracer } from "./executor.ts";
import { migrate, ormOptions } from "./migrations/migrate.ts";
import { Semaphore } from "./semaphore.ts";

const inMemory = "memory://";

type PGlite = Awaited<ReturnType<PgliteConnection["getNativeClient"]>>;

interface EmbeddedDatabase {
  readonly orm: MikroORM;
  readonly pglite: PGlite;
}

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
  const { orm, pglite } = await connect(draft, log);
  await pglite.close();
  await orm.close();
  renameSync(draft, path);
}

/** Opens a database that exists. Throws a `DataDirectoryError` when it cannot be opened. */
async function connectTo(path: string, log: (message: string) => void): Promise<EmbeddedDatabase> {
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

async function connect(dbName: string, log: (message: string) => void): Promise<EmbeddedDatabase> {
  const orm = await MikroORM.init({ ...ormOptions(log), dbName });
  return { orm, pglite: await orm.em.getConnection().getNativeClient() };
}

function serve(
  { orm, pglite }: EmbeddedDatabase,
  description: string,
  release: () => void,
  tracer: StatementTracer | undefined,
): Backend {
  const pool = new EmbeddedPool(pglite);
  const executor = new SqlExecutor(pool, { tracer });
  return {
    kind: "embedded",
    executor,
    // One connection serves all.
    checks: executor,
    graph: executor,
    description,
    // It runs in this process: there is nothing to probe.
    watchAvailability: () => {},
    isSaturated: () => pool.isSaturated,
    pools: () => [],
    async migrate() {
      await pool.acquire();
      try {
        return await migrate(orm);
      } finally {
        pool.release();
      }
    },
    async close() {
      try {
        await pool.close();
        await orm.close();
      } finally {
        release();
      }
    },
  };
}

/** The one connection of an embedded database. */
class EmbeddedPool implements ConnectionPool {
  readonly #pglite: PGlite;
  readonly #connection: Connection;
  readonly #permit = new Semaphore({
    permits: 1,
    acquireTimeoutMs: 5_000,
    maxWaiting: 400,
    failure: "the embedded database was not free in time",
  });

  constructor(pglite: PGlite) {
    this.#pglite = pglite;
    this.#connection = new EmbeddedConnection(pglite);
  }

  get isSaturated(): boolean {
    return this.#permit.isSaturated;
  }

  async acquire(signal?: AbortSignal): Promise<Connection> {
    await this.#permit.acquire(signal);
    return this.#connection;
  }

  release(): void {
    this.#permit.release();
  }

  async close(): Promise<void> {
    await this.#permit.waitUntilIdle();
    if (!this.#pglite.closed) await this.#pglite.close();
  }
}

/**
 * Runs at most one statement in a turn of the event loop. PGlite works within the process and would go from one
 * statement to the next without letting anything else happen: under load new calls would not even be refused.
 */
class EmbeddedConnection implements Connection {
  readonly #pglite: PGlite;

  constructor(pglite: PGlite) {
    this.#pglite = pglite;
  }

  async query<Row>({ sql, parameters }: CompiledQuery<Row>): Promise<Row[]> {
    await nextTurn();
    const { rows } = await this.#pglite.query<Row>(sql, [...parameters]);
    return rows;
  }

  async execute(statements: string): Promise<void> {
    await nextTurn();
    await this.#pglite.exec(statements);
  }

  /** A statement cannot be cancelled: it ends before anything else happens in this process. */
  async cancel(): Promise<void> {}
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
