import { type DescEnum, type DescField, fromJson, ScalarType } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";

/** How the values of one type look in JSON and in a URL. */
export interface Codec<Value = never> {
  /** What the JSON form looks like. */
  readonly schema: JsonSchema;
  /** Completes "… must". */
  readonly expected: string;
  /** Reads parsed JSON; undefined when it is not of this type. */
  fromJson(json: unknown): unknown;
  /** Reads a path or query parameter; undefined when it is not of this type. */
  fromText(text: string): unknown;
  toJson(value: Value): string;
}

/**
 * The codec of a field's values, for a repeated field of each. Messages other than `google.protobuf.Timestamp` have
 * none: undefined. REST supports string, bool, int32, enums, messages and lists of them: throws for all else.
 */
export function codecOf(field: DescField): Codec | undefined {
  if (field.fieldKind === "map" || field.oneof !== undefined) throw unsupported(field);
  if (field.enum !== undefined) return enumCodec(field.enum);
  if (field.message !== undefined)
    return field.message.typeName === TimestampSchema.typeName ? timestamp : undefined;
  const codec = scalars.get(field.scalar);
  if (codec === undefined) throw unsupported(field);
  return codec;
}

function unsupported(field: DescField): Error {
  return new Error(`${field} is of a type that REST does not support`);
}

/** A string is Unicode text (proto3 wants UTF-8), so a lone surrogate, which JSON can spell, is none. */
const string: Codec<string> = {
  schema: { type: "string" },
  expected: "be a string",
  fromJson: (json) => (typeof json === "string" && json.isWellFormed() ? json : undefined),
  fromText: (text) => text,
  // Hardly any text needs an escape.
  toJson: (value) => (plain.test(value) ? `"${value}"` : JSON.stringify(value)),
};

/** Text that needs no escape (ECMA-262, QuoteJSONString): no quote, backslash, control character or surrogate. */
const plain = /^[ !#-[\]-\ud7ff\ue000-\uffff]*$/;

const bool: Codec<boolean> = {
  schema: { type: "boolean" },
  expected: "be true or false",
  fromJson: (json) => (typeof json === "boolean" ? json : undefined),
  fromText: (text) => (text === "true" ? true : text === "false" ? false : undefined),
  toJson: String,
};

const decimal = /^(?:0|-?[1-9]\d{0,9})$/;
const [minInt32, maxInt32] = [-(2 ** 31), 2 ** 31 - 1];

function isInt32(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= minInt32 && (value as number) <= maxInt32;
}

const int32: Codec<number> = {
  schema: { type: "integer", minimum: minInt32, maximum: maxInt32 },
  expected: "be a 32-bit integer",
  fromJson: (json) => (isInt32(json) ? json : undefined),
  fromText: (text) => (decimal.test(text) && isInt32(Number(text)) ? Number(text) : undefined),
  toJson: String,
};

const scalars: ReadonlyMap<ScalarType, Codec> = new Map<ScalarType, Codec>([
  [ScalarType.STRING, string],
  [ScalarType.BOOL, bool],
  [ScalarType.INT32, int32],
]);

function enumCodec(desc: DescEnum): Codec<number> {
  const { numbers, names } = enumNames(desc);
  return {
    schema: { type: "string", enum: [...numbers.keys()] },
    expected: `be one of ${[...numbers.keys()].join(", ")}`,
    fromJson: (json) => (typeof json === "string" ? numbers.get(json) : undefined),
    fromText: (text) => numbers.get(text),
    toJson: (value) => {
      const name = names.get(value);
      if (name !== undefined) return `"${name}"`;
      if (value === 0) return "null";
      throw new Error(`${desc} has no value ${value}`);
    },
  };
}

/** RFC 3339 both ways; written in UTC and whole seconds, a fraction is cut off. */
const timestamp: Codec<Timestamp> = {
  schema: { type: "string", format: "date-time" },
  expected: "be an RFC 3339 time",
  fromJson: (json) => (typeof json === "string" ? readTimestamp(json) : undefined),
  fromText: (text) => readTimestamp(text),
  toJson: ({ seconds }) => `"${isoSeconds(Number(seconds) * 1000)}"`,
};

function readTimestamp(text: string): Timestamp | undefined {
  try {
    const time = fromJson(TimestampSchema, text);
    return isInCalendar(text) ? time : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a well-formed time is on a day that exists: a 31 April would be read as 1 May, and 24:00 as the next day. */
function isInCalendar(text: string): boolean {
  const day = text.slice(0, 10);
  return new Date(day).toISOString().startsWith(day) && text.slice(11, 13) !== "24";
}

const firstMs = Date.parse("0001-01-01T00:00:00Z");
const lastMs = Date.parse("9999-12-31T23:59:59Z");

/** ISO 8601 in UTC and whole seconds, a fraction cut off. Throws outside the years 1 to 9999. */
export function isoSeconds(ms: number): string {
  if (!(ms >= firstMs && ms < lastMs + 1000)) throw new RangeError(`${ms} ms is no time of RFC 3339`);
  const time = new Date(ms);
  const year = String(time.getUTCFullYear()).padStart(4, "0");
  const date = `${year}-${two(time.getUTCMonth() + 1)}-${two(time.getUTCDate())}`;
  return `${date}T${two(time.getUTCHours())}:${two(time.getUTCMinutes())}:${two(time.getUTCSeconds())}Z`;
}

function two(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}

/** The names by which REST writes and reads the values of an enum. */
export interface EnumNames {
  readonly numbers: ReadonlyMap<string, number>;
  readonly names: ReadonlyMap<number, string>;
}

/**
 * The names of an enum's values in REST: without the enum's prefix, in lower case. The zero value `_UNSPECIFIED` has
 * none. Throws when a value lacks the prefix, which is the enum's name in UPPER_SNAKE (buf's ENUM_VALUE_PREFIX).
 */
export function enumNames(desc: DescEnum): EnumNames {
  const prefix = `${upperSnake(desc.name)}_`;
  const numbers = new Map<string, number>();
  const names = new Map<number, string>();
  for (const { name: full, number } of desc.values) {
    if (!full.startsWith(prefix) || full === prefix)
      throw new Error(`the value ${full} of ${desc} lacks the prefix ${prefix}`);
    const name = full.slice(prefix.length).toLowerCase();
    if (number === 0 && name === "unspecified") continue;
    numbers.set(name, number);
    if (!names.has(number)) names.set(number, name);
  }
  return { numbers, names };
}

/** A name in PascalCase as UPPER_SNAKE. */
export function upperSnake(name: string): string {
  return name
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replace(/([A-Z])([A-Z][a-z])/g, "$1_$2")
    .toUpperCase();
}

/** A JSON Schema, draft 2020-12. */
export type JsonSchema = { readonly [keyword: string]: unknown };
