import {
  type AbortableOperationOptions,
  type DatabaseConnection,
  PostgresDialect,
  type PostgresDialectConfig,
  PostgresDriver,
} from "kysely";
import pg from "pg";
import { PrivacyError } from "../domain/errors.ts";
import { type Patience, WaitingLine } from "./waiting-line.ts";

/** A second of a burst; then little more than what a caller in a hurry waits for. */
const usualPatience: Patience = { burstMs: 1_000, standingMs: 150 };

/** A pool of connections, now. */
export interface PoolFigures {
  readonly name: string;
  /** The most connections. */
  readonly max: number;
  readonly open: number;
  readonly idle: number;
  /** Statements and transactions that wait for a connection. */
  readonly waiting: number;
}

/** Told how long a connection of a pool was waited for, in vain too. */
export type OnWait = (pool: string, seconds: number) => void;

interface LinedPoolOptions extends pg.PoolConfig {
  readonly name: string;
  readonly max: number;
  /** Told of connections that broke while nobody used them. */
  readonly log: (message: string) => void;
  /** Prepares a connection before its first use. */
  readonly onCreateConnection?: (connection: DatabaseConnection) => Promise<void>;
  readonly onWait?: OnWait | undefined;
  readonly patience?: Patience | undefined;
}

/** Connections with a line before them. */
export interface LinedPool {
  readonly dialect: PostgresDialect;
  figures(): PoolFigures;
}

/** Kysely on a pool of connections with a line before it; who waits too long is `UNAVAILABLE`. */
export function linedPool({
  name,
  log,
  onCreateConnection = async () => {},
  onWait = () => {},
  patience = usualPatience,
  ...options
}: LinedPoolOptions): LinedPool {
  const pool = new pg.Pool(options);
  pool.on("error", ({ message }) => log(`an idle connection broke: ${message}`));
  const line = new WaitingLine(options.max, patience);
  const dialect = new LinedDialect(line, (seconds) => onWait(name, seconds), {
    // Without its `Client`, with which Kysely would open a connection for every statement that it cancels.
    pool: { connect: () => pool.connect(), end: () => pool.end(), options: pool.options },
    onCreateConnection,
  });
  return {
    dialect,
    figures: () => ({
      name,
      max: options.max,
      open: pool.totalCount,
      idle: pool.idleCount,
      waiting: line.length,
    }),
  };
}

/** Told how long one caller waited. */
type Waited = (seconds: number) => void;

class LinedDialect extends PostgresDialect {
  readonly #line: WaitingLine;
  readonly #waited: Waited;
  readonly #config: PostgresDialectConfig;

  constructor(line: WaitingLine, waited: Waited, config: PostgresDialectConfig) {
    super(config);
    this.#line = line;
    this.#waited = waited;
    this.#config = config;
  }

  override createDriver(): PostgresDriver {
    return new LinedDriver(this.#line, this.#waited, this.#config);
  }
}

/** A place in the line is held for as long as a connection: until its last statement has ended, aborted or not. */
class LinedDriver extends PostgresDriver {
  readonly #line: WaitingLine;
  readonly #waited: Waited;

  constructor(line: WaitingLine, waited: Waited, config: PostgresDialectConfig) {
    super(config);
    this.#line = line;
    this.#waited = waited;
  }

  override async acquireConnection(options?: AbortableOperationOptions): Promise<DatabaseConnection> {
    const from = performance.now();
    try {
      if (await this.#line.enter(options?.signal)) return await this.#connect(options);
      throw new PrivacyError("UNAVAILABLE", { cause: new Error("no connection came free in time") });
    } catch (failure) {
      // Kysely has rejected by now, and would write to the console that nobody waited for this.
      if (options?.signal?.aborted) return Promise.withResolvers<never>().promise;
      throw failure;
    } finally {
      this.#waited((performance.now() - from) / 1_000);
    }
  }

  override async releaseConnection(
    connection: Parameters<PostgresDriver["releaseConnection"]>[0],
  ): Promise<void> {
    await super.releaseConnection(connection);
    this.#line.leave();
  }

  // Kysely's own would forget a client that is connecting, and the pool would wait for it for ever.
  override async destroy(): Promise<void> {
    await this.#line.idle();
    await super.destroy();
  }

  async #connect(options?: AbortableOperationOptions): Promise<DatabaseConnection> {
    try {
      return await super.acquireConnection(options);
    } catch (failure) {
      this.#line.leave();
      throw failure;
    }
  }
}
