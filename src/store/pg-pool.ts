import { hash } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import type { CompiledQuery } from "kysely";
import type pg from "pg";
import { boundedCancel, type Cancel } from "./cancel-request.ts";
import type { Connection, ConnectionPool, PoolLimits, PoolStats } from "./connection.ts";
import { type ConnectionTarget, disconnect, makePool, ReadTimeout } from "./connection-target.ts";
import { isConnectionUnusable, isPlanStale } from "./errors.ts";
import { Semaphore } from "./semaphore.ts";
import { inspectServer } from "./server-state.ts";

/** The part of its maximum age by which a connection may be replaced earlier, so that not all are replaced at once. */
const ageJitter = 1 / 5;

/** The pauses between two cancellations of one statement: the first one, which doubles up to the longest. */
const cancelBackoff = { firstMs: 50, longestMs: 1_000 };

/** A connection keeps every statement that it has prepared in the server's memory. */
const maxPreparedStatements = 500;

/** Called with how long a connection of a pool was waited for, whether there was one or not. */
export type OnWait = (pool: string, seconds: number) => void;

export interface PgPoolOptions extends PoolLimits {
  readonly name: string;
  /** Where its connections lead. */
  readonly target: ConnectionTarget;
  /** The configuration of its clients, which the target completes. */
  readonly client: pg.ClientConfig;
  /** Names the prepared statements; undefined to prepare none. */
  readonly statementNames: StatementNames | undefined;
  /** Called with the messages of connections that broke while they were idle. */
  readonly log: (message: string) => void;
  readonly cancel?: Cancel | undefined;
  readonly onWait?: OnWait | undefined;
  /** How old a connection may become. */
  readonly maxAgeSeconds?: number | undefined;
}

/** Where a connection leads, and since when. Times are those of `performance.now()`. */
export interface ConnectionOrigin {
  /** The server, as `ServerState` tells them apart. */
  readonly server: string;
  /** When it began to connect. */
  readonly openedAt: number;
}

/** A pool of PostgreSQL connections: `pg.Pool`, with a bounded queue before it. */
export class PgPool implements ConnectionPool {
  readonly #options: PgPoolOptions;
  readonly #cancel: Cancel;
  readonly #pool: pg.Pool;
  readonly #connections = new Map<pg.PoolClient, PgConnection>();
  /** A permit is held for as long as a connection: until its last statement has ended, cancelled or not. */
  readonly #permits: Semaphore;

  constructor(options: PgPoolOptions) {
    this.#options = options;
    const { target, client, maxConnections, log } = options;
    this.#cancel = options.cancel ?? boundedCancel(1);
    this.#permits = new Semaphore({
      ...options,
      permits: maxConnections,
      failure: "no connection came free in time",
    });
    // Nobody waits in its own queue, so it needs no timeout there.
    this.#pool = makePool(target, { ...client, query_timeout: 0 }, { max: maxConnections });
    this.#pool.on("error", ({ message }, client) => {
      if (!this.#connections.get(client)?.isClosed) log(`an idle connection broke: ${message}`);
    });
    this.#pool.on("remove", (client) => {
      this.#connections.get(client)?.dispose();
      this.#connections.delete(client);
    });
  }

  get isSaturated(): boolean {
    return this.#permits.isSaturated;
  }

  stats(): PoolStats {
    const { name, maxConnections: max } = this.#options;
    const { totalCount: open, idleCount: idle } = this.#pool;
    return { name, max, open, idle, waiting: this.#permits.waiting };
  }

  async acquire(signal?: AbortSignal): Promise<PgConnection> {
    const from = performance.now();
    try {
      await this.#permits.acquire(signal);
      try {
        return await this.#options.target.connect(() => this.#connect());
      } catch (failure) {
        this.#permits.release();
        throw failure;
      }
    } finally {
      this.#options.onWait?.(this.#options.name, (performance.now() - from) / 1_000);
    }
  }

  release(connection: PgConnection): void {
    connection.release();
    this.#permits.release();
  }

  /** Closes the connections of some origins now: what runs on them fails. */
  closeConnections(isOutdated: (origin: ConnectionOrigin) => boolean): void {
    for (const connection of this.#connections.values())
      if (isOutdated(connection.origin)) connection.close();
  }

  async close(): Promise<void> {
    await this.#permits.waitUntilIdle();
    await this.#pool.end();
  }

  async #connect(): Promise<PgConnection> {
    const openedAt = performance.now();
    const client = await this.#pool.connect();
    const known = this.#connections.get(client);
    if (known !== undefined) return known;
    const {
      target,
      client: config,
      statementNames,
      maxAgeSeconds = Number.POSITIVE_INFINITY,
    } = this.#options;
    const readTimeout = new ReadTimeout(client, target.readTimeoutMs(config));
    try {
      readTimeout.start();
      const state = await inspectServer(client);
      await target.assertSettings(client, config, state);
      readTimeout.stop();
      const connection = new PgConnection(client, {
        cancel: this.#cancel,
        readTimeout,
        statementNames,
        origin: { server: state.server, openedAt },
        expiresAt: openedAt + maxAgeSeconds * 1_000 * (1 - ageJitter * Math.random()),
      });
      this.#connections.set(client, connection);
      return connection;
    } catch (failure) {
      readTimeout.dispose();
      client.release(true);
      throw failure;
    }
  }
}

