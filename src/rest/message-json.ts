import { create, type DescField, type DescMessage, isFieldSet, type Message } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { codecOf } from "./codec.ts";
import { typeMismatch, unknownName } from "./failure.ts";

/** A JSON object as `JSON.parse` makes it: any name may be an own property, `__proto__` too. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Reads a JSON object into a message, or throws a `BadRequestError`. `path` leads to the object, with its last dot. */
export type Read = (json: JsonObject, path: string, into: Message) => void;

type ReadValue = (json: unknown, path: string) => unknown;

/**
 * Compiles the reading of a message from JSON. Names are a field's JSON name or proto name; unknown names, both names
 * of one field and values of another type are refused; null means absent where the field has presence. Throws for types
 * that REST does not support, messages that contain themselves included.
 */
export function messageReader(desc: DescMessage, except: ReadonlySet<DescField> = new Set()): Read {
  return readerOf(
    desc.fields.filter((field) => !except.has(field)),
    [desc],
  );
}

/** Whether a JSON value is an object. */
export function isJsonObject(json: unknown): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

function readerOf(fields: readonly DescField[], parents: readonly DescMessage[]): Read {
  const byName = new Map(
    fields.flatMap((field) => {
      const member = { field, read: fieldReader(field, parents) };
      return [[field.jsonName, member] as const, [field.name, member] as const];
    }),
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
  const read = readerOf(desc.fields, [...parents, desc]);
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
 * default; an absent message or optional field is null. Throws for types that REST does not support, messages that
 * contain themselves included.
 */
export function messageWriter(desc: DescMessage, parents: readonly DescMessage[] = []): Write {
  if (parents.includes(desc)) throw new Error(`${desc} contains itself, which REST does not support`);
  const members = desc.fields.map((field, index) => ({
    key: `${index === 0 ? "" : ","}${JSON.stringify(field.jsonName)}:`,
    write: fieldWriter(field, [...parents, desc]),
  }));
  return (message) => {
    let text = "{";
    for (const { key, write } of members) text += key + write(message);
    return `${text}}`;
  };
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
