import pg from "pg";
import { Exchange } from "./exchange.ts";

const maxNames = 500;

/**
 * A PostgreSQL client that prepares every statement with values once, by name, and that ends itself when it is of no
 * further use.
 */
export class PreparedClient extends pg.Client {
  readonly #names = new Map<string, string>();

  constructor(config?: pg.ClientConfig) {
    super(config);
    // Without a listener a lost connection ends the process; the statement in flight rejects anyway.
    this.on("error", () => {});
  }

  // The one signature that stands for all of the base class's.
  override query(config: unknown, values?: unknown, callback?: unknown): never {
    const query = super.query as (this: pg.Client, ...parameters: unknown[]) => unknown;
    if (typeof config !== "string" || callback !== undefined || typeof values === "function")
      return query.call(this, config, values, callback) as never;
    const { promise, done } = this.#answer<pg.QueryResult>(config);
    const named = Array.isArray(values) && values.length > 0;
    query.call(this, named ? { name: this.#nameOf(config), text: config, values } : config, undefined, done);
    return promise as never;
  }

  /** Runs statements in one exchange: see `Exchange`. Rejects with the first failure. */
  queryAll(statements: readonly { text: string; values: readonly unknown[] }[]): Promise<pg.Result[]> {
    const named = statements.map(({ text, values }) => ({ name: this.#nameOf(text), text, values }));
    const { _types: types } = this as unknown as { _types: unknown };
    const { promise, done } = this.#answer<pg.Result[]>();
    super.query(new Exchange(named, types, done));
    return promise;
  }

  /** The promise of an answer, and what the driver is to call with it. The driver's own promises are three for each. */
  #answer<Answer>(text?: string) {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const done = (failure: Error | null, answer?: Answer) => {
      if (!failure) return resolve(answer as Answer);
      if (isUnsettled(failure, text)) void this.end();
      reject(failure);
    };
    return { promise, done };
  }

  // Undefined when the table is full: such a statement runs unprepared.
  #nameOf(text: string): string | undefined {
    let name = this.#names.get(text);
    if (name === undefined && this.#names.size < maxNames) {
      name = `s${this.#names.size}`;
      this.#names.set(text, name);
    }
    return name;
  }
}

// After a fatal error the server closes the connection, after the client-side timeout it may be busy with the
// statement still, and after a failed rollback the transaction may be open: the pool would hand such a client to the
// next caller.
function isUnsettled(failure: Error & { severity?: unknown }, text: string | undefined): boolean {
  return failure.severity === "FATAL" || failure.message === "Query read timeout" || text === "rollback";
}
