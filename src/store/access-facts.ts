import { type CompiledQuery, type RawBuilder, sql } from "kysely";
import type { UserId } from "../domain/ids.ts";
import {
  type Audience,
  audiences,
  defaultAudience,
  type PrivacySetting,
  privacySettings,
} from "../domain/settings.ts";
import type { SqlExecutor } from "./executor.ts";
import { assertWritable, isWritable } from "./server-state.ts";
import { queryTemplate } from "./statement.ts";
import { uuidArray } from "./uuid-array.ts";

/** A question about a pair of users: only what is asked for is looked up. */
export interface PairQuestion {
  /** Null when nobody is signed in. */
  readonly viewer: UserId | null;
  readonly owner: UserId;
  /** Whether it matters that the viewer mutes the owner. */
  readonly mute: boolean;
  /** The setting of the owner that matters, null when none does. */
  readonly setting: PrivacySetting | null;
}

/** The facts of a pair, all of one moment. */
export interface PairFacts {
  /** False when the owner, or a viewer who is signed in, is unknown. */
  readonly known: boolean;
  readonly blocking: boolean;
  readonly blockedBy: boolean;
  readonly muting: boolean;
  /** The owner's audience for the setting. */
  readonly audience: Audience;
  /** The owner follows the viewer, and the audience makes something of it. */
  readonly contact: boolean;
  /** The viewer is on the owner's exception list of the setting, and the audience makes something of it. */
  readonly excepted: boolean;
}

/** Facts as the bits of a number; above them stands the place of the audience among `audiences`. */
const bits = { known: 1, blocking: 2, blockedBy: 4, muting: 8, contact: 16, excepted: 32 };
const audienceUnit = 64;
/** Added to each number, so that all have three hexadecimal digits. */
const digitsUnit = 256;
const digits = 3;

/** The facts that each number stands for. */
const factsOfNumber = Array.from({ length: audienceUnit * audiences.length }, (_, number): PairFacts => {
  const has = (bit: number) => (number & bit) !== 0;
  return {
    known: has(bits.known),
    blocking: has(bits.blocking),
    blockedBy: has(bits.blockedBy),
    muting: has(bits.muting),
    audience: audiences[Math.floor(number / audienceUnit)] as Audience,
    contact: has(bits.contact),
    excepted: has(bits.excepted),
  };
});

/** The facts that an audience makes something of. */
const factsOfAudience: Record<Audience, readonly ("contact" | "excepted")[]> = {
  all: [],
  contacts: ["contact"],
  contact_blacklist: ["contact", "excepted"],
  none: [],
};

/** A question as a number: a bit for the mute, and above it the place of the setting among `privacySettings`, from 1. */
const muteBit = 1;
const settingShift = 1;
const settingsArray = sql`${sql.lit(`{${privacySettings.join(",")}}`)}::text[]`;

/** The bit of a fact that is found by a query, which has one row or none. */
function found(fact: keyof typeof bits, query: RawBuilder<unknown>): RawBuilder<number> {
  return sql`${sql.lit(bits[fact])} * ((${query}) is not null)::int`;
}

const contact = found(
  "contact",
  sql`select true from follows f where f.follower_id = q.owner and f.followee_id = q.viewer`,
);
const setting = sql`(${settingsArray})[q.kind >> ${sql.lit(settingShift)}]`;
const excepted = found(
  "excepted",
  sql`select true from privacy_exceptions e
      where e.user_id = q.owner and e.setting = ${setting} and e.excepted_id = q.viewer`,
);
const muting = found(
  "muting",
  sql`select true from mutes m
      where q.kind & ${sql.lit(muteBit)} <> 0 and m.muter_id = q.viewer and m.muted_id = q.owner`,
);
const chosen = sql`select p.audience from privacy_settings p where p.user_id = q.owner and p.setting = ${setting}`;

/** What of a question there is to look for beside blocks. */
interface Wanted {
  readonly mutes: boolean;
  readonly settings: boolean;
}

// Each look-up is a query of its own for one row by its whole key: a join, `exists` or `in` lets the planner read a
// user's whole list, or the whole table, where a few index probes are enough.
const facts = ({ mutes, settings }: Wanted) => sql`to_hex(${sql.lit(digitsUnit)}
  + ${sql.lit(bits.known)} * (
      (q.viewer is null or (select true from users u where u.id = q.viewer) is not null)
      and (select true from users u where u.id = q.owner) is not null
    )::int
  + ${found("blocking", sql`select true from blocks b where b.blocker_id = q.viewer and b.blocked_id = q.owner`)}
  + ${found("blockedBy", sql`select true from blocks b where b.blocker_id = q.owner and b.blocked_id = q.viewer`)}
  ${mutes ? sql`+ ${muting}` : sql``}
  ${settings ? sql`+ ${audienceOf(sql`coalesce((${chosen}), ${sql.lit(defaultAudience)})`)}` : sql``})`;

