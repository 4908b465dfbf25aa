import pg from "pg";

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
    const named = typeof config === "string" && Array.isArray(values) && values.length > 0;
    const result = named
      ? query.call(this, { name: this.#nameOf(config), text: config, values }, callback)
      : query.call(this, config, values, callback);
    if (result instanceof Promise) {
      result.catch((failure: Error) => {
        if (isUnsettled(failure, config)) void this.end();
      });
    }
    return result as never;
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
function isUnsettled(failure: Error & { severity?: unknown }, config: unknown): boolean {
  return failure.severity === "FATAL" || failure.message === "Query read timeout" || config === "rollback";
}
