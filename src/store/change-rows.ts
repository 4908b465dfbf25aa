import { type RawBuilder, sql } from "kysely";
import type { Change, ChangeCause, ChangeKind } from "../domain/changes.ts";
import { allScopes } from "../domain/changes.ts";
import type { Audience, PrivacySetting } from "../domain/settings.ts";
import type { UserId } from "../domain/users.ts";

/** A row of the change log, or what holds of a key, with times in microseconds since 1970. */
export interface ChangeRow {
  readonly version: string;
  readonly kind: ChangeKind;
  readonly cause: ChangeCause | null;
  readonly changed_at: string | null;
  readonly owner: UserId;
  readonly target: UserId | null;
  readonly present: boolean;
  readonly created_at: string | null;
  readonly expires_at: string | null;
  readonly scopes: number | null;
  readonly setting: PrivacySetting | null;
  readonly audience: Audience | null;
}

/** What a row has by default. */
export const blankRow: Omit<ChangeRow, "owner" | "kind"> = {
  version: "0",
  cause: null,
  changed_at: null,
  target: null,
  present: true,
  created_at: null,
  expires_at: null,
  scopes: null,
  setting: null,
  audience: null,
};

/** A time in microseconds since 1970, as text: drivers round timestamps to milliseconds. Null for one that never comes. */
export function microsOf(time: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`(extract(epoch from nullif(${time}, 'infinity')) * 1000000)::bigint::text`;
}

/** The columns of a `ChangeRow`, from a row `c` of the change log. */
export const changeColumns = sql`c.seq::text as version, c.kind, c.cause, ${microsOf(sql`c.at`)} as changed_at,
  c.owner, c.target, c.present, ${microsOf(sql`c.created_at`)} as created_at,
  ${microsOf(sql`c.expires_at`)} as expires_at, c.scopes, c.setting, c.audience`;

/** The change that a row says. */
export function toChange(row: ChangeRow): Change {
  const { kind, owner, present } = row;
  const target = row.target as UserId;
  const setting = row.setting as PrivacySetting;
  const base = { version: BigInt(row.version), cause: row.cause, changedAt: toMicros(row.changed_at) };
  switch (kind) {
    case "user":
      return { ...base, kind, owner, present };
    case "setting":
      return { ...base, kind, owner, setting, audience: row.audience };
    case "exception":
      return { ...base, kind, owner, setting, target, present };
    default:
      return { ...base, kind, owner, target, edge: present ? edgeOf(row) : null };
  }
}

function edgeOf({ created_at, expires_at, scopes }: ChangeRow) {
  return {
    createdAt: toMicros(created_at) ?? 0n,
    expiresAt: toMicros(expires_at),
    scopes: scopes ?? allScopes,
  };
}

function toMicros(text: string | null): bigint | null {
  return text === null ? null : BigInt(text);
}