// One number for each question, and all of them in one text: to read a thousand rows of columns took three times as
// long as all else that becomes of a thousand questions.
function factsOfMany(wanted: Wanted) {
  return queryTemplate(
    (viewers: Buffer, owners: Buffer, kinds: Buffer) =>
      sql<FactsRow>`
        select string_agg(${facts(wanted)}, '' order by q.n) as facts
        from (
          select viewer, owner, n, get_byte(${kinds}::bytea, n::int - 1) as kind
          from unnest(${viewers}::uuid[], ${owners}::uuid[]) with ordinality as asked (viewer, owner, n)
        ) q
        where ${isWritable}`,
  );
}

// A lone question needs no array, no order and nothing to be put together, which takes the server an eighth of the time.
function factsOfOne(wanted: Wanted) {
  return queryTemplate(
    (viewer: UserId | null, owner: UserId, kind: number) =>
      sql<FactsRow>`
        select ${facts(wanted)} as facts
        from (select ${viewer}::uuid as viewer, ${owner}::uuid as owner, ${kind}::int as kind) q
        where ${isWritable}`,
  );
}

interface FactsRow {
  readonly facts: string | null;
}

/** What nobody asks for costs time even so: each table of a statement is opened anew each time. */
function byWanted<Statement>(make: (wanted: Wanted) => Statement) {
  return {
    blocks: make({ mutes: false, settings: false }),
    mutes: make({ mutes: true, settings: false }),
    settings: make({ mutes: false, settings: true }),
    all: make({ mutes: true, settings: true }),
  };
}

const statements = { one: byWanted(factsOfOne), many: byWanted(factsOfMany) };

/** Reads what decisions rest on. */
export class AccessFacts {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /**
   * Returns the facts of each question, in their order, by one statement that starts now. Throws `UNAVAILABLE` when the
   * server is not a primary that takes changes.
   */
  async read(questions: readonly PairQuestion[], signal?: AbortSignal): Promise<PairFacts[]> {
    const [row] = await this.#executor.read(statementOf(questions), signal);
    const text = row?.facts ?? "";
    assertWritable(text !== "" || questions.length === 0);
    if (text.length !== questions.length * digits)
      throw new Error("a statement answered other than it was asked");
    return Array.from(questions, (_, i) => factsAt(text, i));
  }
}

/**
 * The number of an audience: its place, and the facts that it makes something of. What is none of them counts as the
 * strictest: a null would go missing in the text.
 */
function audienceOf(audience: RawBuilder<unknown>): RawBuilder<number> {
  const numbers = audiences.map((word, place) => {
    const facts = factsOfAudience[word].map((fact) => sql`+ ${{ contact, excepted }[fact]}`);
    return sql`when ${sql.lit(word)} then ${sql.lit(audienceUnit * place)} ${sql.join(facts, sql` `)}`;
  });
  return sql`case ${audience} ${sql.join(numbers, sql` `)} else ${sql.lit(audienceUnit * audiences.indexOf("none"))} end`;
}

function kindOf({ mute, setting }: PairQuestion): number {
  const place = setting === null ? 0 : privacySettings.indexOf(setting) + 1;
  return (mute ? muteBit : 0) | (place << settingShift);
}

function statementOf(questions: readonly PairQuestion[]): CompiledQuery<FactsRow> {
  const kinds = Buffer.from(questions.map(kindOf));
  const wanted = wantedBy(kinds);
  const [first] = questions;
  if (questions.length === 1 && first !== undefined)
    return statements.one[wanted](first.viewer, first.owner, kindOf(first));
  const viewers = uuidArray(questions.map(({ viewer }) => viewer));
  const owners = uuidArray(questions.map(({ owner }) => owner));
  return statements.many[wanted](viewers, owners, kinds);
}

function wantedBy(kinds: Uint8Array): keyof typeof statements.many {
  const asked = kinds.reduce((all, kind) => all | kind, 0);
  if (asked === 0) return "blocks";
  if (asked === muteBit) return "mutes";
  return (asked & muteBit) === 0 ? "settings" : "all";
}

function factsAt(text: string, index: number): PairFacts {
  const number = Number.parseInt(text.slice(index * digits, (index + 1) * digits), 16) - digitsUnit;
  const facts = factsOfNumber[number];
  if (facts === undefined) throw new Error("a statement answered with what is no number of facts");
  return facts;
}
