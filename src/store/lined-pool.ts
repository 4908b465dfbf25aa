import { PostgresDialect, type PostgresDialectConfig, PostgresDriver } from "kysely";
import pg from "pg";
import { PrivacyError } from "../domain/errors.ts";
import { boundedCancel, type Cancel } from "./cancel-request.ts";
import type { LoanOptions } from "./lend.ts";
import { type ConnectionOrigin, type PooledClient, PooledConnection } from "./pooled-connection.ts";
import { PreparedClient, type PreparedClientConfig } from "./prepared-client.ts";
import { inspectServer } from "./server-state.ts";
import { type Patience, WaitingLine } from "./waiting-line.ts";

/** A second of a burst; then little more than what a caller in a hurry waits for. */
const usualPatience: Patience = { burstMs: 1_000, standingMs: 150 };

/** The part of its greatest age by which a connection may be replaced before. */
const ageJitter = 1 / 5;

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

interface LinedPoolOptions extends pg.PoolConfig, PreparedClientConfig {
  readonly name: string;
  readonly max: number;
  /** Told of connections that broke while nobody used them. */
  readonly log: (message: string) => void;
  /** Asks the server to cancel what a client runs. */
  readonly cancel?: Cancel | undefined;
  readonly onWait?: OnWait | undefined;
  readonly patience?: Patience | undefined;
  /** How old a connection may become. They differ by up to a fifth, so that not all are replaced at once. */
  readonly maxAgeSeconds?: number | undefined;
}

/** Connections with a line before them. */
export interface LinedPool {
  readonly dialect: PostgresDialect;
  figures(): PoolFigures;
  /** Whether one who wants a connection now is sent away at once. Asked for one who does. */
  sendsAway(): boolean;
  /** Ends the connections of some origins now: what runs on them fails. */
  closeConnections(isOutdated: (origin: ConnectionOrigin) => boolean): void;
}

/** Kysely on a pool of connections with a line before it; who waits too long is `UNAVAILABLE`. */
export function linedPool({
  name,
  log,
  cancel = boundedCancel(1),
  onWait = () => {},
  patience = usualPatience,
  maxAgeSeconds = Number.POSITIVE_INFINITY,
  ...options
}: LinedPoolOptions): LinedPool {
  const pool = new pg.Pool({ ...options, Client: PreparedClient });
  const connections = new Map<pg.PoolClient, PooledConnection>();
  pool.on("error", ({ message }, client) => {
    if (!connections.get(client)?.isClosed) log(`an idle connection broke: ${message}`);
  });
  pool.on("remove", (client) => {
    connections.delete(client);
  });
  const line = new WaitingLine(options.max, patience);
  const open = async () => {
    const openedAt = performance.now();
    const client = await pool.connect();
    const known = connections.get(client);
    if (known !== undefined) return known;
    try {
      const state = await inspectServer(client);
      await options.target?.assertSettings(client, options, state);
      const { server } = state;
      const expiresAt = openedAt + maxAgeSeconds * 1_000 * (1 - ageJitter * Math.random());
      const connection = new PooledConnection(
        client as unknown as PooledClient,
        (ended) => cancel(client, ended),
        { server, openedAt, expiresAt },
      );
      connections.set(client, connection);
      return connection;
    } catch (failure) {
      client.release(true);
      throw failure;
    }
  };
  const connect = () => options.target?.connect(open) ?? open();
  const dialect = new LinedDialect(pool, (config) => {
    return new LinedDriver(line, connect, (seconds) => onWait(name, seconds), config);
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
    sendsAway: () => line.sendsAway(),
    closeConnections(isOutdated) {
      for (const connection of connections.values()) if (isOutdated(connection.origin)) connection.close();
    },
  };
}

/** Told how long one caller waited. */
type Waited = (seconds: number) => void;

class LinedDialect extends PostgresDialect {
  readonly #createDriver: () => PostgresDriver;

  constructor(pool: pg.Pool, createDriver: (config: PostgresDialectConfig) => PostgresDriver) {
    const config = { pool };
    super(config);
    this.#createDriver = () => createDriver(config);
  }

  override createDriver(): PostgresDriver {
    return this.#createDriver();
  }
}

/** A place in the line is held for as long as a connection: until its last statement has ended, aborted or not. */
class LinedDriver extends PostgresDriver {
  readonly #line: WaitingLine;
  readonly #connect: () => Promise<PooledConnection>;
  readonly #waited: Waited;

  constructor(
    line: WaitingLine,
    connect: () => Promise<PooledConnection>,
    waited: Waited,
    config: PostgresDialectConfig,
  ) {
    super(config);
    this.#line = line;
    this.#connect = connect;
    this.#waited = waited;
  }

  override async acquireConnection({ wantedBy }: LoanOptions = {}): Promise<PooledConnection> {
    const from = performance.now();
    try {
      if (!(await this.#line.enter(wantedBy))) {
        const cause = new Error("no connection came free in time");
        throw new PrivacyError("UNAVAILABLE", { cause });
      }
      try {
        return await this.#connect();
      } catch (failure) {
        this.#line.leave();
        throw failure;
      }
    } finally {
      this.#waited((performance.now() - from) / 1_000);
    }
  }

  override async releaseConnection(connection: unknown): Promise<void> {
    (connection as PooledConnection).release();
    this.#line.leave();
  }

  // Kysely's own would forget a client that is connecting, and the pool would wait for it for ever.
  override async destroy(): Promise<void> {
    await this.#line.idle();
    await super.destroy();
  }
}
