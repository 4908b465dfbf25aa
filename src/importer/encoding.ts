import { isUtf8 } from "node:buffer";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { InputError } from "./source.ts";

/** An encoding by the name that `TextDecoder` knows. */
export type Encoding = "utf-8" | "utf-16le" | "utf-16be";

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
 * Tells the encoding of a file by its byte order mark, or by the zero bytes that UTF-16 has beside ASCII. Throws an
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
