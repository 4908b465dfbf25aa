import type { CompiledQuery } from "kysely";
import { type Backend, type Database, type DatabaseOptions, databaseOn } from "../../src/store/database.ts";
import { openEmbedded } from "../../src/store/embedded.ts";
import { openPostgresql } from "../../src/store/postgresql.ts";
import { compile, type Sendable } from "../../src/store/statement.ts";
import { rewriteStatements } from "./rewritten-statements.ts";
import { TestClock } from "./test-clock.ts";

interface OpenedBackendOptions {
  /** The database has a clock that can be moved. */
  readonly hasClock?: boolean;
}

/** A database that a test opens for a service, to read and change it beside the service. */
export class OpenedBackend {
  /** The statements outside of transactions, and the transactions that begin. */
  readonly sent: string[] = [];
  /** Called before each statement outside of a transaction; what it throws fails the statement. */
  beforeRead: (sql: string) => Promise<void> | void = () => {};
  /** Of a database that is open and has one. */
  clock: TestClock | undefined;
  readonly #hasClock: boolean;
  /** Returns what is sent instead of a statement of the service. */
  rewrite: (sql: string) => string = (sql) => sql;
  /** Called for each statement outside of a transaction, and for those of a transaction when its last attempt has ended. */
  onStatement: (statement: CompiledQuery) => void = () => {};
  #backend: Backend | undefined;

  constructor({ hasClock = false }: OpenedBackendOptions = {}) {
    this.#hasClock = hasClock;
  }

  /** To be given to `startService`. */
  readonly open = async (options: DatabaseOptions): Promise<Database> => {
    const { url, dataDir = "", log = () => {}, ...others } = options;
    const backend =
      url === undefined ? await openEmbedded(dataDir, log, others) : await openPostgresql(url, log, others);
    this.#backend = backend;
    if (this.#hasClock) this.clock = await TestClock.install(backend.executor);
    rewriteStatements(backend, (sql) => this.rewrite(sql));
    const { executor } = backend;
    const read = executor.read.bind(executor);
    const transaction = executor.transaction.bind(executor);
    executor.read = async (statement, signal) => {
      const query = compile(statement);
      await this.beforeRead(query.sql);
      this.sent.push(query.sql);
      this.onStatement(query);
      return read(statement, signal);
    };
    executor.transaction = async (work, transactionOptions) => {
      this.sent.push("begin");
      let attempt: CompiledQuery[] = [];
      try {
        return await transaction((run) => {
          attempt = [];
          return work((...statements) => {
            attempt.push(...statements.map((statement) => compile<unknown>(statement)));
            return run(...statements);
          });
        }, transactionOptions);
      } finally {
        for (const query of attempt) this.onStatement(query);
      }
    };
    return databaseOn(backend);
  };

  /** The database that was opened. */
  get database(): Database {
    return databaseOn(this.#opened);
  }

  /** Runs a statement. */
  run<Row>(statement: Sendable<Row>): Promise<Row[]> {
    return this.#opened.executor.transaction((run) => run(statement));
  }

  get #opened(): Backend {
    if (this.#backend === undefined) throw new Error("not open");
    return this.#backend;
  }
}
