import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type ExportRecordsResponse,
  ExportRecordsResponseSchema,
  type GraphService,
  type ImportRecordSchema,
} from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { takeUntilAborted } from "../call/streams.ts";
import { PrivacyError } from "../domain/errors.ts";
import type { ImportedEdge, StoredRecord } from "../domain/imports.ts";
import type { User, UserId } from "../domain/users.ts";
import type { ExportRepository } from "../store/export.ts";
import { fromAudience, fromMicros, fromScopes, fromSetting, fromUser, toUserId } from "./proto-mapping.ts";

type Handlers = Pick<ServiceImpl<typeof GraphService>, "exportRecords">;
type RecordMessage = MessageInitShape<typeof ImportRecordSchema>;

const maxRecords = 1_000;
/** The most characters of users in a message, but for a single longer user: clients take four megabytes by default. */
const maxCharacters = 512 * 1024;

/** Streams what an import can store. When `stopping` aborts, an export ends with `UNAVAILABLE`. */
export function exportHandlers(exports: ExportRepository, stopping: AbortSignal): Handlers {
  const refuse = () => {
    throw new PrivacyError("UNAVAILABLE");
  };
  return {
    exportRecords: ({ userId }, { signal }) => {
      const user = userId === "" ? undefined : toUserId(userId);
      return takeUntilAborted(messages(exports, user, signal), stopping, refuse);
    },
  };
}

/** The messages of an export, at least one. */
async function* messages(
  exports: ExportRepository,
  user: UserId | undefined,
  signal: AbortSignal,
): AsyncGenerator<ExportRecordsResponse, void> {
  const totalSize = BigInt(await exports.count(user, signal));
  const message = (records: RecordMessage[]) => create(ExportRecordsResponseSchema, { totalSize, records });
  let records: RecordMessage[] = [];
  let characters = 0;
  for await (const page of exports.read(user, signal)) {
    for (const record of page) {
      const more = record.kind === "user" ? charactersOf(record.user as User) : 0;
      if (records.length === maxRecords || (records.length > 0 && characters + more > maxCharacters)) {
        yield message(records);
        records = [];
        characters = 0;
      }
      records.push(fromRecord(record));
      characters += more;
    }
  }
  yield message(records);
}

function charactersOf({ userName, firstName, lastName, profilePictureUrls }: User): number {
  const names = userName.length + firstName.length + lastName.length;
  return profilePictureUrls.reduce((sum, url) => sum + url.length, names);
}

function fromRecord(record: StoredRecord): RecordMessage {
  switch (record.kind) {
    case "user":
      return { record: { case: "user", value: fromUser(record.user as User) } };
    case "setting": {
      const { owner, setting, audience } = record.setting;
      const value = { userId: owner, setting: fromSetting(setting), audience: fromAudience(audience) };
      return { record: { case: "setting", value } };
    }
    case "exception": {
      const { owner, setting, target, createdAt } = record.exception;
      const value = {
        userId: owner,
        setting: fromSetting(setting),
        exceptedId: target,
        ...(createdAt !== null && { createdAt: fromMicros(createdAt) }),
      };
      return { record: { case: "exception", value } };
    }
    default:
      return { record: { case: record.kind, value: fromEdge(record.edge) } };
  }
}

function fromEdge({ owner, target, createdAt, expiresAt, scopes }: ImportedEdge) {
  return {
    ownerId: owner,
    targetId: target,
    ...(createdAt !== null && { createdAt: fromMicros(createdAt) }),
    ...(expiresAt != null && { expiresAt: fromMicros(expiresAt) }),
    ...(scopes !== undefined && { scopes: fromScopes(scopes) }),
  };
}
