import { setTimeout } from "node:timers/promises";
import type { ControlConnectionProvider, DatabaseConnection } from "kysely";

/** Between two cancellations of one statement: several times what the first needs to take effect. In milliseconds. */
const againMs = 50;

/**
 * Has a connection's statements cancelled over another connection when a caller's signal aborts, and keeps Kysely
 * from writing to the console for each of them: by then the caller has its answer.
 *
 * A statement is cancelled again for as long as it runs: a cancellation that overtakes its statement is lost.
 */
export function quietAborts(control: ControlConnectionProvider) {
  return async (connection: DatabaseConnection): Promise<void> => {
    const execute = connection.executeQuery.bind(connection);
    const cancel = connection.cancelQuery?.bind(connection);
    let running: Promise<unknown> | undefined;

    connection.executeQuery = async (query, options) => {
      const result = execute<never>(query, options);
      running = result;
      try {
        return await result;
      } catch (failure) {
        if (options?.signal?.aborted) return { rows: [] };
        throw failure;
      } finally {
        running = undefined;
      }
    };

    connection.cancelQuery = async () => {
      const statement = running;
      const settled = statement?.catch(() => {});
      while (statement !== undefined && running === statement) {
        await cancel?.(control).catch(() => {});
        await Promise.race([settled, setTimeout(againMs, undefined, { ref: false })]);
      }
    };
  };
}
