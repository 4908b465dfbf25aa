import { type DescField, type DescMessage, isFieldSet, type Message } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { codecOf } from "./codec.ts";

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
