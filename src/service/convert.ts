import type { MessageInitShape } from "@bufbuild/protobuf";
import type { BlockSchema, MuteSchema, UserSchema } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { Audience, PrivacySetting } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import type { EdgeRecord } from "../domain/edges.ts";
import { PrivacyError } from "../domain/errors.ts";
import * as settings from "../domain/settings.ts";
import type { User, UserId } from "../domain/users.ts";

const microsPerSecond = 1_000_000n;
const nanosPerMicro = 1_000;

const upperCase = /[A-F]/;

/** Reads a user id of a validated request: a UUID in either case. */
export function toUserId(text: string): UserId {
  // V8 copies even what is in lower case already: a large call would keep all of its ids twice.
  return (upperCase.test(text) ? text.toLowerCase() : text) as UserId;
}

/** The `User` message of a user. */
export function fromUser(user: User): MessageInitShape<typeof UserSchema> {
  return { ...user, profilePictureUrls: [...user.profilePictureUrls] };
}

/** The `Block` or `Mute` message of a record: both have the same fields. */
export function fromEdgeRecord(
  record: EdgeRecord,
): MessageInitShape<typeof BlockSchema> & MessageInitShape<typeof MuteSchema> {
  // BigInt's remainder has the sign of the dividend, but a Timestamp counts its fraction forwards before 1970 too.
  const fraction = ((record.createdAt % microsPerSecond) + microsPerSecond) % microsPerSecond;
  return {
    id: record.id,
    user: fromUser(record.user),
    createdAt: {
      seconds: (record.createdAt - fraction) / microsPerSecond,
      nanos: Number(fraction) * nanosPerMicro,
    },
  };
}

const settingWords: Record<PrivacySetting, settings.PrivacySetting | undefined> = {
  [PrivacySetting.UNSPECIFIED]: undefined,
  [PrivacySetting.LAST_SEEN]: "last_seen",
  [PrivacySetting.PROFILE_PICTURE]: "profile_picture",
  [PrivacySetting.STATUS]: "status",
  [PrivacySetting.READ_RECEIPTS]: "read_receipts",
  [PrivacySetting.GROUPS]: "groups",
};

const audienceValues: Record<settings.Audience, Audience> = {
  all: Audience.ALL,
  contacts: Audience.CONTACTS,
  contact_blacklist: Audience.CONTACT_BLACKLIST,
  none: Audience.NONE,
};

/** Reads a setting of a validated request. */
export function toSetting(value: PrivacySetting): settings.PrivacySetting {
  const word = settingWords[value];
  if (word === undefined) throw new PrivacyError("INVALID_REQUEST");
  return word;
}

/** Reads an audience of a validated request. */
export function toAudience(value: Audience): settings.Audience {
  const word = settings.audiences.find((audience) => audienceValues[audience] === value);
  if (word === undefined) throw new PrivacyError("INVALID_REQUEST");
  return word;
}

/** The `Audience` value of a word. */
export function fromAudience(word: settings.Audience): Audience {
  return audienceValues[word];
}
