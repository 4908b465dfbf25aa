import { create, type DescField, type DescMessage, type Message } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { codecOf } from "./codec.ts";
import { misfit, unknownName } from "./refusal.ts";

/** A JSON object as `JSON.parse` makes it: any name may be an own property, `__proto__` too. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Reads a JSON object into a message, or throws a `Refusal`. `path` leads to the object, with its last dot. */
export type Read = (json: JsonObject, path: string, into: Message) => void;

type ReadValue = (json: unknown, path: string) => unknown;

/**
 * Compiles the reading of a message from JSON. Names are a field's JSON name or proto name; unknown names, both names
 * of one field and values of another type are refused; null means absent where absence can be told. Throws for types
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
      if (seen.has(field)) throw misfit(path + field.jsonName, "be given once");
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
    if (!Array.isArray(json)) throw misfit(path, "be an array");
    return json.map((item, index) => read(item, `${path}[${index}]`));
  };
}

function valueReader(field: DescField, parents: readonly DescMessage[]): ReadValue {
  const codec = codecOf(field);
  if (codec === undefined) return nestedReader(field.message as DescMessage, parents);
  return (json, path) => {
    const value = codec.fromJson(json);
    if (value === undefined) throw misfit(path, codec.expected);
    return value;
  };
}

function nestedReader(desc: DescMessage, parents: readonly DescMessage[]): ReadValue {
  if (parents.includes(desc)) throw new Error(`${desc} contains itself, which REST does not support`);
  const read = readerOf(desc.fields, [...parents, desc]);
  return (json, path) => {
    if (!isJsonObject(json)) throw misfit(path, "be an object");
    const message = create(desc);
    read(json, `${path}.`, message);
    return message;
  };
}
