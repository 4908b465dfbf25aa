import { extname } from "node:path";
import { type CsvRow, parseCells, readRows } from "./csv-rows.ts";
import {
  fieldNamed,
  fieldNames,
  isIgnored,
  type ParsedRecord,
  type ReadOptions,
  toRecord,
  unreadableRecord,
} from "./records.ts";
import { detectEncoding, InputError, type Line, maxLineLength, readText, splitLines } from "./source.ts";
import { describeValue } from "./values.ts";

export type Format = "ndjson" | "csv";

/** A record of a file, and where it is. */
export interface FileRecord extends ParsedRecord {
  /** The number of its first line, from 1. */
  readonly line: number;
}

const ndjsonNames = new Set([".ndjson", ".jsonl", ".json"]);
const csvNames = new Set([".csv", ".tsv"]);
const separators = [",", ";", "\t", "|"];

/**
 * Reads the records of a file in the order of its lines. The format is NDJSON (one JSON object a line) or CSV (with a
 * header): by the file's extension, else by its first character. `onBytes` is called with the bytes as they are read,
 * `onFormat` with the format.
 *
 * An unreadable record becomes an empty record with a problem, so that the numbers of the others do not change. Throws
 * an `InputError` when the file as a whole cannot be read.
 */
export async function* readRecords(
  path: string,
  reading: ReadOptions,
  {
    onBytes = () => {},
    onFormat = () => {},
  }: { onBytes?: (bytes: Uint8Array) => void; onFormat?: (format: Format) => void } = {},
): AsyncGenerator<FileRecord> {
  const encoding = await detectEncoding(path);
  const lines = splitLines(readText(path, encoding, onBytes));
  let first: Line | undefined;
  for (;;) {
    const { done, value } = await lines.next();
    if (done === true) break;
    if (value.text.trim() === "") continue;
    first = value;
    break;
  }
  const format = formatOf(path, first);
  onFormat(format);
  if (first !== undefined)
    yield* format === "csv" ? csvRecords(first, lines, reading) : jsonRecords(first, lines, reading);
}

function formatOf(path: string, first: Line | undefined): Format {
  const extension = extname(path).toLowerCase();
  const start = first?.text.trimStart()[0];
  if (start === "[")
    throw new InputError(
      "The file is a JSON array: expected NDJSON, one object a line. Convert it first: jq -c '.[]'.",
    );
  if (ndjsonNames.has(extension)) return "ndjson";
  if (csvNames.has(extension)) {
    if (first === undefined) throw new InputError(`The file is empty: expected ${expectedHeader}.`);
    return "csv";
  }
  return start === "{" || first === undefined ? "ndjson" : "csv";
}

async function* jsonRecords(
  first: Line,
  others: AsyncIterable<Line>,
  reading: ReadOptions,
): AsyncGenerator<FileRecord> {
  let hasObjects = false;
  const read = ({ number, text }: Line): FileRecord => {
    const object = parseObject(text);
    hasObjects ||= object !== undefined;
    return { line: number, ...jsonRecord(object, text, reading) };
  };
  yield read(first);
  for await (const line of others) if (line.text.trim() !== "") yield read(line);
  if (!hasObjects)
    throw new InputError("No line of the file is a JSON object: expected NDJSON, one object a line.");
}

function jsonRecord(object: object | undefined, text: string, reading: ReadOptions): ParsedRecord {
  if (object === undefined)
    return unreadableRecord(`the line is no JSON object: ${describeValue(text.trim())}`);
  try {
    if (countKeys(text) > countKeysOf(object)) return unreadableRecord("a field is there twice");
    return toRecord(Object.entries(object), reading);
  } catch (failure) {
    // Recursion over deeply nested JSON overflows the stack.
    if (failure instanceof RangeError) return unreadableRecord("the object is nested too deeply");
    throw failure;
  }
}

