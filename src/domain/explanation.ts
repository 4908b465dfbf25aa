import { type AccessRule, type Decision, decideAccess, decisionTable, type Interaction } from "./access.ts";
import type { DatedTerms, EdgeTerms } from "./edges.ts";
import type { PrivacySetting, SettingChoice } from "./settings.ts";
import type { UserId } from "./users.ts";

/** Everything that decisions about a viewer and an owner rest on, of one moment. An edge is null when there is none. */
export interface ExplainedFacts<Edge extends EdgeTerms = DatedTerms> {
  /** False for a viewer who is not signed in. */
  readonly viewerKnown: boolean;
  readonly ownerKnown: boolean;
  /** The viewer blocks the owner. */
  readonly blocking: Edge | null;
  /** The owner blocks the viewer. */
  readonly blockedBy: Edge | null;
  /** The viewer mutes the owner. */
  readonly muting: Edge | null;
  /** The owner follows the viewer. */
  readonly contact: Edge | null;
  /** Every setting of the owner; null when the owner is unknown. */
  readonly settings: Readonly<Record<PrivacySetting, SettingChoice>> | null;
  /** The time of the database, in microseconds since 1970. */
  readonly readAt: bigint;
}

/** A decision about one interaction. */
export interface ExplainedDecision extends Decision {
  readonly interaction: Interaction;
  /** The setting that the interaction is subject to; null when there is none. */
  readonly setting: PrivacySetting | null;
}

const rules = Object.entries(decisionTable) as [Interaction, AccessRule][];

/** Decides every interaction of a viewer, null for one who is not signed in, with an owner. */
export function explainAccess(
  viewer: UserId | null,
  owner: UserId,
  facts: ExplainedFacts<EdgeTerms>,
): ExplainedDecision[] {
  const { viewerKnown, ownerKnown, blocking, blockedBy, muting, contact, settings } = facts;
  return rules.map(([interaction, { audience: setting, muteScope }]) => {
    const chosen = settings === null || setting === null ? undefined : settings[setting];
    const decision = decideAccess(
      { viewer, owner, interaction },
      {
        known: ownerKnown && (viewer === null || viewerKnown),
        blocking: blocking !== null,
        blockedBy: blockedBy !== null,
        muting: muting !== null && (muting.scopes & muteScope) !== 0,
        // Without a setting nothing depends on it.
        audience: chosen?.audience ?? "none",
        contact: contact !== null,
        excepted: chosen?.excepted ?? true,
      },
    );
    return { ...decision, interaction, setting };
  });
}
