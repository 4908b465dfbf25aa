import type { Session } from "./session.ts";

/** An open database, before anything is known of its tables. */
export interface Backend {
  readonly kind: "postgresql" | "embedded";
  readonly session: Session;
  /** For decisions: nothing else can keep them waiting. */
  readonly checks: Session;
  /** Where the data is, without credentials. */
  readonly description: string;
  /** Applies the pending migrations and returns their names. */
  migrate(): Promise<string[]>;
  /** Waits for the statements under way, and lets go of everything. */
  close(): Promise<void>;
}
