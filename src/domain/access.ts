import type { PrivacySetting } from "./settings.ts";

/** What a viewer may want of an owner. */
export type Interaction =
  | "FOLLOW"
  | "SEND_MESSAGE"
  | "MENTION"
  | "COMMENT"
  | "VIEW_PROFILE"
  | "VIEW_CONTENT"
  | "RECEIVE_NOTIFICATION"
  | "VIEW_LAST_SEEN"
  | "VIEW_PROFILE_PICTURE"
  | "VIEW_STATUS"
  | "VIEW_READ_RECEIPTS"
  | "ADD_TO_GROUP";

/** What becomes of an interaction, from the weakest to the strongest. */
export const effects = ["ALLOW", "LIMIT", "HIDE", "DENY"] as const;
export type Effect = (typeof effects)[number];

/** Why, in the order in which equal effects are named. */
export type Cause =
  | "SELF"
  | "BLOCKING"
  | "BLOCKED_BY"
  | "AUDIENCE"
  | "MUTING"
  | "SIGNED_OUT"
  | "UNKNOWN_USER";

/** The effect of each fact on one interaction. */
export interface Rule {
  /** Either blocks the other. */
  readonly block: Effect;
  /** The viewer mutes the owner. */
  readonly mute: Effect;
  /** The setting whose audience must hold the viewer, or the answer is DENY; null where none applies. */
  readonly audience: PrivacySetting | null;
  /** Nobody is signed in. */
  readonly signedOut: Effect;
}

/** The decision table. An owner's mute of the viewer has no column: it changes nothing that the viewer can observe. */
export const decisionTable: Readonly<Record<Interaction, Rule>> = {
  FOLLOW: { block: "DENY", mute: "ALLOW", audience: null, signedOut: "DENY" },
  SEND_MESSAGE: { block: "DENY", mute: "ALLOW", audience: null, signedOut: "DENY" },
  MENTION: { block: "DENY", mute: "ALLOW", audience: null, signedOut: "DENY" },
  COMMENT: { block: "DENY", mute: "ALLOW", audience: null, signedOut: "DENY" },
  VIEW_PROFILE: { block: "LIMIT", mute: "ALLOW", audience: null, signedOut: "ALLOW" },
  VIEW_CONTENT: { block: "HIDE", mute: "HIDE", audience: null, signedOut: "ALLOW" },
  RECEIVE_NOTIFICATION: { block: "HIDE", mute: "HIDE", audience: null, signedOut: "DENY" },
  VIEW_LAST_SEEN: { block: "DENY", mute: "ALLOW", audience: "last_seen", signedOut: "ALLOW" },
  VIEW_PROFILE_PICTURE: { block: "DENY", mute: "ALLOW", audience: "profile_picture", signedOut: "ALLOW" },
  VIEW_STATUS: { block: "DENY", mute: "ALLOW", audience: "status", signedOut: "ALLOW" },
  VIEW_READ_RECEIPTS: { block: "DENY", mute: "ALLOW", audience: "read_receipts", signedOut: "ALLOW" },
  ADD_TO_GROUP: { block: "DENY", mute: "ALLOW", audience: "groups", signedOut: "DENY" },
};

/** What is known of a viewer and an owner when an interaction is decided. */
export interface AccessFacts {
  /** Viewer and owner are the same user. */
  readonly self: boolean;
  readonly signedOut: boolean;
  /** The viewer blocks the owner. */
  readonly blocking: boolean;
  /** The owner blocks the viewer. */
  readonly blockedBy: boolean;
  /** The viewer mutes the owner. */
  readonly muting: boolean;
  /** The owner's audience for the setting of the rule holds the viewer. */
  readonly inAudience: boolean;
}

/** What becomes of an interaction, and why; null for a plain ALLOW. */
export interface Decision {
  readonly effect: Effect;
  readonly cause: Cause | null;
}

/** Decides an interaction between known users: the strongest effect wins, of equal ones the first cause. */
export function decideAccess(interaction: Interaction, facts: AccessFacts): Decision {
  if (facts.self) return { effect: "ALLOW", cause: "SELF" };
  const rule = decisionTable[interaction];
  let decision = plainAllow;
  for (const { cause, effectOn } of findings) {
    const effect = effectOn(rule, facts);
    if (effects.indexOf(effect) > effects.indexOf(decision.effect)) decision = { effect, cause };
  }
  return decision;
}

const plainAllow: Decision = { effect: "ALLOW", cause: null };

/** What each cause leads to when it applies, ALLOW when it does not; of equal effects the first counts. */
const findings: readonly { readonly cause: Cause; effectOn(rule: Rule, facts: AccessFacts): Effect }[] = [
  { cause: "BLOCKING", effectOn: (rule, { blocking }) => (blocking ? rule.block : "ALLOW") },
  { cause: "BLOCKED_BY", effectOn: (rule, { blockedBy }) => (blockedBy ? rule.block : "ALLOW") },
  {
    cause: "AUDIENCE",
    effectOn: ({ audience }, { inAudience }) => (audience && !inAudience ? "DENY" : "ALLOW"),
  },
  { cause: "MUTING", effectOn: (rule, { muting }) => (muting ? rule.mute : "ALLOW") },
  { cause: "SIGNED_OUT", effectOn: (rule, { signedOut }) => (signedOut ? rule.signedOut : "ALLOW") },
];

/** The answer for users of whom one is unknown: nobody may do anything. */
export const unknownUser: Decision = { effect: "DENY", cause: "UNKNOWN_USER" };
