import { type RawBuilder, sql } from "kysely";
import type { ChangeKind } from "../domain/changes.ts";

/** The columns of a key, by their names in the change log. */
export type KeyColumn = "owner" | "setting" | "target";

/** What is said of a key besides. The columns have these names. */
type StateColumn = "audience" | "created_at" | "expires_at" | "scopes";

/** A table on which decisions rest. */
interface StoredTable {
  readonly name: string;
  /** The columns of the primary key, in its order. */
  readonly key: Readonly<Partial<Record<KeyColumn, string>>> & { readonly owner: string };
  readonly state: readonly StateColumn[];
}

/** The tables on which decisions rest, by what their rows are about. */
export const storedTables = {
  user: { name: "users", key: { owner: "id" }, state: [] },
  setting: {
    name: "privacy_settings",
    key: { owner: "user_id", setting: "setting" },
    state: ["audience"],
  },
  exception: {
    name: "privacy_exceptions",
    key: { owner: "user_id", setting: "setting", target: "excepted_id" },
    state: ["created_at"],
  },
  block: {
    name: "blocks",
    key: { owner: "blocker_id", target: "blocked_id" },
    state: ["created_at", "expires_at"],
  },
  mute: {
    name: "mutes",
    key: { owner: "muter_id", target: "muted_id" },
    state: ["created_at", "expires_at", "scopes"],
  },
  follow: {
    name: "follows",
    key: { owner: "follower_id", target: "followee_id" },
    state: ["created_at"],
  },
} as const satisfies Record<ChangeKind, StoredTable>;

/** The table of a kind. */
export function storedTable(kind: ChangeKind): StoredTable {
  return storedTables[kind];
}

/** The name of the type of a column of a key. */
export function keyType(column: KeyColumn | undefined): RawBuilder<unknown> {
  return sql.raw(column === "setting" ? "text" : "uuid");
}
