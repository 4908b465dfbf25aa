import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ImportRecordSchema } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { audienceWords, scopeWords, settingWords, type Words } from "../commands/words.ts";
import {
  describeValue,
  readBoolean,
  readString,
  readStrings,
  readTime,
  readWord,
  readWords,
  ValueError,
} from "./values.ts";

type ImportRecord = MessageInitShape<typeof ImportRecordSchema>;

/** The fields of a record by their names in the file, whatever its format. */
export type Fields = Iterable<readonly [name: string, value: unknown]>;

/** A record as the service accepts it. One with a `problem` is empty: the service counts it as malformed. */
export interface ParsedRecord {
  readonly record: ImportRecord;
  /** The length of its texts, in UTF-16 code units. */
  readonly characters: number;
  readonly problem?: string;
}

/** More than any valid record has. A longer one must not be sent: the service would refuse its whole message. */
const maxCharacters = 40_000;

/** The options that change how a file is read. */
export interface ReadOptions {
  /** Whether a time without a zone is read as UTC. */
  readonly assumeUtc: boolean;
  /** The names of fields to leave out. */
  readonly ignore: readonly string[];
}

/** How many fields of a user may be left out. */
const optionalFields = 4;

/** The names of all fields that a record may have. */
export const fieldNames = [
  "type",
  "id",
  "userName",
  "firstName",
  "lastName",
  "profilePictureUrls",
  "isVerified",
  "ownerId",
  "targetId",
  "createdAt",
  "expiresAt",
  "scopes",
  "userId",
  "setting",
  "audience",
  "exceptedId",
] as const;

type FieldName = (typeof fieldNames)[number];

const byNormalName = new Map(fieldNames.map((name) => [normalName(name), name]));

/** The field with a name, which may also be spelt `user_name` or `User Name`; undefined for an unknown name. */
export function fieldNamed(name: string): FieldName | undefined {
  return byNormalName.get(normalName(name));
}

function normalName(name: string): string {
  return name.replace(/[\s_-]/g, "").toLowerCase();
}

/** Whether a field is among those to leave out. */
export function isIgnored(name: string, ignore: readonly string[]): boolean {
  return ignore.some((ignored) => normalName(ignored) === normalName(name));
}

/** An empty record, which the service counts as malformed. */
export function unreadableRecord(problem: string): ParsedRecord {
  return { record: {}, characters: 0, problem };
}

/** Makes a record of its fields. A null field counts as missing. */
export function toRecord(fields: Fields, reading: ReadOptions): ParsedRecord {
  const values = new Map<FieldName, unknown>();
  for (const [name, value] of fields) {
    if (isIgnored(name, reading.ignore)) continue;
    const field = fieldNamed(name);
    if (field === undefined) return unreadableRecord(`${describeValue(name)} is no known field`);
    if (values.has(field)) return unreadableRecord(`${field} is there twice`);
    if (value !== null && value !== undefined) values.set(field, value);
  }
  const characters = values.values().reduce<number>((sum, value) => sum + charactersOf(value), 0);
  if (characters > maxCharacters)
    return unreadableRecord(`the record is longer than ${maxCharacters} characters`);
  try {
    return { record: recordOf(values, reading), characters };
  } catch (failure) {
    if (failure instanceof ValueError) return unreadableRecord(failure.message);
    throw failure;
  }
}

const expectedTypes = "user, follow, block, mute, setting or exception";

function recordOf(values: ReadonlyMap<FieldName, unknown>, { assumeUtc }: ReadOptions): ImportRecord {
  /** Reads a field; undefined when it is not there. */
  const read = <T>(name: FieldName, parse: (value: unknown) => T): T | undefined => {
    const value = values.get(name);
    if (value === undefined) return undefined;
    try {
      return parse(value);
    } catch (failure) {
      throw failure instanceof ValueError ? new ValueError(`${name} ${failure.message}`) : failure;
    }
  };
  /** Reads a word; without it the record says nothing. */
  const readNeeded = <Value>(name: FieldName, words: Words<Value>): Value => {
    const word = read(name, (value) => readWord(value, words));
    if (word === undefined) throw new ValueError(`${name} is missing`);
    return word;
  };
  const readTimeOf = (value: unknown) => readTime(value, assumeUtc);
  const type = read("type", readString)?.trim().toLowerCase() ?? "";
  switch (type) {
    case "user": {
      const names = { id: read("id", readString), userName: read("userName", readString) };
      const given = Object.entries({
        firstName: read("firstName", readString),
        lastName: read("lastName", readString),
        profilePictureUrls: read("profilePictureUrls", readStrings),
        isVerified: read("isVerified", readBoolean),
      }).filter(([, value]) => value !== undefined);
      const user = defined({ ...names, ...Object.fromEntries(given) });
      const record = { case: "user", value: user } as const;
      if (given.length === optionalFields) return { record };
      return { record, userFields: { paths: ["userName", ...given.map(([name]) => name)].map(toPath) } };
    }
    case "follow":
    case "block":
    case "mute": {
      const ids = { ownerId: read("ownerId", readString), targetId: read("targetId", readString) };
      const times = { createdAt: read("createdAt", readTimeOf), expiresAt: read("expiresAt", readTimeOf) };
      const scopes = read("scopes", (value) => readWords(value, scopeWords));
      return { record: { case: type, value: defined({ ...ids, ...times, scopes }) } };
    }
    case "setting": {
      const value = defined({
        userId: read("userId", readString),
        setting: readNeeded("setting", settingWords),
        audience: readNeeded("audience", audienceWords),
      });
      return { record: { case: type, value } };
    }
    case "exception": {
      const value = defined({
        userId: read("userId", readString),
        setting: readNeeded("setting", settingWords),
        exceptedId: read("exceptedId", readString),
        createdAt: read("createdAt", readTimeOf),
      });
      return { record: { case: type, value } };
    }
    default:
      throw new ValueError(
        type === ""
          ? "type is missing"
          : `type is ${describeValue(values.get("type"))}, expected ${expectedTypes}`,
      );
  }
}

function charactersOf(value: unknown): number {
  if (typeof value === "string") return value.length;
  return Array.isArray(value) ? value.reduce<number>((sum, item) => sum + charactersOf(item) + 1, 0) : 0;
}

/** The path of a field in a field mask. */
function toPath(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

type Defined<T> = { [Key in keyof T]?: Exclude<T[Key], undefined> };

function defined<T extends object>(fields: T): Defined<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<T>;
}
