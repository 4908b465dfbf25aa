import { create, type DescField, type DescMessage, type Message } from "@bufbuild/protobuf";
import { fieldsAtFault } from "../call/validate.ts";
import { isJsonObject, type JsonObject, messageReader } from "./json-reader.ts";
import { pathReader, queryReader, type ReadPath, type ReadQuery } from "./parameters.ts";
import { Refusal } from "./refusal.ts";
import type { Segment } from "./template.ts";

/** How the parts of an HTTP request become a request message. Each reader throws a `Refusal`. */
export interface Binding {
  readonly readPath: ReadPath;
  readonly readQuery: ReadQuery;
  /** Reads a body; undefined is none, and so is null where a request without a body is complete. */
  readonly readBody: (json: unknown, into: Message) => void;
  /** The fields that the path sets, in its order. */
  readonly inPath: readonly DescField[];
  readonly inQuery: readonly DescField[];
  /** The field that is the body, or the fields of which the body is made; none when there is no body. */
  readonly inBody: DescField | readonly DescField[];
}

/**
 * Binds a request message to a path, a `body` and the query, which gets the fields that are left. Throws for unknown
 * fields and for fields of types that their place cannot express.
 */
export function bindRequest(input: DescMessage, segments: readonly Segment[], body: string): Binding {
  const inPath = segments.flatMap((segment) => ("field" in segment ? [fieldOf(input, segment.field)] : []));
  const inBody = body === "" || body === "*" ? undefined : fieldOf(input, body);
  if (inBody !== undefined && inPath.includes(inBody)) throw new Error(`the path binds the body "${body}"`);
  const others = input.fields.filter((field) => !inPath.includes(field) && field !== inBody);
  const inQuery = body === "*" ? [] : others;
  return {
    readPath: pathReader(inPath),
    readQuery: queryReader(inQuery),
    readBody: inBody === undefined ? wholeBody(input, body, inPath) : fieldBody(inBody),
    inPath,
    inQuery,
    inBody: inBody ?? (body === "*" ? others : []),
  };
}

/** The field of a message by its proto name; throws when there is none. */
export function fieldOf(message: DescMessage, name: string): DescField {
  const field = message.fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new Error(`${message} has no field "${name}"`);
  return field;
}

/**
 * Without a body in its rule, a method accepts an empty object, in which every field is unknown. Where no field of the
 * body is required it accepts null as well, which some clients send when they have no body.
 */
function wholeBody(input: DescMessage, body: string, inPath: readonly DescField[]): Binding["readBody"] {
  const outside = new Set(body === "*" ? inPath : input.fields);
  const read = messageReader(input, outside);
  const isNeeded = [...fieldsAtFault(input, create(input))].some((field) => !outside.has(field));
  return (json, into) => {
    const isNone = json === undefined || (json === null && !isNeeded);
    read(isNone ? {} : objectOf(json), "", into);
  };
}

function fieldBody(field: DescField): Binding["readBody"] {
  if (field.fieldKind !== "message") throw new Error(`the body "${field.name}" is no message`);
  const only = new Set(field.parent.fields.filter((other) => other !== field));
  const read = messageReader(field.parent, only);
  return (json, into) => {
    if (json !== undefined) read({ [field.name]: objectOf(json) }, "", into);
  };
}

function objectOf(json: unknown): JsonObject {
  if (!isJsonObject(json)) throw new Refusal("malformed", "The body must be a JSON object");
  return json;
}
