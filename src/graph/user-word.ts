import {
  type Audience,
  audiences,
  defaultAudience,
  type PrivacySetting,
  privacySettings,
} from "../domain/settings.ts";

/** The bit of a user's word that says that the user is known. The audience of each setting follows. */
export const knownBit = 1;
const bitsOfAudience = 2;
const audienceMask = 3;
const shiftOf = (setting: number) => 1 + setting * bitsOfAudience;

const indexes = new Map<string, number>(privacySettings.map((setting, index) => [setting, index]));
const audienceIndexes = new Map<string, number>(audiences.map((audience, index) => [audience, index]));

/** The index of a setting; undefined for one of a later release, on which no decision of this one depends. */
export function indexOfSetting(setting: PrivacySetting): number | undefined {
  return indexes.get(setting);
}

/** The audience of the setting with an index. */
export function audienceIn(word: number, setting: number): Audience {
  return audiences[(word >>> shiftOf(setting)) & audienceMask] as Audience;
}

/** A user's word with another audience. One that this release does not know includes nobody. */
export function withAudience(word: number, setting: number, audience: Audience): number {
  const index = audienceIndexes.get(audience) ?? audiences.indexOf("none");
  return (word & ~(audienceMask << shiftOf(setting))) | (index << shiftOf(setting));
}

/** The word of a user of whom nothing is known. */
export const newUser = privacySettings.reduce(
  (word, _, setting) => withAudience(word, setting, defaultAudience),
  0,
);

/** Whether it depends on follows who is in an audience. */
export function dependsOnFollows(audience: Audience): boolean {
  return audience === "contacts" || audience === "contact_blacklist";
}
