import { isUtf8 } from "node:buffer";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, open, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

/** A file that cannot be imported as a whole; the message says what was found and what is expected. */
export class InputError extends Error {
  override readonly name = "InputError";
}

/** A file to import. Disposing of it removes the temporary copy of standard input. */
export interface Source extends AsyncDisposable {
  readonly path: string;
  readonly size: number;
  /** Throws an `InputError` when the file is not what it was when it was opened. */
  assertUnchanged(): Promise<void>;
}

/** The path that means standard input. */
const standardInput = "-";

/**
 * Opens a file. Standard input is first copied to a temporary file that only its owner may read, since a source is read
 * twice.
 */
export async function openSource(path: string, input: Readable): Promise<Source> {
  if (path !== standardInput) return sourceOf(path, async () => {});
  const folder = await mkdtemp(join(tmpdir(), "privacy-control-import-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const copy = join(folder, "input");
    await pipeline(input, createWriteStream(copy, { mode: 0o600 }));
    return await sourceOf(copy, remove);
  } catch (failure) {
    await remove();
    throw failure;
  }
}

async function sourceOf(path: string, remove: () => Promise<void>): Promise<Source> {
  const before = await identityOf(path);
  return {
    path,
    size: before.size,
    async assertUnchanged() {
      const { size, mtimeMs, ino } = await identityOf(path);
      if (size !== before.size || mtimeMs !== before.mtimeMs || ino !== before.ino)
        throw new InputError("The file changed while it was imported: import it again.");
    },
    [Symbol.asyncDispose]: remove,
  };
}

async function identityOf(path: string) {
  const found = await stat(path);
  if (found.isDirectory()) throw new InputError(`${path} is a directory: expected a file.`);
  return found;
}

/** An encoding by the name that `TextDecoder` knows. */
type Encoding = "utf-8" | "utf-16le" | "utf-16be";

const expected = "expected UTF-8, or UTF-16";
const lineFeed = 10;

/** The first bytes of files that cannot be imported, each with the name of its format. */
const foreignStarts: readonly (readonly [string, readonly number[]])[] = [
  ["UTF-32", [0xff, 0xfe, 0x00, 0x00]],
  ["UTF-32", [0x00, 0x00, 0xfe, 0xff]],
  ["compressed with gzip", [0x1f, 0x8b]],
  ["a ZIP archive or an Excel workbook", [0x50, 0x4b, 0x03, 0x04]],
];

/**
 * Finds the encoding of a file by its byte order mark, or by the zero bytes that UTF-16 has beside ASCII. Throws an
 * `InputError` for a file that is certain to be something else.
 */
export async function detectEncoding(path: string): Promise<Encoding> {
  const start = await readStart(path, 4);
  const beginsWith = (bytes: readonly number[]) => bytes.every((byte, i) => start[i] === byte);
  const foreign = foreignStarts.find(([, bytes]) => beginsWith(bytes));
  if (foreign !== undefined) throw new InputError(`The file is ${foreign[0]}: ${expected}.`);
  if (beginsWith([0xff, 0xfe])) return "utf-16le";
  if (beginsWith([0xfe, 0xff])) return "utf-16be";
  const [first, second] = start;
  if (second === 0 && first !== 0) return "utf-16le";
  if (first === 0 && second !== undefined && second !== 0) return "utf-16be";
  return "utf-8";
}

async function readStart(path: string, length: number): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/**
 * Reads a file as text, chunk by chunk, without its byte order mark; `onBytes` is given the bytes of each chunk.
 * Throws an `InputError` when the bytes are not of the encoding.
 */
export async function* readText(
  path: string,
  encoding: Encoding,
  onBytes: (bytes: Uint8Array) => void,
): AsyncGenerator<string> {
  const decoder = new TextDecoder(encoding, { fatal: true });
  const decode = async (bytes?: Uint8Array) => {
    try {
      return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
    } catch {
      throw new InputError(await describeUndecodable(path, encoding));
    }
  };
  for await (const bytes of createReadStream(path) as AsyncIterable<Uint8Array>) {
    onBytes(bytes);
    yield await decode(bytes);
  }
  yield await decode();
}

async function describeUndecodable(path: string, encoding: Encoding): Promise<string> {
  if (encoding !== "utf-8") return `The file looks like UTF-16 and is not: ${expected}.`;
  const line = await firstLineOfOtherEncoding(path);
  const remedy = "Convert it first: iconv -f WINDOWS-1252 -t UTF-8, say.";
  return `Line ${line} is not UTF-8, but another encoding: ${expected}. ${remedy}`;
}

async function firstLineOfOtherEncoding(path: string): Promise<number> {
  let line = 1;
  let rest = Buffer.alloc(0);
  for await (const bytes of createReadStream(path) as AsyncIterable<Buffer>) {
    let chunk = Buffer.concat([rest, bytes]);
    for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed)) {
      if (!isUtf8(chunk.subarray(0, end))) return line;
      chunk = chunk.subarray(end + 1);
      line += 1;
    }
    rest = chunk;
  }
  return line;
}

/** A line of a text. */
export interface Line {
  /** From 1, as an editor shows it. */
  readonly number: number;
  /** Without what ends the line. */
  readonly text: string;
  /** What ends the line: nothing at the end of the text. */
  readonly end: string;
}

/** The longest line that is kept whole, in UTF-16 code units: the service takes no record of more. */
export const maxLineLength = 1024 * 1024;

const lineEnd = /\r\n|\n|\r/g;

/**
 * Splits a text, given in chunks, into lines. Only LF, CR LF and CR end a line: U+2028, U+2029, U+0085, a form feed and
 * the like may be part of a value in JSON and CSV. A line that is too long is cut to one code unit more than is allowed.
 */
export async function* splitLines(chunks: AsyncIterable<string>): AsyncGenerator<Line> {
  let number = 1;
  let rest = "";
  for await (const chunk of chunks) {
    const text = rest + chunk;
    let start = 0;
    for (const { 0: end, index } of text.matchAll(lineEnd)) {
      // The other half of a CR LF may be in the next chunk.
      if (end === "\r" && index === text.length - 1) break;
      yield { number, text: cut(text.slice(start, index)), end };
      number += 1;
      start = index + end.length;
    }
    rest = text.slice(start);
    if (rest.length > maxLineLength) rest = cut(rest) + (rest.endsWith("\r") ? "\r" : "");
  }
  if (rest.endsWith("\r")) yield { number, text: cut(rest.slice(0, -1)), end: "\r" };
  else if (rest !== "") yield { number, text: cut(rest), end: "" };
}

function cut(text: string): string {
  return text.length > maxLineLength ? text.slice(0, maxLineLength + 1) : text;
}
