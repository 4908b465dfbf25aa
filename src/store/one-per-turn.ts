import type { DatabaseConnection } from "kysely";

/**
 * Runs at most one statement in a turn of the event loop. The embedded database works within the process and goes
 * from one statement to the next without letting anything else happen: under load new calls would not even be
 * noticed, and so not refused.
 */
export async function onePerTurn(connection: DatabaseConnection): Promise<void> {
  const execute = connection.executeQuery.bind(connection);
  connection.executeQuery = async (query, options) => {
    await new Promise(setImmediate);
    return execute(query, options);
  };
}
