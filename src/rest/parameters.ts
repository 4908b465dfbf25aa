import type { DescField, Message } from "@bufbuild/protobuf";
import { type Codec, codecOf } from "./codec.ts";
import { misfit, Refusal, unknownName } from "./refusal.ts";

/** Sets a request's fields from a query string, and tells which; throws a `Refusal`. */
export type ReadQuery = (query: string, into: Message) => ReadonlySet<DescField>;

/** Sets a request's fields from the raw segments of a path, and returns them decoded; throws a `Refusal`. */
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
      set(into, field, parse(text, field, codec));
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
        throw misfit(field.jsonName, "be given once");
      names.set(field, name);
      const value = parse(text, field, codec);
      if (field.fieldKind === "list") (get(into, field) as unknown[]).push(value);
      else set(into, field, value);
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

function parse(text: string, field: DescField, codec: Codec): unknown {
  const value = codec.fromText(text);
  if (value === undefined) throw misfit(field.jsonName, codec.expected);
  return value;
}

/** Decodes once. `%2F` and `%00` are refused: proxies and databases disagree with us about what they mean. */
function decodeSegment(raw: string, name: string): string {
  const text = decode(raw);
  if (text === undefined) throw misfit(name, "be percent-encoded UTF-8");
  if (text.length > maxLength) throw misfit(name, `have at most ${maxLength} characters`);
  if (/[/\0]/.test(text)) throw misfit(name, "not contain %2F or %00");
  return text;
}

function decodeQuery(raw: string): string {
  const text = decode(raw.replaceAll("+", " "));
  if (text === undefined) throw new Refusal("misfit", "The query must be percent-encoded UTF-8");
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
