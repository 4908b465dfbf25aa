import { muteScopes } from "./changes.ts";
import { type Audience, isInAudience, type PrivacySetting } from "./settings.ts";
import type { UserId } from "./users.ts";

/** The ways in which a viewer can deal with an owner. */
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

/** The possible answers, from the weakest to the strongest. */
export const effects = ["ALLOW", "LIMIT", "HIDE", "DENY"] as const;
export type Effect = (typeof effects)[number];

/** Why, in the order in which causes of equal effects win. */
export type Cause =
  | "SELF"
  | "BLOCKING"
  | "BLOCKED_BY"
  | "AUDIENCE"
  | "MUTING"
  | "SIGNED_OUT"
  | "UNKNOWN_USER";

/** The effect of each fact on one interaction. */
export interface AccessRule {
  /** Either blocks the other. */
  readonly block: Effect;
  /** The viewer mutes the owner in the scope of the rule. */
  readonly mute: Effect;
  /** What a mute must cover to have that effect, a bit of `muteScopes`; 0 when mutes have none. */
  readonly muteScope: number;
  /** The setting whose audience must include the viewer, else the effect is DENY; null when no setting applies. */
  readonly audience: PrivacySetting | null;
  /** The viewer is not signed in. */
  readonly signedOut: Effect;
}

/** The decision table. An owner's mute of the viewer has no column: it changes nothing that the viewer can observe. */
export const decisionTable: Readonly<Record<Interaction, AccessRule>> = {
  FOLLOW: { block: "DENY", mute: "ALLOW", muteScope: 0, audience: null, signedOut: "DENY" },
  SEND_MESSAGE: { block: "DENY", mute: "ALLOW", muteScope: 0, audience: null, signedOut: "DENY" },
  MENTION: { block: "DENY", mute: "ALLOW", muteScope: 0, audience: null, signedOut: "DENY" },
  COMMENT: { block: "DENY", mute: "ALLOW", muteScope: 0, audience: null, signedOut: "DENY" },
  VIEW_PROFILE: { block: "LIMIT", mute: "ALLOW", muteScope: 0, audience: null, signedOut: "ALLOW" },
  VIEW_CONTENT: {
    block: "HIDE",
    mute: "HIDE",
    muteScope: muteScopes.content,
    audience: null,
    signedOut: "ALLOW",
  },
  RECEIVE_NOTIFICATION: {
    block: "HIDE",
    mute: "HIDE",
    muteScope: muteScopes.notifications,
    audience: null,
    signedOut: "DENY",
  },
  VIEW_LAST_SEEN: { block: "DENY", mute: "ALLOW", muteScope: 0, audience: "last_seen", signedOut: "ALLOW" },
  VIEW_PROFILE_PICTURE: {
    block: "DENY",
    mute: "ALLOW",
    muteScope: 0,
    audience: "profile_picture",
    signedOut: "ALLOW",
  },
  VIEW_STATUS: { block: "DENY", mute: "ALLOW", muteScope: 0, audience: "status", signedOut: "ALLOW" },
  VIEW_READ_RECEIPTS: {
    block: "DENY",
    mute: "ALLOW",
    muteScope: 0,
    audience: "read_receipts",
    signedOut: "ALLOW",
  },
  ADD_TO_GROUP: { block: "DENY", mute: "ALLOW", muteScope: 0, audience: "groups", signedOut: "DENY" },
};

/** The question whether a viewer may do something with regard to an owner. */
export interface AccessQuery {
  /** Null for a viewer who is not signed in. */
  readonly viewer: UserId | null;
  readonly owner: UserId;
  readonly interaction: Interaction;
}

/** The stored facts about a viewer and an owner that a decision needs, all of one moment. */
export interface RelationshipFacts {
  /** Both users exist; the owner alone when the viewer is not signed in. */
  readonly known: boolean;
  /** The viewer blocks the owner. */
  readonly blocking: boolean;
  /** The owner blocks the viewer. */
  readonly blockedBy: boolean;
  /** The viewer mutes the owner in the scope of the rule. */
  readonly muting: boolean;
  /** The owner's audience for the setting of the rule. */
  readonly audience: Audience;
  /** The owner follows the viewer. */
  readonly contact: boolean;
  /** The viewer is on the owner's exception list of the setting. */
  readonly excepted: boolean;
}

/** The answer to a query, and its cause; null for an ALLOW without one. */
export interface Decision {
  readonly effect: Effect;
  readonly cause: Cause | null;
}

/** The decision when one of the users does not exist. */
export const unknownUser: Decision = { effect: "DENY", cause: "UNKNOWN_USER" };
const self: Decision = { effect: "ALLOW", cause: "SELF" };
const plainAllow: Decision = { effect: "ALLOW", cause: null };

/** Decides a query: the strongest effect wins, of equal ones the first cause. */
export function decideAccess(query: AccessQuery, facts: RelationshipFacts): Decision {
  if (!facts.known) return unknownUser;
  if (query.viewer === query.owner) return self;
  const rule = decisionTable[query.interaction];
  let decision = plainAllow;
  for (const { cause, effectOf } of findings) {
    const effect = effectOf(rule, facts, query);
    // Most findings do not apply: a comparison of ranks costs more than all the rest.
    if (effect === "ALLOW") continue;
    if (effects.indexOf(effect) > effects.indexOf(decision.effect)) decision = { effect, cause };
  }
  return decision;
}

/** The effect of each cause where it applies, else ALLOW; of equal effects the first counts. */
const findings: readonly {
  readonly cause: Cause;
  effectOf(rule: AccessRule, facts: RelationshipFacts, query: AccessQuery): Effect;
}[] = [
  { cause: "BLOCKING", effectOf: (rule, { blocking }) => (blocking ? rule.block : "ALLOW") },
  { cause: "BLOCKED_BY", effectOf: (rule, { blockedBy }) => (blockedBy ? rule.block : "ALLOW") },
  {
    cause: "AUDIENCE",
    effectOf: ({ audience }, facts) => (audience !== null && !isInAudience(facts) ? "DENY" : "ALLOW"),
  },
  { cause: "MUTING", effectOf: (rule, { muting }) => (muting ? rule.mute : "ALLOW") },
  { cause: "SIGNED_OUT", effectOf: (rule, _, { viewer }) => (viewer === null ? rule.signedOut : "ALLOW") },
];
