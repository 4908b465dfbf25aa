import {
  create,
  type DescField,
  type DescMessage,
  getOption,
  isFieldSet,
  type Message,
} from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { omit_empty } from "../../gen/nexgate/rest/v1/reply_pb.ts";
import { codecOf } from "./codec.ts";
import { typeMismatch, unknownName } from "./failure.ts";

/** A JSON object as `JSON.parse` makes it: any name may be an own property, `__proto__` too. */
export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * Reads a JSON object into a message and returns the fields that it names, or throws a `BadRequestError`. `path` leads
 * to the object, with its last dot.
 */
export type Read = (json: JsonObject, path: string, into: Message) => ReadonlySet<DescField>;

type ReadValue = (json: unknown, path: string) => unknown;

/**
 * Compiles the reading of a message from JSON. Names are a field's JSON name or proto name; unknown names, both names
 * of one field and values of another type are refused; null means absent where the field has presence. Throws for types
 * that REST does not support, messages that contain themselves included.
 */
export function messageReader(desc: DescMessage, except: ReadonlySet<DescField> = new Set()): Read {
  return readerOf(membersOf(desc, except, [desc]));
}

/**
 * Compiles the reading of a JSON merge patch (RFC 7396): as `messageReader`, but null means absent in all its fields.
 * Throws for a field whose message a patch would change in part.
 */
export function mergePatchReader(desc: DescMessage, except: ReadonlySet<DescField>): Read {
  const members = membersOf(desc, except, [desc]);
  for (const { field } of members)
    if (field.fieldKind === "message" && codecOf(field) === undefined)
      throw new Error(`${field} is a message, which REST does not support in a merge patch`);
  return readerOf(
    members.map(({ field, read }) => ({
      field,
      read: (json, path) => (json === null ? undefined : read(json, path)),
    })),
  );
}

/** Whether a JSON value is an object. */
export function isJsonObject(json: unknown): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

interface Member {
  readonly field: DescField;
  readonly read: ReadValue;
}

function membersOf(
  desc: DescMessage,
  except: ReadonlySet<DescField>,
  parents: readonly DescMessage[],
): readonly Member[] {
  const fields = desc.fields.filter((field) => !except.has(field));
  return fields.map((field) => ({ field, read: fieldReader(field, parents) }));
}

function readerOf(members: readonly Member[]): Read {
  const byName = new Map(
    members.flatMap((member) => [
      [member.field.jsonName, member] as const,
      [member.field.name, member] as const,
    ]),
  );
  return (json, path, into) => {
    const seen = new Set<DescField>();
    for (const name of Object.keys(json)) {
      const member = byName.get(name);
      if (member === undefined) throw unknownName("field", path + name);
      const { field, read } = member;
      if (seen.has(field)) throw typeMismatch(path + field.jsonName, "be given once");
      seen.add(field);
      const value = read(json[name], path + field.jsonName);
      if (value !== undefined) (into as unknown as Record<string, unknown>)[field.localName] = value;
    }
    return seen;
  };
}

function fieldReader(field: DescField, parents: readonly DescMessage[]): ReadValue {
  const read = valueReader(field, parents);
  if (field.fieldKind === "list") return listReader(read);
  if (field.presence === FeatureSet_FieldPresence.IMPLICIT) return read;
  return (json, path) => (json === null ? undefined : read(json, path));
}

function listReader(read: ReadValue): ReadValue {
  return (json, path) => {
    if (!Array.isArray(json)) throw typeMismatch(path, "be an array");
    return json.map((item, index) => read(item, `${path}[${index}]`));
  };
}

function valueReader(field: DescField, parents: readonly DescMessage[]): ReadValue {
  const codec = codecOf(field);
  if (codec === undefined) return nestedReader(field.message as DescMessage, parents);
  return (json, path) => {
    const value = codec.fromJson(json);
    if (value === undefined) throw typeMismatch(path, codec.expected);
    return value;
  };
}

function nestedReader(desc: DescMessage, parents: readonly DescMessage[]): ReadValue {
  if (parents.includes(desc)) throw new Error(`${desc} contains itself, which REST does not support`);
  const read = readerOf(membersOf(desc, new Set(), [...parents, desc]));
  return (json, path) => {
    if (!isJsonObject(json)) throw typeMismatch(path, "be an object");
    const message = create(desc);
    read(json, `${path}.`, message);
    return message;
  };
}

/** Writes something of a message as JSON text. */
export type Write = (message: Message) => string;

type WriteValue = (value: unknown) => string;

/**
 * Compiles the JSON form of a message: every field under its JSON name in declared order, also when it has its
 * default; an absent message or optional field is null. A field with the option `omit_empty` is left out where it is
 * absent or has its default. Throws for types that REST does not support, messages that contain themselves included.
 */
export function messageWriter(desc: DescMessage, parents: readonly DescMessage[] = []): Write {
  if (parents.includes(desc)) throw new Error(`${desc} contains itself, which REST does not support`);
  const [first] = desc.fields;
  const startsAlike = first === undefined || !canBeLeftOut(first);
  const members = desc.fields.map((field, index) => ({
    optional: canBeLeftOut(field) ? field : undefined,
    key: `${index === 0 && startsAlike ? "" : ","}${JSON.stringify(field.jsonName)}:`,
    write: fieldWriter(field, [...parents, desc]),
  }));
  const writeMembers = (message: Message) => {
    let text = "";
    for (const { optional, key, write } of members)
      if (optional === undefined || isFieldSet(message, optional)) text += key + write(message);
    return text;
  };
  if (startsAlike) return (message) => `{${writeMembers(message)}}`;
  // Any member may be the first one: all of them come with a comma.
  return (message) => `{${writeMembers(message).slice(1)}}`;
}

/** Whether an object in a reply may lack a field: its option `omit_empty`. */
export function canBeLeftOut(field: DescField): boolean {
  return getOption(field, omit_empty);
}

/** Compiles the JSON form of one field of a message. */
export function fieldWriter(field: DescField, parents: readonly DescMessage[] = []): Write {
  const name = field.localName;
  const write = valueWriter(field, parents);
  const valueIn = (message: Message) => (message as unknown as Record<string, unknown>)[name];
  if (field.fieldKind === "list") return (message) => writeList(valueIn(message) as unknown[], write);
  if (field.presence === FeatureSet_FieldPresence.IMPLICIT) return (message) => write(valueIn(message));
  return (message) => (isFieldSet(message, field) ? write(valueIn(message)) : "null");
}

function valueWriter(field: DescField, parents: readonly DescMessage[]): WriteValue {
  const codec = codecOf(field);
  if (codec !== undefined) return (value) => codec.toJson(value as never);
  return messageWriter(field.message as DescMessage, parents) as (value: unknown) => string;
}

function writeList(values: readonly unknown[], write: WriteValue): string {
  let text = "[";
  for (let index = 0; index < values.length; index++) text += (index === 0 ? "" : ",") + write(values[index]);
  return `${text}]`;
}
