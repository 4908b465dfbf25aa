import type { Audience, PrivacySetting } from "../../../src/domain/settings.ts";
import type { UserId } from "../../../src/domain/users.ts";
import type { Database } from "../../../src/store/database.ts";
import { statementsOf } from "../../support/statements.ts";

/** What a parameter of a recorded statement holds. `pair` is the name of the lock of two users. */
export type Role = "actor" | "target" | "pair" | "setting" | "audience";

/** A parameter that is the same in every transaction. */
type Constant = { readonly value: number | null };

/** A statement with what its parameters hold, in their order. */
export interface RecordedStatement {
  readonly text: string;
  readonly parameters: readonly (Role | Constant)[];
}

const actor = "00000000-0000-4000-8000-00000000000a" as UserId;
const target = "00000000-0000-4000-8000-00000000000b" as UserId;
const setting: PrivacySetting = "last_seen";
const audience: Audience = "none";
const roles: ReadonlyMap<unknown, Role> = new Map<unknown, Role>([
  [actor, "actor"],
  [target, "target"],
  [setting, "setting"],
  [audience, "audience"],
  [pairName(actor, target), "pair"],
]);

/** The statements of the service's own transaction of a block, from begin to commit. */
export function blockStatements(url: string): Promise<RecordedStatement[]> {
  return recorded(url, ({ blocks }) => blocks.block(actor, target));
}

/** The statements of the service's own transaction of an unblock, from begin to commit. */
export function unblockStatements(url: string): Promise<RecordedStatement[]> {
  return recorded(url, ({ blocks }) => blocks.unblock(actor, target));
}

/** The statements of the service's own transaction of a changed setting, from begin to commit. */
export function settingStatements(url: string): Promise<RecordedStatement[]> {
  return recorded(url, ({ settings }) => settings.set(actor, setting, audience));
}

/** The name of the lock of two users: the lower id first. */
export function pairName(a: string, b: string): string {
  return a < b ? `${a}:${b}` : `${b}:${a}`;
}

async function recorded(
  url: string,
  run: (database: Database) => Promise<unknown>,
): Promise<RecordedStatement[]> {
  const sent = await statementsOf(url, (database) => run(database).catch(() => {}));
  const first = sent.findIndex(({ parameters }) => parameters.length > 0);
  return [
    // Sent at once, as the service does.
    {
      text: sent
        .slice(0, first)
        .map(({ sql }) => sql)
        .join("; "),
      parameters: [],
    },
    ...sent.slice(first).map(({ sql, parameters }) => ({
      // The actor does not exist, so the recorded transaction was rolled back.
      text: sql === "rollback" ? "commit" : sql,
      parameters: parameters.map((value) => roles.get(value) ?? constant(value)),
    })),
  ];
}

function constant(value: unknown): Constant {
  if (typeof value === "number" || value === null) return { value };
  throw new Error(`a recorded statement has the parameter ${value}, of which nothing is known`);
}
