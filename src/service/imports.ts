import { create } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type ImportedEdge as EdgeMessage,
  type ImportedException as ExceptionMessage,
  type GraphService,
  type ImportEdgesRequest,
  ImportProgressSchema,
  type ImportRecord as RecordMessage,
  type ImportedSetting as SettingMessage,
  SkippedRecordSchema,
  SkipReason,
} from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import {
  Audience,
  MuteScope,
  PrivacySetting,
  type User,
  UserSchema,
} from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { takeUntilAborted } from "../call/streams.ts";
import { brokenRules } from "../call/validate.ts";
import { allScopes } from "../domain/changes.ts";
import type { ConsistencyToken } from "../domain/consistency.ts";
import { PrivacyError } from "../domain/errors.ts";
import {
  type ImportedEdge,
  type ImportedException,
  type ImportedSetting,
  type ImportProgress,
  type ImportRecord,
  type SkippedRecord,
  skipReasons,
} from "../domain/imports.ts";
import { parseUserId, type UserId } from "../domain/users.ts";
import type { ImportName, ImportRepository } from "../store/imports.ts";
import { callingService } from "./caller.ts";
import type { ConsistencyTokens } from "./consistency-tokens.ts";
import { toAudience, toMicros, toScope, toSetting, toUserId } from "./proto-mapping.ts";

/** Called with the progress of an import. */
export type ImportLog = (name: ImportName, progress: ImportProgress) => void;

type Handlers = Pick<ServiceImpl<typeof GraphService>, "importEdges" | "getImport">;

const maxRecords = 1_000;
/** The most skipped records in an answer: those of ten messages. */
const maxReported = 10_000;
/** The progress is logged after this many records. */
const logEvery = 100_000;

/**
 * Imports records of another system, message by message. When `stopping` aborts, an import ends with `UNAVAILABLE` after
 * the current message. It can be resumed at another instance.
 */
export function importHandlers(
  imports: ImportRepository,
  consistency: ConsistencyTokens,
  log: ImportLog,
  stopping: AbortSignal,
): Handlers {
  const refuse = () => {
    throw new PrivacyError("UNAVAILABLE");
  };
  return {
    async importEdges(requests, context) {
      let name: ImportName | undefined;
      let last: { readonly progress: ImportProgress; readonly token: ConsistencyToken } | undefined;
      let logged = 0;
      const skipped: SkippedRecord[] = [];
      for await (const request of takeUntilAborted(requests, stopping, refuse)) {
        const given = importName(request, context);
        name ??= given;
        if (given.id !== name.id) throw new PrivacyError("INVALID_REQUEST");
        const outcome = await imports.store(name, ...readRecords(request), context.signal);
        skipped.push(...outcome.skipped.slice(0, maxReported - skipped.length));
        last = outcome;
        const { progress } = outcome;
        if (progress.records - logged >= logEvery) {
          logged = progress.records;
          log(name, progress);
        }
      }
      if (name === undefined || last === undefined) throw new PrivacyError("INVALID_REQUEST");
      const { progress, token } = last;
      log(name, progress);
      // Whatever has the last message has those before it.
      consistency.send(context, token);
      return {
        progress: fromProgress(progress),
        skipped: skipped.map(({ record, reason, description }) =>
          create(SkippedRecordSchema, { record: BigInt(record), reason: SkipReason[reason], description }),
        ),
      };
    },

    async getImport(request, context) {
      return {
        progress: fromProgress(await imports.progress(importName(request, context), context.signal)),
      };
    },
  };
}

function importName({ importId }: { readonly importId: string }, context: HandlerContext): ImportName {
  const id = parseUserId(importId);
  if (id === undefined)
    throw new PrivacyError("INVALID_REQUEST", { message: "importId must be a valid UUID" });
  return { service: callingService(context), id };
}

function readRecords({ firstRecord, records }: ImportEdgesRequest) {
  if (records.length > maxRecords) {
    throw new PrivacyError("INVALID_REQUEST", { message: `records must hold at most ${maxRecords}` });
  }
  if (firstRecord < 0n)
    throw new PrivacyError("INVALID_REQUEST", { message: "firstRecord must not be negative" });
  return [Number(firstRecord), records.map(toImportRecord)] as const;
}

function fromProgress({ records, stored, unchanged, skipped }: ImportProgress) {
  return create(ImportProgressSchema, {
    records: BigInt(records),
    stored: BigInt(stored),
    unchanged: BigInt(unchanged),
    skipped: skipReasons
      .filter((reason) => skipped[reason] > 0)
      .map((reason) => ({ reason: SkipReason[reason], count: BigInt(skipped[reason]) })),
  });
}

