import type { DatabaseConnection } from "kysely";

/**
 * Keeps Kysely from writing to the console for every statement that a caller's signal cancels: by then the caller
 * has its answer. When the cancellation itself fails, the statement is left to its timeout.
 */
export async function quietAborts(connection: DatabaseConnection): Promise<void> {
  const execute = connection.executeQuery.bind(connection);
  connection.executeQuery = async (query, options) => {
    try {
      return await execute(query, options);
    } catch (failure) {
      if (options?.signal?.aborted) return { rows: [] };
      throw failure;
    }
  };
  const cancel = connection.cancelQuery?.bind(connection);
  if (cancel !== undefined) connection.cancelQuery = (provider) => cancel(provider).catch(() => {});
}
