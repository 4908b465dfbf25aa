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
 * none: undefined. Throws for types that REST does not support: maps, bytes, members of a oneof.
 */
export function codecOf(field: DescField): Codec | undefined {
  if (field.fieldKind === "map" || field.oneof !== undefined) throw unsupported(field);
  if (field.enum !== undefined) return enumCodec(field.enum);
  if (field.message !== undefined)
    return field.message.typeName === TimestampSchema.typeName ? timestamp : undefined;
  const codec = scalarCodec(field.scalar, field.longAsString);
  if (codec === undefined) throw unsupported(field);
  return codec;
}

function unsupported(field: DescField): Error {
  return new Error(`${field} is of a type that REST does not support`);
}

function scalarCodec(type: ScalarType, longAsString: boolean): Codec | undefined {
  switch (type) {
    case ScalarType.STRING:
      return string;
    case ScalarType.BOOL:
      return bool;
    case ScalarType.DOUBLE:
      return double(Number.MAX_VALUE);
    case ScalarType.FLOAT:
      return double(3.4028234663852886e38);
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
      return int32(-(2 ** 31), 2 ** 31 - 1);
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return int32(0, 2 ** 32 - 1);
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return int64(-(2n ** 63n), 2n ** 63n - 1n, longAsString);
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return int64(0n, 2n ** 64n - 1n, longAsString);
    case ScalarType.BYTES:
      return undefined;
  }
}

/** A string is Unicode text (proto3 wants UTF-8), so a lone surrogate, which JSON can spell, is none. */
const string: Codec<string> = {
  schema: { type: "string" },
  expected: "be a string",
  fromJson: (json) => (typeof json === "string" && json.isWellFormed() ? json : undefined),
  fromText: (text) => text,
  // A test and a copy cost half as much as JSON.stringify, and hardly any text needs more.
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

/** The longest decimal has the 20 digits of 2^64 - 1. */
const decimal = /^(?:0|-?[1-9]\d{0,19})$/;

function int32(min: number, max: number): Codec<number> {
  const inRange = (value: number) => (value >= min && value <= max ? value : undefined);
  return {
    schema: { type: "integer", minimum: min, maximum: max },
    expected: `be an integer from ${min} to ${max}`,
    fromJson: (json) => (Number.isInteger(json) ? inRange(json as number) : undefined),
    fromText: (text) => (decimal.test(text) ? inRange(Number(text)) : undefined),
    toJson: String,
  };
}

/** Reads 64-bit integers from strings, and from numbers as far as a double holds them exactly. */
function int64(min: bigint, max: bigint, asString: boolean): Codec<bigint | string> {
  const fromText = (text: string) => {
    if (!decimal.test(text)) return undefined;
    const value = BigInt(text);
    if (value < min || value > max) return undefined;
    return asString ? text : value;
  };
  return {
    schema: { type: "string", pattern: min < 0n ? decimal.source : decimal.source.replace("-?", "") },
    expected: `be an integer from ${min} to ${max}`,
    fromJson: (json) =>
      typeof json === "string" || Number.isSafeInteger(json) ? fromText(String(json)) : undefined,
    fromText,
    toJson: (value) => `"${value}"`,
  };
}

const number = /^-?\d{1,40}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,4})?$/;

function double(max: number): Codec<number> {
  const inRange = (value: number) => (Math.abs(value) <= max ? value : undefined);
  return {
    schema: { type: "number", minimum: -max, maximum: max },
    expected: "be a number",
    fromJson: (json) => (typeof json === "number" ? inRange(json) : undefined),
    fromText: (text) => (number.test(text) ? inRange(Number(text)) : undefined),
    toJson: (value) => (Number.isFinite(value) ? String(value) : `"${value}"`),
  };
}

function enumCodec(desc: DescEnum): Codec<number> {
  const { numbers, words } = enumNames(desc);
  return {
    schema: { type: "string", enum: [...numbers.keys()] },
    expected: `be one of ${[...numbers.keys()].join(", ")}`,
    fromJson: (json) => (typeof json === "string" ? numbers.get(json) : undefined),
    fromText: (text) => numbers.get(text),
    toJson: (value) => {
      const word = words.get(value);
      if (word !== undefined) return `"${word}"`;
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
    return fromJson(TimestampSchema, text);
  } catch {
    return undefined;
  }
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

/** The words by which REST writes and reads the values of an enum. */
export interface EnumNames {
  readonly numbers: ReadonlyMap<string, number>;
  readonly words: ReadonlyMap<number, string>;
}

/**
 * The words of an enum: its value names without the enum's prefix, in lower case. The zero value `_UNSPECIFIED` is no
 * word. Throws when a value lacks the prefix, which is the enum's name in UPPER_SNAKE (buf's ENUM_VALUE_PREFIX).
 */
export function enumNames(desc: DescEnum): EnumNames {
  const prefix = `${upperSnake(desc.name)}_`;
  const numbers = new Map<string, number>();
  const words = new Map<number, string>();
  for (const { name, number } of desc.values) {
    if (!name.startsWith(prefix) || name === prefix)
      throw new Error(`the value ${name} of ${desc} lacks the prefix ${prefix}`);
    const word = name.slice(prefix.length).toLowerCase();
    if (number === 0 && word === "unspecified") continue;
    numbers.set(word, number);
    if (!words.has(number)) words.set(number, word);
  }
  return { numbers, words };
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