function parseObject(text: string): object | undefined {
  if (text.length > maxLineLength) return undefined;
  try {
    // Trimmed: files that were put together may have a byte order mark before each part.
    const value: unknown = JSON.parse(text.trim());
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** How many keys an object has as JSON spells it: `JSON.parse` keeps the last of two that are the same. */
function countKeys(json: string): number {
  let count = 0;
  for (let quote = json.indexOf('"'); quote >= 0; ) {
    let end = json.indexOf('"', quote + 1);
    while (isEscaped(json, end)) end = json.indexOf('"', end + 1);
    let after = end + 1;
    while (isWhiteSpace(json[after])) after += 1;
    if (json[after] === ":") count += 1;
    quote = json.indexOf('"', after);
  }
  return count;
}

function isEscaped(json: string, at: number): boolean {
  let start = at;
  while (json[start - 1] === "\\") start -= 1;
  return (at - start) % 2 === 1;
}

function isWhiteSpace(character: string | undefined): boolean {
  return character === " " || character === "\t" || character === "\n" || character === "\r";
}

function countKeysOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  const own = Array.isArray(value) ? 0 : Object.keys(value).length;
  return Object.values(value).reduce<number>((sum, item) => sum + countKeysOf(item), own);
}

const expectedHeader =
  "a header of names between commas, semicolons, tabs or |, type among them, and others of " +
  fieldNames.slice(1).join(", ");

async function* csvRecords(
  header: Line,
  others: AsyncGenerator<Line>,
  reading: ReadOptions,
): AsyncGenerator<FileRecord> {
  const { separator, names } = readHeader(header, reading);
  let isEmpty = true;
  let hasFullRow = false;
  for await (const row of readRows(others, separator)) {
    if (row.cells?.every((cell) => cell === "")) continue;
    isEmpty = false;
    hasFullRow ||= row.cells !== undefined && row.cells.length >= names.length;
    yield { line: row.line, ...csvRecord(row, names, reading) };
  }
  if (!isEmpty && !hasFullRow)
    throw new InputError(
      `No row has as many columns as the header in line ${header.number}, ${names.length}.`,
    );
}

function csvRecord(
  { cells, problem = "" }: CsvRow,
  names: readonly string[],
  reading: ReadOptions,
): ParsedRecord {
  if (cells === undefined) return unreadableRecord(problem);
  const beyond = cells.slice(names.length);
  if (cells.length < names.length || beyond.some((cell) => cell !== ""))
    return unreadableRecord(`the row has ${cells.length} columns, the header ${names.length}`);
  const fields = names.map((name, column) => [name, cells[column] ?? ""] as const);
  const nameless = fields.findIndex(([name, cell]) => name === "" && cell !== "");
  if (nameless >= 0) return unreadableRecord(`column ${nameless + 1} has no name`);
  return toRecord(
    fields.filter(([name]) => name !== ""),
    reading,
  );
}

/** Finds the one separator by which a header has a column `type`, and the names of its columns. */
function readHeader({ number, text }: Line, { ignore }: ReadOptions) {
  const isHeader = (names: readonly string[]) => names.some((name) => fieldNamed(name) === "type");
  const found = separators
    .map((separator) => ({ separator, names: namesOf(text, separator) }))
    .filter(({ names }) => isHeader(names));
  const [header, ...more] = found;
  if (header === undefined || more.length > 0)
    throw new InputError(
      `Line ${number} is no header, but ${describeValue(text)}: expected ${expectedHeader}.`,
    );
  const { names } = header;
  const kept = names.filter((name) => name !== "" && !isIgnored(name, ignore));
  const unknown = kept.filter((name) => fieldNamed(name) === undefined);
  if (unknown.length > 0)
    throw new InputError(
      `Line ${number} names unknown columns: ${unknown.map(describeValue).join(", ")}. Known are ${fieldNames.join(", ")}; ` +
        "--ignore leaves others out.",
    );
  const twice = kept.find((name, i) => kept.findIndex((other) => fieldNamed(other) === fieldNamed(name)) < i);
  if (twice !== undefined)
    throw new InputError(`Line ${number} names the column ${describeValue(twice)} twice.`);
  return header;
}

function namesOf(header: string, separator: string): readonly string[] {
  const parsed = parseCells(header, separator);
  return parsed.state === "complete" ? parsed.cells : [];
}
