import pg from "pg";
import type { ChangeKind } from "../../../src/domain/changes.ts";

/** A change as a consumer applies it. */
export interface KeyedChange {
  readonly kind: ChangeKind;
  /** The kind, the ids and the setting, with spaces between them. */
  readonly key: string;
  /** 0 in a snapshot. */
  readonly version: bigint;
  /** What holds from now on; undefined when nothing does. */
  readonly state: string | undefined;
  /** Whether it ended by itself. */
  readonly isExpiry: boolean;
}

/** What holds, by key. */
export type State = ReadonlyMap<string, string>;

/** The key of a change. */
export function keyOf(kind: ChangeKind, ...parts: readonly (string | undefined)[]): string {
  return [kind, ...parts.filter((part) => part !== undefined)].join(" ");
}

/** The users that a key names. */
export function usersOf(key: string): string[] {
  return key.split(" ").filter((part) => part.length === 36);
}

/** A consumer's copy of what holds. */
export class Copy {
  readonly #state: Map<string, string>;

  constructor(state: State = new Map()) {
    this.#state = new Map(state);
  }

  get state(): State {
    return this.#state;
  }

  /** Applies a change by the rule of the API. */
  apply({ kind, key, state }: KeyedChange): void {
    if (state !== undefined) {
      this.#state.set(key, state);
      return;
    }
    if (kind === "user") {
      const [user = ""] = usersOf(key);
      for (const other of this.#state.keys()) if (other.includes(user)) this.#state.delete(other);
    }
    this.#state.delete(key);
  }
}

/** What two states are compared by. */
interface Comparison {
  readonly kinds: ReadonlySet<string>;
  /** What ends by itself before this time, in microseconds since 1970, counts as ended. */
  readonly at: bigint;
}

/** A text for each key that differs. */
export function differences(found: State, expected: State, { kinds, at }: Comparison): string[] {
  const stateIn = (state: State, key: string) => {
    const held = state.get(key);
    return held !== undefined && expiryOf(key, held) > at ? held : undefined;
  };
  const keys = new Set([...found.keys(), ...expected.keys()]);
  return [...keys]
    .filter((key) => kinds.has(kindOf(key)) && stateIn(found, key) !== stateIn(expected, key))
    .map(
      (key) =>
        `${key}: ${stateIn(found, key) ?? "nothing"} instead of ${stateIn(expected, key) ?? "nothing"}`,
    );
}

function kindOf(key: string): string {
  return key.slice(0, key.indexOf(" "));
}

/** When a state ends by itself; infinity for one that does not. */
function expiryOf(key: string, state: string): bigint | number {
  const [, expiry = "never"] = ["block", "mute"].includes(kindOf(key)) ? state.split(" ") : [];
  return expiry === "never" ? Number.POSITIVE_INFINITY : BigInt(expiry);
}

const micros = (column: string) =>
  `case when ${column} = 'infinity' then 'never' else (extract(epoch from ${column}) * 1000000)::bigint::text end`;
const words = (...columns: readonly string[]) => `concat_ws(' ', ${columns.join(", ")})`;
const isKnown = (...columns: readonly string[]) =>
  `not exists (select from users u where u.id in (${columns.join(", ")}) and u.erased_at is not null)`;

const tables = `
  select ${words("'block'", "blocker_id", "blocked_id")} as key,
    ${words(micros("created_at"), micros("expires_at"))} as state
  from blocks where ${isKnown("blocker_id", "blocked_id")}
  union all
  select ${words("'mute'", "muter_id", "muted_id")}, ${words(micros("created_at"), micros("expires_at"), "scopes")}
  from mutes where ${isKnown("muter_id", "muted_id")}
  union all
  select ${words("'follow'", "follower_id", "followee_id")}, ${micros("created_at")}
  from follows where ${isKnown("follower_id", "followee_id")}
  union all
  select ${words("'setting'", "user_id", "setting")}, audience from privacy_settings where ${isKnown("user_id")}
  union all
  select ${words("'exception'", "user_id", "setting", "excepted_id")}, ''
  from privacy_exceptions where ${isKnown("user_id", "excepted_id")}
  union all
  select ${words("'user'", "id")}, '' from users where user_name <> '' and erased_at is null`;

/** What the tables hold at one moment. */
export interface Tables {
  readonly state: State;
  /** The clock of the database, in microseconds since 1970: what the tables hold was committed before it. */
  readonly at: bigint;
  /** The highest version in the log. */
  readonly version: string;
}

/** Reads what the tables hold. */
export async function readTables(url: string): Promise<Tables> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  try {
    await client.query("begin isolation level repeatable read");
    const { rows } = await client.query<{ key: string; state: string }>(tables);
    const [log] = (
      await client.query<{ version: string; at: string }>(
        `select max(seq)::text as version, ${micros("clock_timestamp()")} as at from changes`,
      )
    ).rows;
    await client.query("commit");
    return {
      state: new Map(rows.map(({ key, state }) => [key, state])),
      at: BigInt(log?.at ?? 0),
      version: log?.version ?? "",
    };
  } finally {
    await client.end();
  }
}
