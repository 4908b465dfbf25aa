import { create, type DescField, type DescMessage, type Message } from "@bufbuild/protobuf";
import { FieldMaskSchema } from "@bufbuild/protobuf/wkt";
import { fieldsAtFault } from "../call/validate.ts";
import { type Codec, codecOf } from "./codec.ts";
import { BadRequestError, typeMismatch, unknownName } from "./failure.ts";
import type { HttpRule, Segment } from "./http-rule.ts";
import { isJsonObject, type JsonObject, mergePatchReader, messageReader } from "./message-json.ts";

/** How the parts of an HTTP request become a request message. Each reader throws a `BadRequestError`. */
export interface RequestReader {
  readonly readPath: ReadPath;
  readonly readQuery: ReadQuery;
  /** Reads a body; undefined is none, and so is null where a request without a body is complete. */
  readonly readBody: (json: unknown, into: Message) => void;
  /** The fields that the path sets, in its order. */
  readonly inPath: readonly DescField[];
  readonly inQuery: readonly DescField[];
  /** The field that is the body, or the fields of which the body is made; none when there is no body. */
  readonly inBody: DescField | readonly DescField[];
  /** Whether the body is a JSON merge patch: null clears a field, and what is missing changes nothing. */
  readonly isMergePatch: boolean;
}

/**
 * Binds a request message to a path, a `body` and the query, which gets the fields that are left. The body of a message
 * with an `update_mask` is a JSON merge patch, whose members are the mask. Throws for unknown fields, for fields whose
 * type a path or query cannot express, and for an `update_mask` that no such body can fill.
 */
export function compileRequestReader(
  input: DescMessage,
  segments: readonly Segment[],
  { verb, body }: Pick<HttpRule, "verb" | "body">,
): RequestReader {
  const mask = updateMaskOf(input);
  if (mask !== undefined && (verb !== "PATCH" || body !== "*"))
    throw new Error(`${mask} needs a PATCH rule with the body "*"`);
  const inPath = segments.flatMap((segment) => ("field" in segment ? [fieldOf(input, segment.field)] : []));
  const inBody = body === "" || body === "*" ? undefined : fieldOf(input, body);
  if (inBody !== undefined && inPath.includes(inBody)) throw new Error(`the path binds the body "${body}"`);
  const others = input.fields.filter(
    (field) => !inPath.includes(field) && field !== inBody && field !== mask,
  );
  const inQuery = body === "*" ? [] : others;
  return {
    readPath: pathReader(inPath),
    readQuery: queryReader(inQuery),
    readBody: inBody === undefined ? wholeBody(input, body === "*" ? others : [], mask) : fieldBody(inBody),
    inPath,
    inQuery,
    inBody: inBody ?? (body === "*" ? others : []),
    isMergePatch: mask !== undefined,
  };
}

/** The `update_mask` of a request (AIP-134), undefined when it has none. Throws for one of another type. */
function updateMaskOf(input: DescMessage): DescField | undefined {
  const field = input.fields.find(({ name }) => name === "update_mask");
  if (field === undefined) return undefined;
  if (field.fieldKind !== "message" || field.message.typeName !== FieldMaskSchema.typeName)
    throw new Error(`${field} must be a google.protobuf.FieldMask`);
  return field;
}

/** The field of a message by its proto name; throws when there is none. */
export function fieldOf(message: DescMessage, name: string): DescField {
  const field = message.fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new Error(`${message} has no field "${name}"`);
  return field;
}

/**
 * Without a body in its rule, a method accepts an empty object, in which every field is unknown. Where no field of the
 * body is required it accepts null as well, which some clients send when they have no body. The mask is always set:
 * with nothing in it when the body has no member.
 */
function wholeBody(
  input: DescMessage,
  inBody: readonly DescField[],
  mask: DescField | undefined,
): RequestReader["readBody"] {
  const outside = new Set(input.fields.filter((field) => !inBody.includes(field)));
  const read = mask === undefined ? messageReader(input, outside) : mergePatchReader(input, outside);
  const isNeeded = [...fieldsAtFault(input, create(input))].some((field) => !outside.has(field));
  return (json, into) => {
    const isNone = json === undefined || (json === null && !isNeeded);
    const given = read(isNone ? {} : objectOf(json), "", into);
    if (mask === undefined) return;
    const paths = inBody.filter((field) => given.has(field)).map(({ name }) => name);
    set(into, mask, create(FieldMaskSchema, { paths }));
  };
}

