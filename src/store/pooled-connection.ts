import { setTimeout } from "node:timers/promises";
import type { CompiledQuery, QueryResult } from "kysely";
import type { CancelOutcome } from "./cancel-request.ts";
import type { LentConnection } from "./lend.ts";
import type { PreparedClient } from "./prepared-client.ts";

/** The backoff between two cancellations of one statement: the first pause, which doubles up to the longest. */
const cancelBackoff = { firstMs: 50, longestMs: 1_000 };

/** A client of a pool. */
export type PooledClient = Pick<PreparedClient, "query" | "queryAll" | "destroy"> & {
  /** Gives the client back to its pool, which ends it when `destroy` is true. */
  release(destroy: boolean): void;
};

/** What a pool knows of a connection. Times are those of `performance.now()`. */
export interface ConnectionOrigin {
  /** The server at its other end, as `ServerState` tells them apart. */
  readonly server: string;
  /** When it began to connect. */
  readonly openedAt: number;
  /** From then on it is not used again. */
  readonly expiresAt: number;
}

/** A connection of a pool. */
export class PooledConnection implements LentConnection {
  readonly origin: ConnectionOrigin;
  readonly #client: PooledClient;
  readonly #cancel: (ended: Promise<void>) => Promise<CancelOutcome>;
  #running: Promise<unknown> | undefined;
  #isClosed = false;

  /** `cancel` asks the server to cancel what the client runs, until that has `ended`. */
  constructor(
    client: PooledClient,
    cancel: (ended: Promise<void>) => Promise<CancelOutcome>,
    origin: ConnectionOrigin,
  ) {
    this.#client = client;
    this.#cancel = cancel;
    this.origin = origin;
  }

  /** Whether it is not to be used again. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Ends the connection now: what runs on it fails. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#client.destroy();
  }

  async executeQuery<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
    const { rows } = await this.#run<{ rows: Row[] }>(this.#client.query(sql, parameters as unknown[]));
    return { rows };
  }

  async executeAll<Row>(queries: readonly CompiledQuery[]): Promise<QueryResult<Row>> {
    const statements = queries.map(({ sql, parameters }) => ({ text: sql, values: parameters }));
    const results = await this.#run(this.#client.queryAll(statements));
    return { rows: results.at(-1)?.rows ?? [] };
  }

  /**
   * Cancels the running statement, again and again until it ends: a cancellation that overtakes its statement has no
   * effect. After it resolves no cancellation can hit a later statement: none is under way, or `release` ends the
   * connection.
   */
  async cancelRunning(): Promise<void> {
    const statement = this.#running;
    const ended = Promise.resolve(statement).then(
      () => {},
      () => {},
    );
    let pauseMs = cancelBackoff.firstMs;
    while (statement !== undefined && this.#running === statement) {
      if ((await this.#cancel(ended)) === "unknown") this.#isClosed = true;
      await Promise.race([ended, setTimeout(pauseMs, undefined, { ref: false })]);
      pauseMs = Math.min(pauseMs * 2, cancelBackoff.longestMs);
    }
  }

  streamQuery(): never {
    throw new Error("no statement of ours is read as a stream");
  }

  /** Gives the client back to its pool, or ends it when it must not be used again. */
  release(): void {
    this.#client.release(this.#isClosed || performance.now() >= this.origin.expiresAt);
  }

  async #run<Result>(statement: Promise<Result>): Promise<Result> {
    this.#running = statement;
    try {
      return await statement;
    } finally {
      this.#running = undefined;
    }
  }
}
