import pg from "pg";
import type { ConnectionTarget } from "./connection-target.ts";
import { isConnectionUnusable, isPlanStale } from "./errors.ts";
import { Exchange } from "./exchange.ts";
import { StatementNames } from "./statement-names.ts";

export interface PreparedClientConfig extends pg.ClientConfig {
  /** Shared by the connections of a process; `null` leaves all statements unprepared. */
  readonly statementNames?: StatementNames | null | undefined;
  /** Where the connection leads, and what it is started with. */
  readonly target?: ConnectionTarget | undefined;
}

/**
 * A PostgreSQL client that prepares every statement with values once, by name, and that ends itself when it is of no
 * further use.
 */
export class PreparedClient extends pg.Client {
  readonly #names: StatementNames | null;

  constructor({ statementNames = new StatementNames(), target, ...config }: PreparedClientConfig = {}) {
    super(target === undefined ? config : target.configure(config));
    this.#names = statementNames;
    // Without a listener a lost connection ends the process; the statement in flight rejects anyway.
    this.on("error", () => {});
  }

  // The one signature that stands for all of the base class's.
  override query(config: unknown, values?: unknown, callback?: unknown): never {
    const query = super.query as (this: pg.Client, ...parameters: unknown[]) => unknown;
    if (typeof config !== "string" || callback !== undefined || typeof values === "function")
      return query.call(this, config, values, callback) as never;
    const prepared = Array.isArray(values) && values.length > 0;
    const name = prepared ? this.#names?.nameOf(config) : undefined;
    const { promise, done } = this.#answer<pg.QueryResult>(() => ({ name, text: config }));
    query.call(this, prepared ? { name, text: config, values } : config, undefined, done);
    return promise as never;
  }

  /** Runs statements in one exchange: see `Exchange`. Rejects with the first failure. */
  queryAll(statements: readonly { text: string; values: readonly unknown[] }[]): Promise<pg.Result[]> {
    const named = statements.map(({ text, values }) => ({ name: this.#names?.nameOf(text), text, values }));
    const { _types: types } = this as unknown as { _types: unknown };
    const { promise, done } = this.#answer<pg.Result[]>(() => exchange);
    const exchange = new Exchange(named, types, done);
    super.query(exchange);
    return promise;
  }

  /** Closes the socket without the protocol's goodbye: what runs on the connection fails at once. */
  destroy(): void {
    this.connection.stream.destroy();
  }

  /**
   * The promise of an answer, and what the driver is to call with it. The driver's own promises are three for each.
   * `failing` returns the statement that failed.
   */
  #answer<Answer>(failing: () => { readonly name?: string | undefined; readonly text?: string | undefined }) {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const done = (failure: Error | null, answer?: Answer) => {
      if (!failure) return resolve(answer as Answer);
      const { name, text } = failing();
      // After a failed rollback the transaction may be open.
      if (isConnectionUnusable(failure) || text === "rollback") void this.end();
      if (isPlanStale(failure) && name !== undefined && text !== undefined) this.#names?.renew(text, name);
      reject(failure);
    };
    return { promise, done };
  }
}