interface PgConnectionOptions {
  readonly cancel: Cancel;
  readonly readTimeout: ReadTimeout;
  readonly statementNames: StatementNames | undefined;
  readonly origin: ConnectionOrigin;
  /** From then on it is not used again, on the clock of `performance.now()`. */
  readonly expiresAt: number;
}

/** A connection of a `PgPool`. */
export class PgConnection implements Connection {
  readonly #client: pg.PoolClient;
  readonly #options: PgConnectionOptions;
  #running: Promise<unknown> | undefined;
  #isClosed = false;

  constructor(client: pg.PoolClient, options: PgConnectionOptions) {
    this.#client = client;
    this.#options = options;
  }

  get origin(): ConnectionOrigin {
    return this.#options.origin;
  }

  /** Whether it is not to be used again. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  query<Row>({ sql: text, parameters }: CompiledQuery<Row>): Promise<Row[]> {
    const name = parameters.length > 0 ? this.#options.statementNames?.nameOf(text) : undefined;
    return this.#run<Row>({ text, values: [...parameters], ...(name !== undefined && { name }) });
  }

  async execute(statements: string): Promise<void> {
    await this.#run({ text: statements });
  }

  /**
   * Cancels the running statement, again and again until it ends: a cancellation that overtakes its statement has no
   * effect. A cancellation whose effect is unknown closes the connection.
   */
  async cancel(): Promise<void> {
    const statement = this.#running;
    if (statement === undefined) return;
    const ended = new AbortController();
    const end = () => ended.abort();
    statement.then(end, end);
    let pauseMs = cancelBackoff.firstMs;
    while (this.#running === statement) {
      const outcome = await this.#options.cancel(this.#client, ended.signal).catch(() => "unknown");
      if (outcome === "unknown") this.#isClosed = true;
      await setTimeout(pauseMs, undefined, { ref: false, signal: ended.signal }).catch(() => {});
      pauseMs = Math.min(pauseMs * 2, cancelBackoff.longestMs);
    }
  }

  /** Closes the connection now: what runs on it fails. */
  close(): void {
    this.#isClosed = true;
    disconnect(this.#client);
  }

  /** Gives the client back to `pg.Pool`, which ends it when it must not be used again. */
  release(): void {
    const isReusable =
      !this.#isClosed &&
      this.#client.getTransactionStatus() === "I" &&
      performance.now() < this.#options.expiresAt;
    this.#client.release(!isReusable);
  }

  /** The connection was removed from its pool. */
  dispose(): void {
    this.#options.readTimeout.dispose();
  }

  /** Runs a statement by a callback: a promise of the driver costs three. */
  #run<Row>(query: pg.QueryConfig): Promise<Row[]> {
    const { promise, resolve, reject } = Promise.withResolvers<Row[]>();
    const { readTimeout } = this.#options;
    this.#running = promise;
    readTimeout.start();
    this.#client.query(query, (failure: Error | undefined, result) => {
      this.#running = undefined;
      readTimeout.stop();
      if (!failure) return resolve(result.rows as Row[]);
      if (isConnectionUnusable(failure)) this.#end();
      if (isPlanStale(failure) && query.name !== undefined)
        this.#options.statementNames?.renew(query.text, query.name);
      reject(failure);
    });
    return promise;
  }

  /** Ends the connection: what it is asked from now on fails. */
  #end(): void {
    this.#isClosed = true;
    void this.#client.end();
  }
}

/**
 * Names prepared statements by a hash of their text. Behind a pooler several clients share one server connection, and
 * another client may have prepared a name: a hash makes sure that the name means the same text.
 */
export class StatementNames {
  readonly #names = new Map<string, string>();
  #generation = 0;

  /** Returns the name of a statement; undefined when there are too many: such a statement is not prepared. */
  nameOf(text: string): string | undefined {
    let name = this.#names.get(text);
    if (name === undefined && this.#names.size < maxPreparedStatements) {
      // With the generation within the limit of 63 bytes on names.
      name = `${hash("sha256", text, "base64url")}.${this.#generation}`;
      this.#names.set(text, name);
    }
    return name;
  }

  /**
   * Gives every statement a new name, so that each connection prepares it anew. Does nothing when `name` is no longer
   * the name of `text`: another connection has met the same failure before.
   */
  renew(text: string, name: string): void {
    if (this.#names.get(text) !== name) return;
    this.#names.clear();
    this.#generation++;
  }
}
