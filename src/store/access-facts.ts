import { type RawBuilder, sql } from "kysely";
import type { UserId } from "../domain/ids.ts";
import { type Audience, audiences, defaultAudience, type PrivacySetting } from "../domain/settings.ts";
import type { Session } from "./session.ts";
import { statement } from "./statement.ts";

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
  /** The owner follows the viewer. */
  readonly contact: boolean;
  /** The viewer is on the owner's exception list of the setting. */
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

const bit = (fact: keyof typeof bits) => sql.lit(bits[fact]);

// Each look-up is lateral with a limit: a join, or `exists`, lets the planner read a user's whole list, or the whole
// table, where a few index probes are enough. One number for each question, and all of them in one text: to read a
// thousand rows of columns took three times as long as all else that becomes of a thousand questions.
const factsOf = statement(
  (viewers: string, owners: string, mutes: string, settings: string) =>
    sql<{ facts: string | null }>`
      select string_agg(to_hex(${sql.lit(digitsUnit)}
        + ${bit("known")} * ((q.viewer is null or viewer.id is not null) and owner.id is not null)::int
        + ${bit("blocking")} * (blocking.found is not null)::int
        + ${bit("blockedBy")} * (blocked_by.found is not null)::int
        + ${bit("muting")} * (muting.found is not null)::int
        + ${bit("contact")} * (contact.found is not null)::int
        + ${bit("excepted")} * (excepted.found is not null)::int
        + ${sql.lit(audienceUnit)} * ${placeOf(sql`coalesce(chosen.audience, ${sql.lit(defaultAudience)})`)}
      ), '' order by q.n) as facts
      from unnest(${viewers}::uuid[], ${owners}::uuid[], ${mutes}::boolean[], ${settings}::text[])
        with ordinality as q (viewer, owner, mute, setting, n)
      left join lateral (select u.id from users u where u.id = q.viewer limit 1) viewer on true
      left join lateral (select u.id from users u where u.id = q.owner limit 1) owner on true
      left join lateral (
        select true as found from blocks b where b.blocker_id = q.viewer and b.blocked_id = q.owner limit 1
      ) blocking on true
      left join lateral (
        select true as found from blocks b where b.blocker_id = q.owner and b.blocked_id = q.viewer limit 1
      ) blocked_by on true
      left join lateral (
        select true as found from mutes m where q.mute and m.muter_id = q.viewer and m.muted_id = q.owner limit 1
      ) muting on true
      left join lateral (
        select p.audience from privacy_settings p where p.user_id = q.owner and p.setting = q.setting limit 1
      ) chosen on true
      left join lateral (
        select true as found from follows f
        where q.setting is not null and f.follower_id = q.owner and f.followee_id = q.viewer limit 1
      ) contact on true
      left join lateral (
        select true as found from privacy_exceptions e
        where e.user_id = q.owner and e.setting = q.setting and e.excepted_id = q.viewer limit 1
      ) excepted on true`,
);

/** Reads what decisions rest on. */
export class AccessFacts {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Returns the facts of each question, in their order, by one statement that starts now. */
  async read(questions: readonly PairQuestion[], signal?: AbortSignal): Promise<PairFacts[]> {
    const viewers = array(questions.map(({ viewer }) => viewer));
    const owners = array(questions.map(({ owner }) => owner));
    const mutes = array(questions.map(({ mute }) => mute));
    const settings = array(questions.map(({ setting }) => setting));
    const [row] = await this.#session.read(factsOf(viewers, owners, mutes, settings), signal);
    const text = row?.facts ?? "";
    if (text.length !== questions.length * digits)
      throw new Error("a statement answered other than it was asked");
    return Array.from(questions, (_, i) => factsAt(text, i));
  }
}

/** The place of an audience. What is none of them counts as the strictest: a null would go missing in the text. */
function placeOf(audience: RawBuilder<unknown>): RawBuilder<number> {
  const places = audiences.map((word, place) => sql`when ${sql.lit(word)} then ${sql.lit(place)}`);
  return sql`case ${audience} ${sql.join(places, sql` `)} else ${sql.lit(audiences.indexOf("none"))} end`;
}

/** The text of an array whose values need no quotes. The driver would search each for what does. */
function array(values: readonly (UserId | PrivacySetting | boolean | null)[]): string {
  return `{${values.map((value) => value ?? "null").join(",")}}`;
}

function factsAt(text: string, index: number): PairFacts {
  const number = Number.parseInt(text.slice(index * digits, (index + 1) * digits), 16) - digitsUnit;
  const facts = factsOfNumber[number];
  if (facts === undefined) throw new Error("a statement answered with what is no number of facts");
  return facts;
}
