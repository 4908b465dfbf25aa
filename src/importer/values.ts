import { create } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import type { Words } from "../commands/words.ts";

/** A value that cannot be read; the message says what is wrong with it. */
export class ValueError extends Error {}

const longestShown = 40;
const trueWords = new Set(["true", "t", "yes", "y", "on", "1"]);
const falseWords = new Set(["false", "f", "no", "n", "off", "0"]);

/** Reads a text. */
export function readString(value: unknown): string {
  if (typeof value !== "string") throw new ValueError(`is ${describeValue(value)}, expected text`);
  if (!value.isWellFormed())
    throw new ValueError(`is ${describeValue(value)}, which has half of a surrogate pair`);
  return value;
}

/** Reads texts: a list of them, or one text with white space between them, as a cell holds them. */
export function readStrings(value: unknown): string[] {
  if (typeof value === "string") return readString(value).split(/\s+/).filter(Boolean);
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value.map(readString);
  throw new ValueError(`is ${describeValue(value)}, expected a list of texts`);
}

/** Reads one of some words, in any case. */
export function readWord<Value>(value: unknown, words: Words<Value>): Value {
  const word = typeof value === "string" ? words.get(value.trim().toLowerCase()) : undefined;
  if (word !== undefined) return word;
  throw new ValueError(`is ${describeValue(value)}, expected ${listOf(words.keys(), "or")}`);
}

/** Reads some of some words: a list of them, or one text with white space between them. */
export function readWords<Value>(value: unknown, words: Words<Value>): Value[] {
  return readStrings(value).map((text) => {
    const word = words.get(text.trim().toLowerCase());
    if (word !== undefined) return word;
    throw new ValueError(`has ${describeValue(text)}, expected ${listOf(words.keys(), "and")}`);
  });
}

function listOf(words: Iterable<string>, conjunction: string): string {
  const all = [...words];
  return [all.slice(0, -1).join(", "), all.at(-1)].filter(Boolean).join(` ${conjunction} `);
}

/** Reads a boolean in one of the spellings above, in any case; undefined for an empty text. */
export function readBoolean(value: unknown): boolean | undefined {
  if (typeof value === "boolean") return value;
  const word = typeof value === "number" ? String(value) : value;
  if (typeof word === "string") {
    const normal = word.trim().toLowerCase();
    if (normal === "") return undefined;
    if (trueWords.has(normal)) return true;
    if (falseWords.has(normal)) return false;
  }
  throw new ValueError(`is ${describeValue(value)}, expected true or false`);
}

// RFC 3339, with a space for the T as its section 5.6 allows, and the zone as PostgreSQL (+00) and BigQuery (UTC)
// write it.
const dateTime =
  /^(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?: ?(?:([Zz]|UTC)|([+-])(\d{2})(?::?(\d{2}))?))?$/;
const decimal = /^(\d+)(?:\.(\d+))?$/;

// Seconds from 1973 to 2099, and milliseconds of the same years: a number is of one kind at most.
const leastSeconds = 100_000_000n;
const endSeconds = 4_102_444_800n;

/**
 * Reads a time: RFC 3339, or the seconds or milliseconds since 1970 as a number. Undefined for an empty text. A time
 * without a zone is refused unless `assumeUtc` is set: nothing is guessed.
 */
export function readTime(value: unknown, assumeUtc: boolean): Timestamp | undefined {
  const text = typeof value === "number" ? String(value) : value;
  if (typeof text !== "string") throw new ValueError(`is ${describeValue(value)}, expected ${expectedTime}`);
  const trimmed = text.trim();
  if (trimmed === "") return undefined;
  const number = decimal.exec(trimmed);
  if (number !== null) return fromEpoch(number, value);
  const parts = dateTime.exec(trimmed);
  if (parts === null) throw new ValueError(`is ${describeValue(value)}, expected ${expectedTime}`);
  return fromDateTime(parts, value, assumeUtc);
}

const expectedTime = "a time of RFC 3339, or seconds or milliseconds since 1970";

function fromEpoch([, digits = "", fraction = ""]: RegExpExecArray, value: unknown): Timestamp {
  const whole = BigInt(digits);
  const scale = [1n, 1_000n].find((unit) => whole >= leastSeconds * unit && whole < endSeconds * unit);
  if (scale === undefined)
    throw new ValueError(
      `is ${describeValue(value)}, neither seconds nor milliseconds of the years 1973 to 2099`,
    );
  const nanosPerUnit = 1_000_000_000n / scale;
  const nanos = whole * nanosPerUnit + (nanosOf(fraction) * nanosPerUnit) / 1_000_000_000n;
  return timestamp(nanos / 1_000_000_000n, Number(nanos % 1_000_000_000n));
}

function fromDateTime(parts: RegExpExecArray, value: unknown, assumeUtc: boolean): Timestamp {
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.slice(1, 7).map(Number);
  const [fraction = "", utc, sign, hours = "0", minutes = "0"] = parts.slice(7);
  if (utc === undefined && sign === undefined && !assumeUtc)
    throw new ValueError(
      `is ${describeValue(value)}, which names no time zone (--assume-utc takes it for UTC)`,
    );
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  const isReal =
    date.getUTCMonth() === month - 1 && date.getUTCDate() === day && hour < 24 && minute < 60 && second < 60;
  if (!isReal || Number(hours) > 23 || Number(minutes) > 59)
    throw new ValueError(`is ${describeValue(value)}, not a valid time`);
  const offset = (Number(hours) * 60 + Number(minutes)) * 60 * (sign === "-" ? -1 : 1);
  return timestamp(BigInt(date.getTime() / 1_000 - offset), Number(nanosOf(fraction)));
}

function nanosOf(fraction: string): bigint {
  return BigInt(fraction.slice(0, 9).padEnd(9, "0"));
}

function timestamp(seconds: bigint, nanos: number): Timestamp {
  return create(TimestampSchema, { seconds, nanos });
}

/** A value as people read it, shortened. */
export function describeValue(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > longestShown ? `${text.slice(0, longestShown)}...` : text;
}
