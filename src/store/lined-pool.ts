import {
  type AbortableOperationOptions,
  type DatabaseConnection,
  PostgresDialect,
  type PostgresDialectConfig,
  PostgresDriver,
} from "kysely";
import pg from "pg";
import { PrivacyError } from "../domain/errors.ts";
import { WaitingLine } from "./waiting-line.ts";

/** A second of a burst; then little more than what a caller in a hurry waits for. */
const patience = { burstMs: 1_000, standingMs: 150 };

interface LinedPoolOptions extends pg.PoolConfig {
  readonly max: number;
  /** Told of connections that broke while nobody used them. */
  readonly log: (message: string) => void;
  /** Prepares a connection before its first use. */
  readonly onCreateConnection?: (connection: DatabaseConnection) => Promise<void>;
}

/** Kysely on a pool of connections with a line before it; who waits too long is `UNAVAILABLE`. */
export function linedPool({
  log,
  onCreateConnection = async () => {},
  ...options
}: LinedPoolOptions): PostgresDialect {
  const pool = new pg.Pool(options);
  pool.on("error", ({ message }) => log(`an idle connection broke: ${message}`));
  return new LinedDialect(new WaitingLine(options.max, patience), {
    // Without its `Client`, with which Kysely would open a connection for every statement that it cancels.
    pool: { connect: () => pool.connect(), end: () => pool.end(), options: pool.options },
    onCreateConnection,
  });
}

class LinedDialect extends PostgresDialect {
  readonly #line: WaitingLine;
  readonly #config: PostgresDialectConfig;

  constructor(line: WaitingLine, config: PostgresDialectConfig) {
    super(config);
    this.#line = line;
    this.#config = config;
  }

  override createDriver(): PostgresDriver {
    return new LinedDriver(this.#line, this.#config);
  }
}

/** A place in the line is held for as long as a connection: until its last statement has ended, aborted or not. */
class LinedDriver extends PostgresDriver {
  readonly #line: WaitingLine;

  constructor(line: WaitingLine, config: PostgresDialectConfig) {
    super(config);
    this.#line = line;
  }

  override async acquireConnection(options?: AbortableOperationOptions): Promise<DatabaseConnection> {
    try {
      if (await this.#line.enter(options?.signal)) return await this.#connect(options);
      throw new PrivacyError("UNAVAILABLE", { cause: new Error("no connection came free in time") });
    } catch (failure) {
      // Kysely has rejected by now, and would write to the console that nobody waited for this.
      if (options?.signal?.aborted) return Promise.withResolvers<never>().promise;
      throw failure;
    }
  }

  override async releaseConnection(
    connection: Parameters<PostgresDriver["releaseConnection"]>[0],
  ): Promise<void> {
    await super.releaseConnection(connection);
    this.#line.leave();
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