/** The fields of a user by their names in the definition. */
const userFields: Readonly<Record<string, keyof User>> = {
  id: "id",
  user_name: "userName",
  first_name: "firstName",
  last_name: "lastName",
  profile_picture_urls: "profilePictureUrls",
  is_verified: "isVerified",
};

/** Reads a record of an import; one that breaks a rule of its definition is malformed. */
function toImportRecord({ record, userFields }: RecordMessage): ImportRecord {
  try {
    switch (record.case) {
      case "user":
        return toUserRecord(record.value, userFields?.paths);
      case "follow":
      case "block":
      case "mute":
        return { kind: record.case, edge: toEdge(record.case, record.value) };
      case "setting":
        return { kind: "setting", setting: toImportedSetting(record.value) };
      case "exception":
        return { kind: "exception", exception: toImportedException(record.value) };
      default:
        throw new MalformedError("the record is empty");
    }
  } catch (failure) {
    if (failure instanceof MalformedError) return { kind: "malformed", description: failure.message };
    throw failure;
  }
}

/** A record breaks a rule of its definition; the message says which. */
class MalformedError extends Error {}

function toUserRecord(message: User, paths: readonly string[] | undefined): ImportRecord {
  const broken = brokenRules(UserSchema, message);
  if (broken !== undefined) throw new MalformedError(broken);
  const { $typeName, $unknown, ...fields } = message;
  const user = { ...fields, id: toUserId(fields.id) };
  if (paths === undefined) return { kind: "user", user };
  const unknown = paths.find((path) => !Object.hasOwn(userFields, path));
  if (unknown !== undefined) throw new MalformedError("userFields names a field that a user does not have");
  const given = paths.map((path) => userFields[path]);
  const { id, userName, ...others } = user;
  const some = Object.fromEntries(
    Object.entries(others).filter(([name]) => given.includes(name as keyof User)),
  );
  return { kind: "user", user: { id, userName, ...some } };
}

function toEdge(kind: "follow" | "block" | "mute", message: EdgeMessage): ImportedEdge {
  const edge = {
    owner: toId("ownerId", message.ownerId),
    target: toId("targetId", message.targetId),
    createdAt: toTime("createdAt", message.createdAt),
  };
  const expiresAt = toTime("expiresAt", message.expiresAt);
  const scopes = toScopes(message.scopes);
  if (kind === "follow" && expiresAt !== null)
    throw new MalformedError("expiresAt is for blocks and mutes: a follow does not end by itself");
  if (kind !== "mute" && message.scopes.length > 0) throw new MalformedError("scopes is for mutes only");
  return { ...edge, expiresAt, scopes };
}

function toImportedSetting({ userId, setting, audience }: SettingMessage): ImportedSetting {
  return {
    owner: toId("userId", userId),
    setting: toKnownSetting(setting),
    audience: known("audience", audience, Audience, toAudience),
  };
}

function toImportedException(message: ExceptionMessage): ImportedException {
  return {
    owner: toId("userId", message.userId),
    setting: toKnownSetting(message.setting),
    target: toId("exceptedId", message.exceptedId),
    createdAt: toTime("createdAt", message.createdAt),
  };
}

function toId(field: string, text: string): UserId {
  const id = parseUserId(text);
  if (id === undefined) throw new MalformedError(`${field} must be a valid UUID`);
  return id;
}

/** Microseconds since 1970; null when there is no time. */
function toTime(field: string, time: Timestamp | undefined): bigint | null {
  if (time === undefined) return null;
  const micros = toMicros(time);
  if (micros === undefined) throw new MalformedError(`${field} must be in the years 1 to 9999`);
  return micros;
}

function toKnownSetting(value: PrivacySetting) {
  return known("setting", value, PrivacySetting, toSetting);
}

function toScopes(values: readonly MuteScope[]): number {
  return values.length === 0
    ? allScopes
    : values.reduce<number>((bits, value) => bits | known("scopes", value, MuteScope, toScope), 0);
}

/** Reads the value of an enum, of which all but the one without a meaning are allowed. */
function known<Value extends number, Name>(
  field: string,
  value: Value,
  values: Readonly<Record<string, Value>>,
  read: (value: Value) => Name,
): Name {
  if (value === 0 || !Object.values(values).includes(value))
    throw new MalformedError(`${field} must be a value that is defined, not ${value}`);
  return read(value);
}
