import type {
  ImportedEdge,
  ImportRecord as RecordMessage,
} from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { UserSchema } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { parseUserId } from "../domain/ids.ts";
import type { ImportRecord } from "../domain/imports.ts";
import { isValid } from "../rpc/validate.ts";
import { toUserId } from "./convert.ts";

const malformed: ImportRecord = { kind: "malformed" };

/** The years that PostgreSQL and the documents' times can both tell: from 1 to 9999. */
const minSeconds = -62_135_596_800n;
const maxSeconds = 253_402_300_799n;

/** Reads a record of an import; one that breaks a rule of its definition is malformed. */
export function toImportRecord({ record }: RecordMessage): ImportRecord {
  switch (record.case) {
    case "user": {
      if (!isValid(UserSchema, record.value)) return malformed;
      const { $typeName, $unknown, ...user } = record.value;
      return { kind: "user", user: { ...user, id: toUserId(user.id) } };
    }
    case "follow":
    case "block":
    case "mute":
      return toEdge(record.case, record.value);
    default:
      return malformed;
  }
}

function toEdge(
  kind: "follow" | "block" | "mute",
  { ownerId, targetId, createdAt }: ImportedEdge,
): ImportRecord {
  const owner = parseUserId(ownerId);
  const target = parseUserId(targetId);
  if (owner === undefined || target === undefined) return malformed;
  if (createdAt === undefined) return { kind, edge: { owner, target, createdAt: null } };
  const { seconds, nanos } = createdAt;
  if (seconds < minSeconds || seconds > maxSeconds || nanos < 0 || nanos > 999_999_999) return malformed;
  return {
    kind,
    edge: { owner, target, createdAt: seconds * 1_000_000n + BigInt(Math.trunc(nanos / 1_000)) },
  };
}