function fieldBody(field: DescField): RequestReader["readBody"] {
  if (field.fieldKind !== "message") throw new Error(`the body "${field.name}" is no message`);
  const only = new Set(field.parent.fields.filter((other) => other !== field));
  const read = messageReader(field.parent, only);
  return (json, into) => {
    if (json !== undefined) read({ [field.name]: objectOf(json) }, "", into);
  };
}

function objectOf(json: unknown): JsonObject {
  if (!isJsonObject(json)) throw new BadRequestError("malformed", "The body must be a JSON object");
  return json;
}

/** Sets a request's fields from a query string, and returns those that were given; throws a `BadRequestError`. */
export type ReadQuery = (query: string, into: Message) => ReadonlySet<DescField>;

/** Sets a request's fields from the raw segments of a path, and returns them decoded; throws a `BadRequestError`. */
export type ReadPath = (segments: readonly string[], into: Message) => readonly string[];

interface Parameter {
  readonly field: DescField;
  readonly codec: Codec;
}

/** The most characters that a path parameter may have. */
const maxLength = 128;

/** Compiles the path parameters of a route, in the order of the path. Throws for fields that no text can set. */
export function pathReader(fields: readonly DescField[]): ReadPath {
  const parameters = fields.map(parameterOf);
  for (const { field } of parameters)
    if (field.fieldKind === "list") throw new Error(`${field} is repeated and cannot be part of a path`);
  return (segments, into) =>
    parameters.map(({ field, codec }, index) => {
      const text = decodeSegment(segments[index] ?? "", field.jsonName);
      set(into, field, parse(text, field.jsonName, codec));
      return text;
    });
}

/**
 * Compiles the query parameters of a route: fields by their JSON name or proto name, repeated fields by repetition.
 * Throws for fields that no text can set.
 */
export function queryReader(fields: readonly DescField[]): ReadQuery {
  const byName = new Map(
    fields.flatMap((field) => {
      const parameter = parameterOf(field);
      return [[field.jsonName, parameter] as const, [field.name, parameter] as const];
    }),
  );
  return (query, into) => {
    const names = new Map<DescField, string>();
    for (const [name, text] of pairsOf(query)) {
      const parameter = byName.get(name);
      if (parameter === undefined) throw unknownName("query parameter", name);
      const { field, codec } = parameter;
      const before = names.get(field);
      if (before !== undefined && (before !== name || field.fieldKind !== "list"))
        throw typeMismatch(name, "be given once");
      names.set(field, name);
      if (field.fieldKind !== "list") {
        set(into, field, parse(text, name, codec));
        continue;
      }
      const list = get(into, field) as unknown[];
      list.push(parse(text, `${name}[${list.length}]`, codec));
    }
    return new Set(names.keys());
  };
}

/** The pairs of a query string, decoded as `application/x-www-form-urlencoded` (WHATWG URL, 5.1), but strictly. */
export function pairsOf(query: string): readonly (readonly [name: string, value: string])[] {
  return query
    .split("&")
    .filter((pair) => pair !== "")
    .map((pair) => {
      const equals = pair.indexOf("=");
      return equals < 0
        ? [decodeQuery(pair), ""]
        : [decodeQuery(pair.slice(0, equals)), decodeQuery(pair.slice(equals + 1))];
    });
}

function parameterOf(field: DescField): Parameter {
  const codec = codecOf(field);
  if (codec === undefined) throw new Error(`${field} is a message and cannot be a parameter`);
  return { field, codec };
}

/** Reads the text of a parameter. `name` is the name by which the client knows it. */
function parse(text: string, name: string, codec: Codec): unknown {
  const value = codec.fromText(text);
  if (value === undefined) throw typeMismatch(name, codec.expected);
  return value;
}

/** Decodes once. `%2F` and `%00` are refused: proxies and databases disagree with us about what they mean. */
function decodeSegment(raw: string, name: string): string {
  const text = decode(raw);
  if (text === undefined) throw typeMismatch(name, "be percent-encoded UTF-8");
  if (text.length > maxLength) throw typeMismatch(name, `have at most ${maxLength} characters`);
  if (/[/\0]/.test(text)) throw typeMismatch(name, "not contain %2F or %00");
  return text;
}

function decodeQuery(raw: string): string {
  const text = decode(raw.replaceAll("+", " "));
  if (text === undefined)
    throw new BadRequestError("type_mismatch", "The query must be percent-encoded UTF-8");
  return text;
}

function decode(raw: string): string | undefined {
  try {
    return decodeURIComponent(raw);
  } catch {
    return undefined;
  }
}

function get(message: Message, field: DescField): unknown {
  return (message as unknown as Record<string, unknown>)[field.localName];
}

function set(message: Message, field: DescField, value: unknown): void {
  (message as unknown as Record<string, unknown>)[field.localName] = value;
}
