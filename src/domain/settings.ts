/** The settings, by their documented names. The one list: schema, queries and messages are derived from it or tested against it. */
export const privacySettings = ["last_seen", "profile_picture", "status", "read_receipts", "groups"] as const;
export type PrivacySetting = (typeof privacySettings)[number];

/** Returns a value for every setting. */
export function mapSettings<Value>(
  toValue: (setting: PrivacySetting) => Value,
): Record<PrivacySetting, Value> {
  return Object.fromEntries(privacySettings.map((setting) => [setting, toValue(setting)])) as Record<
    PrivacySetting,
    Value
  >;
}

/** The audiences of a setting, by their documented names. */
export const audiences = ["all", "contacts", "contact_blacklist", "none"] as const;
export type Audience = (typeof audiences)[number];

/** The audience of a setting that the user never chose. */
export const defaultAudience: Audience = "all";

/** What an owner chose for one setting, with regard to one viewer. */
export interface SettingChoice {
  readonly audience: Audience;
  /** The viewer is on the exception list of the setting, whatever the audience is. */
  readonly excepted: boolean;
}

/** The most exceptions of one setting of one user. */
export const maxExceptions = 1_000;

/** Whether an owner's audience includes a viewer. A contact is a user whom the owner follows. */
export function isInAudience(facts: { audience: Audience; contact: boolean; excepted: boolean }): boolean {
  switch (facts.audience) {
    case "all":
      return true;
    case "contacts":
      return facts.contact;
    case "contact_blacklist":
      return facts.contact && !facts.excepted;
    default:
      // Also for an unknown audience: decisions fail closed.
      return false;
  }
}
