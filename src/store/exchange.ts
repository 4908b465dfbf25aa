import pg from "pg";

/** A statement as the driver prepares it; without a name it is parsed each time. */
export interface PreparedStatement {
  readonly name: string | undefined;
  readonly text: string;
  readonly values: readonly unknown[];
}

/** What the driver's own query does with the answers to it, of which its types tell nothing. */
interface Answered extends pg.Query {
  readonly name?: string;
  readonly text: string;
  readonly _result: pg.Result & { _types?: unknown };
  /** Why a row could not be read. */
  readonly _canceledDueToError: Error | false;
  prepare(connection: Connection): void;
  handleRowDescription(message: unknown): void;
  handleDataRow(message: unknown): void;
  handleCommandComplete(message: unknown, connection: Connection): void;
}

interface Connection extends pg.Connection {
  readonly submittedNamedStatements: Record<string, string>;
}

/** A statement after which others may follow in the same exchange: only its last one says so. */
class Part extends pg.Query {
  _getRows(connection: pg.Connection): void {
    connection.execute({ portal: "", rows: "0" }, false);
  }
}

/**
 * Statements that are sent together and answered together. Each begins when the one before has ended, and sees what
 * had been committed by then, as if it had been sent alone; after one that fails none is run. It saves the ways there
 * and back: docs/decisions/0007-one-exchange.md.
 *
 * The driver takes it for one query (`Submittable`); `callback` gets the results.
 */
export class Exchange implements pg.Submittable {
  callback: (failure: Error | null, results?: pg.Result[]) => void;
  readonly #parts: readonly Answered[];
  #answered = 0;

  constructor(statements: readonly PreparedStatement[], types: unknown, callback: Exchange["callback"]) {
    this.callback = callback;
    this.#parts = statements.map(({ values, ...statement }) => {
      const part = new Part({ ...statement, values: [...values] } as pg.QueryConfig) as unknown as Answered;
      part._result._types = types;
      return part;
    });
  }

  // The driver asks whose statement was parsed, or failed.
  get name(): string | undefined {
    return this.#parts[this.#answered]?.name;
  }

  get text(): string | undefined {
    return this.#parts[this.#answered]?.text;
  }

  submit(connection: pg.Connection): void {
    connection.stream.cork();
    try {
      for (const part of this.#parts) part.prepare(connection as Connection);
      connection.sync();
    } finally {
      connection.stream.uncork();
    }
  }

  handleRowDescription(message: unknown): void {
    this.#parts[this.#answered]?.handleRowDescription(message);
  }

  handleDataRow(message: unknown): void {
    this.#parts[this.#answered]?.handleDataRow(message);
  }

  handleCommandComplete(message: unknown, connection: Connection): void {
    this.#parts[this.#answered]?.handleCommandComplete(message, connection);
    this.#answered++;
  }

  handleError(failure: Error, connection: Connection): void {
    // The server has passed over what comes after a failure: it knows nothing of these names.
    for (const { name } of this.#parts.slice(this.#answered))
      if (name !== undefined) delete connection.submittedNamedStatements[name];
    this.callback(failure);
  }

  handleReadyForQuery(): void {
    const unread = this.#parts.find(({ _canceledDueToError }) => _canceledDueToError)?._canceledDueToError;
    const results = this.#parts.map(({ _result }) => _result);
    if (unread) this.callback(unread);
    else this.callback(null, results);
  }
}
