import { setTimeout } from "node:timers/promises";
import { CompiledQuery, type ControlConnectionProvider, type QueryResult } from "kysely";
import type { LentConnection } from "./lend.ts";
import type { PreparedClient } from "./prepared-client.ts";

/** Between two cancellations of one statement: several times what the first needs to take effect. In milliseconds. */
const againMs = 50;

/** A client of a pool. `processID`: the server's process at its other end. */
export type PooledClient = Pick<PreparedClient, "query" | "queryAll"> & {
  readonly processID?: number;
  release(): void;
};

/** A connection of a pool. Its statements are cancelled over another connection, that of `control`. */
export class PooledConnection implements LentConnection {
  readonly #client: PooledClient;
  readonly #control: ControlConnectionProvider | undefined;
  #running: Promise<unknown> | undefined;

  constructor(client: PooledClient, control?: ControlConnectionProvider) {
    this.#client = client;
    this.#control = control;
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

  /** Cancels the statement again for as long as it runs: a cancellation that overtakes its statement is lost. */
  async cancelRunning(): Promise<void> {
    const statement = this.#running;
    const settled = statement?.catch(() => {});
    while (statement !== undefined && this.#running === statement) {
      await this.#cancel(statement).catch(() => {});
      await Promise.race([settled, setTimeout(againMs, undefined, { ref: false })]);
    }
  }

  streamQuery(): never {
    throw new Error("no statement of ours is read as a stream");
  }

  /** Gives the client back to its pool. */
  release(): void {
    this.#client.release();
  }

  async #run<Result>(statement: Promise<Result>): Promise<Result> {
    this.#running = statement;
    try {
      return await statement;
    } finally {
      this.#running = undefined;
    }
  }

  async #cancel(statement: Promise<unknown>): Promise<void> {
    await this.#control?.(async (control) => {
      // It may have ended while the other connection was waited for.
      if (this.#running !== statement) return;
      await control.executeQuery(CompiledQuery.raw(`select pg_cancel_backend(${this.#client.processID})`));
    });
  }
}
