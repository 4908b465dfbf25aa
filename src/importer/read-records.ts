import { createReadStream } from "node:fs";
import { extname } from "node:path";
import { createInterface } from "node:readline";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { parse } from "csv-parse";
import type { ImportRecordSchema } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";

type ImportRecord = MessageInitShape<typeof ImportRecordSchema>;

/** The fields of a line, whatever the format. */
type Line = Readonly<Record<string, unknown>>;

/** A record of a file, and how many bytes of the file have been read. */
export interface FileRecord {
  readonly record: ImportRecord;
  readonly bytesRead: number;
}

/**
 * Reads the records of a file, line by line: `.ndjson` (one JSON object a line) or `.csv` (with a header). A line
 * that cannot be read becomes an empty record, which the service counts as malformed, so that numbers stay true.
 */
export async function* readRecords(path: string): AsyncGenerator<FileRecord> {
  const file = createReadStream(path);
  const lines = extname(path) === ".csv" ? csvLines(file) : jsonLines(file);
  for await (const line of lines) yield { record: toRecord(line), bytesRead: file.bytesRead };
}

async function* jsonLines(file: NodeJS.ReadableStream): AsyncGenerator<Line> {
  for await (const text of createInterface({ input: file, crlfDelay: Number.POSITIVE_INFINITY })) {
    if (text.trim() !== "") yield parseObject(text);
  }
}

function csvLines(file: NodeJS.ReadableStream): AsyncIterable<Line> {
  return file.pipe(parse({ columns: true, skip_empty_lines: true, trim: true, relax_column_count: true }));
}

function parseObject(text: string): Line {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Line) : {};
  } catch {
    return {};
  }
}

function toRecord(line: Line): ImportRecord {
  switch (line.type) {
    case "user":
      return { record: { case: "user", value: toUser(line) } };
    case "follow":
    case "block":
    case "mute":
      return { record: { case: line.type, value: toEdge(line) } };
    default:
      return {};
  }
}

function toUser(line: Line) {
  const urls = line.profilePictureUrls;
  return {
    id: text(line.id),
    userName: text(line.userName),
    firstName: text(line.firstName),
    lastName: text(line.lastName),
    profilePictureUrls: Array.isArray(urls) ? urls.map(text) : text(urls).split(" ").filter(Boolean),
    isVerified: line.isVerified === true || line.isVerified === "true",
  };
}

function toEdge(line: Line) {
  const at = text(line.createdAt);
  const createdAt = new Date(at);
  const edge = { ownerId: text(line.ownerId), targetId: text(line.targetId) };
  if (at === "") return edge;
  // An edge whose time cannot be read is malformed as a whole: without its ids the service says so.
  return Number.isNaN(createdAt.getTime()) ? {} : { ...edge, createdAt: timestampFromDate(createdAt) };
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
