import type { ControlConnectionProvider, DatabaseConnection } from "kysely";

/**
 * Has a connection's statements cancelled over another connection when a caller's signal aborts, and keeps Kysely
 * from writing to the console for each of them: by then the caller has its answer. When the cancellation itself
 * fails, the statement is left to its timeout.
 */
export function quietAborts(control: ControlConnectionProvider) {
  return async (connection: DatabaseConnection): Promise<void> => {
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
    connection.cancelQuery = async () => {
      await cancel?.(control).catch(() => {});
    };
  };
}
