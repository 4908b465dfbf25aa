import type { UserId } from "../../../src/domain/ids.ts";
import { statementsOf } from "../../support/statements.ts";

/** What stands at a place of a statement of a block: a user, or the pair as its lock names it. */
export type Role = "actor" | "target" | "pair";

/** A statement with the roles of its parameters, in their order. */
export interface RoledStatement {
  readonly text: string;
  readonly roles: readonly Role[];
}

const actor = "00000000-0000-4000-8000-00000000000a" as UserId;
const target = "00000000-0000-4000-8000-00000000000b" as UserId;

/** The statements of the service's own transaction of a block, from begin to commit. */
export async function blockStatements(url: string): Promise<RoledStatement[]> {
  const sent = await statementsOf(url, (database) => database.blocks.block(actor, target).catch(() => {}));
  const statements = sent.map(({ sql, parameters }) => ({ text: sql, roles: parameters.map(roleOf) }));
  // Without these users the recorded transaction was rolled back.
  return statements.map(({ text, roles }) => ({ text: text === "rollback" ? "commit" : text, roles }));
}

/** The pair as its lock names it: the lower id first. */
export function pairName(a: string, b: string): string {
  return a < b ? `${a}:${b}` : `${b}:${a}`;
}

function roleOf(value: unknown): Role {
  if (value === actor) return "actor";
  return value === target ? "target" : "pair";
}
