import type pg from "pg";

/** A message of a check as proto-loader gives it. */
export interface CheckRequest {
  readonly viewerId: string;
  readonly ownerId: string;
  readonly interaction: number;
}

/** What a decision rests on. */
export interface Facts {
  readonly known: boolean;
  readonly blocking: boolean;
  readonly blockedBy: boolean;
  readonly muting?: boolean;
  readonly audience?: string | null;
  readonly contact?: boolean;
  readonly excepted?: boolean;
}

const allow = 1;
const limit = 2;
const hide = 3;
const deny = 4;

/** What a block and a mute of a scope lead to, and the setting that counts. */
interface Rule {
  readonly block: number;
  readonly mute?: number;
  readonly muteScope?: number;
  readonly setting?: string;
}

/** By number of the interaction. */
const rules: readonly Rule[] = [
  { block: deny },
  { block: deny },
  { block: deny },
  { block: deny },
  { block: deny },
  { block: limit },
  { block: hide, mute: hide, muteScope: 1 },
  { block: hide, mute: hide, muteScope: 2 },
  { block: deny, setting: "last_seen" },
  { block: deny, setting: "profile_picture" },
  { block: deny, setting: "status" },
  { block: deny, setting: "read_receipts" },
  { block: deny, setting: "groups" },
];

/** The rule of an interaction. */
export function ruleOf(interaction: number) {
  const rule = rules[interaction];
  if (rule === undefined) throw new Error("no such interaction");
  return rule;
}

const known = `
  exists (select from users where id = $1) and exists (select from users where id = $2) as known,
  exists (select from blocks where blocker_id = $1 and blocked_id = $2) as blocking,
  exists (select from blocks where blocker_id = $2 and blocked_id = $1) as "blockedBy"`;

/** A statement for each kind of question, so that none reads what it does not need. */
const statements = {
  blocks: { name: "blocks", text: `select ${known}` },
  mutes: {
    name: "mutes",
    text: `select ${known}, exists (select from mutes where muter_id = $1 and muted_id = $2) as muting`,
  },
  setting: {
    name: "setting",
    text: `select ${known},
      (select audience from privacy_settings where user_id = $2 and setting = $3) as audience,
      exists (select from follows where follower_id = $2 and followee_id = $1) as contact,
      exists (
        select from privacy_exceptions where user_id = $2 and setting = $3 and excepted_id = $1
      ) as excepted`,
  },
};

/** Reads the facts of one check by one prepared statement. */
export async function readFacts(
  pool: pg.Pool,
  { viewerId, ownerId, interaction }: CheckRequest,
): Promise<Facts> {
  const { mute, setting } = ruleOf(interaction);
  const pair = [viewerId, ownerId];
  const { rows } =
    setting !== undefined
      ? await pool.query({ ...statements.setting, values: [...pair, setting] })
      : await pool.query({ ...(mute === undefined ? statements.blocks : statements.mutes), values: pair });
  return rows[0];
}

/** Decides on the facts. A cause of 0 is left out, as gRPC does. */
export function decide(viewer: string, owner: string, interaction: number, facts: Facts) {
  const { block, mute, setting } = ruleOf(interaction);
  if (!facts.known) return { effect: deny, cause: 7 };
  if (viewer === owner) return { effect: allow, cause: 1 };
  if (facts.blocking) return { effect: block, cause: 2 };
  if (facts.blockedBy) return { effect: block, cause: 3 };
  if (setting !== undefined && !inAudience(facts)) return { effect: deny, cause: 4 };
  if (mute !== undefined && facts.muting) return { effect: mute, cause: 5 };
  return { effect: allow };
}

function inAudience({ audience, contact, excepted }: Facts): boolean {
  if (audience === "contacts") return contact === true;
  if (audience === "contact_blacklist") return contact === true && excepted === false;
  return audience !== "none";
}
