import type { PoolStats } from "./connection.ts";
import type { SqlExecutor } from "./executor.ts";

/** An open database, before anything is known of its tables. */
export interface Backend {
  readonly kind: "postgresql" | "embedded";
  readonly executor: SqlExecutor;
  /** For decisions: nothing else can keep them waiting. */
  readonly checks: SqlExecutor;
  /** Where the data is, without credentials. */
  readonly description: string;
  /**
   * From now on nothing waits for a database that is away: it fails at once. `onChange` is told when it goes away, and
   * when it is back. Needs the tables.
   */
  watch(onChange: (present: boolean) => void): void;
  /** Whether what comes now, decisions apart, finds no connection soon and fails at once. Asked for each that comes. */
  isSaturated(): boolean;
  /** The pools of connections, of a backend that has some. */
  pools(): PoolStats[];
  /** Applies the pending migrations and returns their names. */
  migrate(): Promise<string[]>;
  /** Waits for the statements under way, and lets go of everything. */
  close(): Promise<void>;
}
