import { createHash } from "node:crypto";
import { sql } from "kysely";
import type { Session } from "./session.ts";

/** What a caller took of a limit, as the milliseconds in which it is forgiven. */
interface Debt {
  readonly key: string;
  readonly ms: number;
}

/** The most rows that are deleted at once. */
const deleteAtMost = 10_000;

/**
 * What callers owe all instances together. Keys name people and addresses: only their digests are stored, for a
 * minute or so beyond the debt. By the clock of the database, and lost when the server crashes.
 */
export class RateDebtRepository {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Adds to what each caller owes, and returns what it owes then. No caller may be named twice. */
  async add(debts: readonly Debt[], signal?: AbortSignal): Promise<Debt[]> {
    const keys = new Map(debts.map(({ key }) => [digest(key), key]));
    const statement = sql<{ caller: string; ms: number }>`
      insert into rate_debts as known (caller, clear_at)
      select caller, now() + ms * interval '1 millisecond'
      from unnest(${[...keys.keys()]}::text[], ${debts.map(({ ms }) => ms)}::float8[]) as added (caller, ms)
      -- Instances that add to the same rows at once must lock them in one order.
      order by caller
      on conflict (caller) do update
      set clear_at = greatest(known.clear_at, now()) + (excluded.clear_at - now())
      returning caller, (extract(epoch from clear_at - now()) * 1000)::float8 as ms`;
    const rows = await this.#session.transaction((run) => run(statement), signal, ["rate debts"]);
    return rows.map(({ caller, ms }) => ({ key: keys.get(caller) ?? "", ms }));
  }

  /** Forgets the callers who owe nothing. */
  async forget(signal?: AbortSignal): Promise<void> {
    const statement = sql`
      delete from rate_debts where caller in (
        select caller from rate_debts where clear_at < now() limit ${deleteAtMost} for update skip locked
      )`;
    await this.#session.transaction((run) => run(statement), signal);
  }
}

function digest(key: string): string {
  return createHash("sha256").update(key).digest("base64url");
}
