import type {
  ImportedEdge,
  ImportRecord as RecordMessage,
} from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { type User, UserSchema } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { brokenRules } from "../call/validate.ts";
import type { ImportRecord } from "../domain/imports.ts";
import { parseUserId } from "../domain/users.ts";
import { toUserId } from "./convert.ts";

/** The years that PostgreSQL and the documents' times can both tell: from 1 to 9999. */
const minSeconds = -62_135_596_800n;
const maxSeconds = 253_402_300_799n;

/** The fields of a user by the names of the definition. */
const userFields: Readonly<Record<string, keyof User>> = {
  id: "id",
  user_name: "userName",
  first_name: "firstName",
  last_name: "lastName",
  profile_picture_urls: "profilePictureUrls",
  is_verified: "isVerified",
};

/** Reads a record of an import; one that breaks a rule of its definition is malformed. */
export function toImportRecord({ record, userFields }: RecordMessage): ImportRecord {
  switch (record.case) {
    case "user":
      return toUserRecord(record.value, userFields?.paths);
    case "follow":
    case "block":
    case "mute":
      return toEdge(record.case, record.value);
    default:
      return malformed("the record is empty");
  }
}

function malformed(description: string): ImportRecord {
  return { kind: "malformed", description };
}

function toUserRecord(message: User, paths: readonly string[] | undefined): ImportRecord {
  const broken = brokenRules(UserSchema, message);
  if (broken !== undefined) return malformed(broken);
  const { $typeName, $unknown, ...fields } = message;
  const user = { ...fields, id: toUserId(fields.id) };
  if (paths === undefined) return { kind: "user", user };
  const unknown = paths.find((path) => !Object.hasOwn(userFields, path));
  if (unknown !== undefined) return malformed("userFields names a field that a user does not have");
  const given = paths.map((path) => userFields[path]);
  const { id, userName, ...others } = user;
  const some = Object.fromEntries(
    Object.entries(others).filter(([name]) => given.includes(name as keyof User)),
  );
  return { kind: "user", user: { id, userName, ...some } };
}

function toEdge(
  kind: "follow" | "block" | "mute",
  { ownerId, targetId, createdAt }: ImportedEdge,
): ImportRecord {
  const owner = parseUserId(ownerId);
  const target = parseUserId(targetId);
  if (owner === undefined) return malformed("ownerId must be a valid UUID");
  if (target === undefined) return malformed("targetId must be a valid UUID");
  if (createdAt === undefined) return { kind, edge: { owner, target, createdAt: null } };
  const { seconds, nanos } = createdAt;
  if (seconds < minSeconds || seconds > maxSeconds || nanos < 0 || nanos > 999_999_999)
    return malformed("createdAt must be in the years 1 to 9999");
  return {
    kind,
    edge: { owner, target, createdAt: seconds * 1_000_000n + BigInt(Math.trunc(nanos / 1_000)) },
  };
}
