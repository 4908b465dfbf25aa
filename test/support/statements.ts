import { type CompiledQuery, Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import { type Database, databaseOn } from "../../src/store/database.ts";
import { SqlExecutor } from "../../src/store/executor.ts";

/** A statement as it goes to the server. */
export type Statement = Pick<CompiledQuery, "sql" | "parameters">;

/** Runs operations of the store on a migrated database, and returns every statement that they sent. */
export async function statementsOf(
  url: string,
  run: (database: Database) => Promise<unknown>,
): Promise<Statement[]> {
  const sent: Statement[] = [];
  const db = new Kysely<unknown>({
    dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: url, max: 2 }) }),
    log: ({ query }) => {
      sent.push(query);
    },
  });
  const executor = new SqlExecutor(db);
  const database = databaseOn({
    kind: "postgresql",
    executor,
    checks: executor,
    description: "recorded",
    watch: () => {},
    isSaturated: () => false,
    pools: () => [],
    migrate: async () => [],
    close: () => db.destroy(),
  });
  try {
    await run(database);
    return sent;
  } finally {
    await database.close();
  }
}
