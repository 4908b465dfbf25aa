import { type Cause, decideAccess, decisionTable, type Effect, type Interaction } from "./access.ts";
import type { Audience, PrivacySetting, SettingChoice } from "./settings.ts";
import type { UserId } from "./users.ts";

/** What an owner chose with regard to one viewer, of one moment: nothing of it was done by the viewer. */
export interface OwnerChoices {
  /** The owner blocks the viewer. */
  readonly blocking: boolean;
  /** The owner follows the viewer. */
  readonly contact: boolean;
  readonly settings: Readonly<Record<PrivacySetting, SettingChoice>>;
}

/** Which choice of the owner decides. */
type PreviewCause = "SELF" | "BLOCK" | "AUDIENCE" | "EXCEPTION" | "SIGNED_OUT";

/** The outcome of an interaction as far as it rests on the owner. */
export interface PreviewedInteraction {
  readonly interaction: Interaction;
  readonly effect: Effect;
  /** Null for a plain ALLOW. */
  readonly cause: PreviewCause | null;
  /** The setting that the interaction is subject to, whatever decides; null when there is none. */
  readonly setting: PrivacySetting | null;
  /** The owner's audience for that setting. */
  readonly audience: Audience | null;
}

/** The causes that rest on the owner alone. */
const previewCauses: Readonly<Partial<Record<Cause, PreviewCause>>> = {
  SELF: "SELF",
  BLOCKED_BY: "BLOCK",
  AUDIENCE: "AUDIENCE",
  SIGNED_OUT: "SIGNED_OUT",
};

const interactions = Object.keys(decisionTable) as Interaction[];

/**
 * Decides every interaction of a viewer with an owner, in the order of the decision table, as if the viewer had no block
 * and no mute. A viewer of null is not signed in. Both users must exist.
 */
export function previewAccess(
  viewer: UserId | null,
  owner: UserId,
  choices: OwnerChoices,
): PreviewedInteraction[] {
  return interactions.map((interaction) => {
    const setting = decisionTable[interaction].audience;
    const choice = setting === null ? noSetting : choices.settings[setting];
    const { effect, cause } = decideAccess(
      { viewer, owner, interaction },
      {
        known: true,
        // The viewer's own edges: nobody but the viewer may learn of them.
        blocking: false,
        muting: false,
        blockedBy: choices.blocking,
        contact: choices.contact,
        ...choice,
      },
    );
    return {
      interaction,
      effect,
      cause: previewCause(cause, choices.contact, choice),
      setting,
      audience: setting === null ? null : choice.audience,
    };
  });
}

/** What counts for an interaction that no setting applies to: its audience is not asked. */
const noSetting: SettingChoice = { audience: "all", excepted: false };

function previewCause(
  cause: Cause | null,
  contact: boolean,
  { audience, excepted }: SettingChoice,
): PreviewCause | null {
  if (cause === null) return null;
  if (cause === "AUDIENCE" && audience === "contact_blacklist" && contact && excepted) return "EXCEPTION";
  const own = previewCauses[cause];
  if (own === undefined) throw new Error(`a preview cannot rest on ${cause}`);
  return own;
}
