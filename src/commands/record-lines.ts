import { toJson } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import type { ImportedEdge, ImportRecord } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import type { MuteScope } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { audienceWords, scopeWords, settingWords, UnknownValueError, wordOf } from "./words.ts";

/** A record as a line of a file that `npm run import` reads. The same record is always the same text. */
export function recordLine(message: ImportRecord): string {
  return `${JSON.stringify(fieldsOf(message))}\n`;
}

function fieldsOf({ record }: ImportRecord): object {
  switch (record.case) {
    case "user": {
      const { id, userName, firstName, lastName, profilePictureUrls, isVerified } = record.value;
      return { type: "user", id, userName, firstName, lastName, profilePictureUrls, isVerified };
    }
    case "follow":
    case "block":
    case "mute":
      return edgeFields(record.case, record.value);
    case "setting": {
      const { userId, setting, audience } = record.value;
      return {
        type: "setting",
        userId,
        setting: wordOf(settingWords, setting),
        audience: wordOf(audienceWords, audience),
      };
    }
    case "exception": {
      const { userId, setting, exceptedId, createdAt } = record.value;
      return {
        type: "exception",
        userId,
        setting: wordOf(settingWords, setting),
        exceptedId,
        ...timeField("createdAt", createdAt),
      };
    }
    default:
      throw new UnknownValueError("The service is newer than this command: it sent another kind of record.");
  }
}

function edgeFields(type: string, { ownerId, targetId, createdAt, expiresAt, scopes }: ImportedEdge): object {
  return {
    type,
    ownerId,
    targetId,
    ...timeField("createdAt", createdAt),
    ...timeField("expiresAt", expiresAt),
    ...scopesField(scopes),
  };
}

/** A field with a time of RFC 3339, to the microsecond; none without a time. */
export function timeField(name: string, time: Timestamp | undefined): object {
  return time === undefined ? {} : { [name]: toJson(TimestampSchema, time) };
}

/** The field with the scopes of a mute; none for a mute of everything. */
export function scopesField(scopes: readonly MuteScope[]): object {
  return scopes.length === 0 ? {} : { scopes: scopes.map((scope) => wordOf(scopeWords, scope)) };
}
