import type pg from "pg";
import type { RecordedStatement, Role } from "./recorded-statements.ts";

/** Runs a recorded transaction statement by statement and returns the last row that it gave. */
export async function runTransaction(
  pool: pg.Pool,
  name: string,
  statements: readonly RecordedStatement[],
  given: Partial<Record<Role, string>>,
): Promise<pg.QueryResultRow | undefined> {
  const client = await pool.connect();
  let failure: Error | undefined;
  try {
    let row: pg.QueryResultRow | undefined;
    for (const [index, { text, parameters }] of statements.entries()) {
      if (parameters.length === 0) {
        await client.query(text);
        continue;
      }
      const values = parameters.map((parameter) =>
        typeof parameter === "string" ? given[parameter] : parameter.value,
      );
      const { rows } = await client.query({ name: `${name} ${index}`, text, values });
      row = rows[0] ?? row;
    }
    return row;
  } catch (error) {
    failure = error as Error;
    throw error;
  } finally {
    // A connection whose transaction failed is closed, which rolls the transaction back.
    client.release(failure);
  }
}
