import type { CompiledQuery } from "kysely";
import type { Connection } from "../../src/store/connection.ts";
import { ConnectionTarget, parseDatabaseUrl } from "../../src/store/connection-target.ts";
import { type Database, databaseOn } from "../../src/store/database.ts";
import { SqlExecutor } from "../../src/store/executor.ts";
import { type PgConnection, PgPool } from "../../src/store/pg-pool.ts";

/** A statement as it goes to the server. */
export type Statement = Pick<CompiledQuery, "sql" | "parameters">;

/**
 * Runs operations of the store on a migrated database, and returns every statement that they sent, also of those that
 * were sent in one message.
 */
export async function statementsOf(
  url: string,
  run: (database: Database) => Promise<unknown>,
): Promise<Statement[]> {
  const sent: Statement[] = [];
  const pool = new PgPool({
    ...{ name: "recorded", maxConnections: 2, acquireTimeoutMs: 60_000, maxWaiting: 1_000 },
    target: new ConnectionTarget(parseDatabaseUrl(url), () => {}),
    client: {},
    statementNames: undefined,
    log: () => {},
  });
  const inner = new WeakMap<Connection, PgConnection>();
  const executor = new SqlExecutor({
    isSaturated: false,
    async acquire(signal) {
      const connection = await pool.acquire(signal);
      const recorded: Connection = {
        query(statement) {
          sent.push(statement);
          return connection.query(statement);
        },
        execute(statements) {
          for (const sql of statements.split("; ")) sent.push(withParameters(sql));
          return connection.execute(statements);
        },
        cancel: () => connection.cancel(),
      };
      inner.set(recorded, connection);
      return recorded;
    },
    release: (recorded) => pool.release(inner.get(recorded) as PgConnection),
    close: () => pool.close(),
  });
  const database = databaseOn({
    kind: "postgresql",
    executor,
    checks: executor,
    graph: executor,
    description: "recorded",
    watchAvailability: () => {},
    isSaturated: () => false,
    pools: () => [],
    migrate: async () => [],
    close: () => pool.close(),
  });
  try {
    await run(database);
    return sent;
  } finally {
    await database.close();
  }
}

/** A statement with parameters instead of its texts. A setting has none: its value is no expression. */
function withParameters(statement: string): Statement {
  if (statement.startsWith("set ")) return { sql: statement, parameters: [] };
  const parameters: string[] = [];
  const sql = statement.replaceAll(/'([^']*)'/g, (_, text: string) => `$${parameters.push(text)}`);
  return { sql, parameters };
}
