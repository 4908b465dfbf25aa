import type { MessageInitShape } from "@bufbuild/protobuf";
import type { FieldMask, Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import type { ExplainedEdgeSchema } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import type { OwnEdgeSchema } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import {
  Audience,
  type BlockSchema,
  type MuteSchema,
  MuteScope,
  PrivacySetting,
  PrivacySettingsSchema,
  type UserSchema,
} from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { allScopes, muteScopes } from "../domain/changes.ts";
import type { DatedTerms, EdgeRecord, EdgeTerms, EdgeTermsChange } from "../domain/edges.ts";
import { PrivacyError } from "../domain/errors.ts";
import * as settings from "../domain/settings.ts";
import type { User, UserId } from "../domain/users.ts";

const microsPerSecond = 1_000_000n;
const nanosPerMicro = 1_000;

const upperCase = /[A-F]/;

/** Reads a user id of a validated request: a UUID in either case. */
export function toUserId(text: string): UserId {
  // V8 copies a text even when it is in lower case already: a large call would keep all of its ids twice.
  return (upperCase.test(text) ? text.toLowerCase() : text) as UserId;
}

/** The `User` message of a user. */
export function fromUser(user: User): MessageInitShape<typeof UserSchema> {
  return { ...user, profilePictureUrls: [...user.profilePictureUrls] };
}

/** The `Block` or `Mute` message of a record. A block covers everything, and its message has no scopes. */
export function fromEdgeRecord(
  record: EdgeRecord,
): MessageInitShape<typeof BlockSchema> & MessageInitShape<typeof MuteSchema> {
  return {
    id: record.id,
    user: fromUser(record.user),
    createdAt: fromMicros(record.createdAt),
    expiresAt: fromExpiry(record.expiresAt),
    scopes: fromScopes(record.scopes),
  };
}

/** The `OwnEdge` or `ExplainedEdge` message of a follow, block or mute: both have the same fields. */
export function fromDatedTerms({
  createdAt,
  expiresAt,
  scopes,
}: DatedTerms): MessageInitShape<typeof OwnEdgeSchema> & MessageInitShape<typeof ExplainedEdgeSchema> {
  return {
    createdAt: fromMicros(createdAt),
    expiresAt: fromExpiry(expiresAt),
    scopes: fromScopes(scopes),
  };
}

/** The fields of a request that say when a block or mute ends and what it covers. */
interface TermFields {
  readonly expiresAt?: Timestamp | undefined;
  readonly scopes?: readonly MuteScope[];
}

/** Reads the terms of a new block or mute from a validated request. */
export function toTerms({ expiresAt, scopes = [] }: TermFields): EdgeTerms {
  return { expiresAt: toExpiry(expiresAt), scopes: toScopes(scopes) };
}

/** Reads the change of a block or mute from a validated request: without a mask, of the fields that are set (AIP-134). */
export function toTermsChange(
  request: TermFields & { readonly updateMask?: FieldMask | undefined },
): EdgeTermsChange {
  const { expiresAt, scopes } = toTerms(request);
  const paths = request.updateMask?.paths;
  // To the validation of a mask, the parts of a field are as good as the field.
  if (paths?.some((path) => path.includes(".")))
    throw new PrivacyError("INVALID_REQUEST", { message: "updateMask must name whole fields" });
  const isNamed = (path: string, isSet: boolean) => paths?.includes(path) ?? isSet;
  return {
    ...(isNamed("expires_at", expiresAt !== null) && { expiresAt }),
    ...(isNamed("scopes", scopes !== allScopes) && { scopes }),
  };
}

/** Reads when a block or mute ends; null for an unset field: never. */
function toExpiry(time: Timestamp | undefined): bigint | null {
  const micros = time === undefined ? null : toMicros(time);
  if (micros !== undefined) return micros;
  throw new PrivacyError("INVALID_REQUEST", { message: "expiresAt must be in the years 1 to 9999" });
}

/** The `Timestamp` of an expiry; unset for null: never. */
export function fromExpiry(expiresAt: bigint | null): MessageInitShape<typeof TimestampSchema> | undefined {
  return expiresAt === null ? undefined : fromMicros(expiresAt);
}

/** The years that both PostgreSQL and RFC 3339 can express: from 1 to 9999. */
const minSeconds = -62_135_596_800n;
const maxSeconds = 253_402_300_799n;

/** Microseconds since 1970, what is less than one cut off; undefined for a `Timestamp` that is none by its definition. */
export function toMicros({ seconds, nanos }: Timestamp): bigint | undefined {
  const isLegal = seconds >= minSeconds && seconds <= maxSeconds && nanos >= 0 && nanos <= 999_999_999;
  return isLegal ? seconds * microsPerSecond + BigInt(Math.trunc(nanos / nanosPerMicro)) : undefined;
}

/** The `Timestamp` message of microseconds since 1970. */
export function fromMicros(micros: bigint): MessageInitShape<typeof TimestampSchema> {
  // BigInt's remainder has the sign of the dividend, but a Timestamp counts its fraction forwards before 1970 too.
  const fraction = ((micros % microsPerSecond) + microsPerSecond) % microsPerSecond;
  return { seconds: (micros - fraction) / microsPerSecond, nanos: Number(fraction) * nanosPerMicro };
}

// The values of the definition have the names of the domain in upper case.
const settingValues = settings.mapSettings((name) => PrivacySetting[upper(name)]);
const settingNames = new Map<PrivacySetting, settings.PrivacySetting>(
  settings.privacySettings.map((name) => [settingValues[name], name]),
);
const audienceNames = new Map<Audience, settings.Audience>(
  settings.audiences.map((name) => [fromAudience(name), name]),
);

/** The fields of the `PrivacySettings` message, which have the names of the domain. */
const settingFields = settings.mapSettings((name) => {
  const field = PrivacySettingsSchema.fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new Error(`PrivacySettings lacks the field ${name}`);
  return field.localName;
});

/** Reads a setting of a validated request. */
export function toSetting(value: PrivacySetting): settings.PrivacySetting {
  const name = settingNames.get(value);
  if (name === undefined) throw new PrivacyError("INVALID_REQUEST");
  return name;
}

/** Reads an audience of a validated request. */
export function toAudience(value: Audience): settings.Audience {
  const name = audienceNames.get(value);
  if (name === undefined) throw new PrivacyError("INVALID_REQUEST");
  return name;
}

/** The `PrivacySettings` message of the chosen audiences. */
export function fromSettings(
  chosen: Record<settings.PrivacySetting, settings.Audience>,
): MessageInitShape<typeof PrivacySettingsSchema> {
  return Object.fromEntries(
    settings.privacySettings.map((name) => [settingFields[name], fromAudience(chosen[name])]),
  );
}

/** The `Audience` of a name. */
export function fromAudience(name: settings.Audience): Audience {
  return Audience[upper(name)];
}

/** The `PrivacySetting` of a name. */
export function fromSetting(name: settings.PrivacySetting): PrivacySetting {
  return settingValues[name];
}

const scopeBits: readonly (readonly [MuteScope, number])[] = [
  [MuteScope.CONTENT, muteScopes.content],
  [MuteScope.NOTIFICATIONS, muteScopes.notifications],
];

/** Reads a scope of a validated request: the bit that stands for it. */
export function toScope(value: MuteScope): number {
  const [, bit] = scopeBits.find(([scope]) => scope === value) ?? [];
  if (bit === undefined) throw new PrivacyError("INVALID_REQUEST");
  return bit;
}

/** Reads the scopes of a validated request: none given means everything. */
function toScopes(values: readonly MuteScope[]): number {
  return values.length === 0 ? allScopes : values.reduce<number>((bits, value) => bits | toScope(value), 0);
}

/** The `MuteScope`s of bits; none for a mute of everything. */
export function fromScopes(bits: number): MuteScope[] {
  return bits === allScopes ? [] : scopeBits.filter(([, bit]) => (bits & bit) !== 0).map(([scope]) => scope);
}

/** A name of the domain as the values of the definition spell it. */
export function upper<Name extends string>(name: Name): Uppercase<Name> {
  return name.toUpperCase() as Uppercase<Name>;
}
