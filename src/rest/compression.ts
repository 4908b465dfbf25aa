import { randomInt } from "node:crypto";
import { Readable, type Writable } from "node:stream";
import { promisify } from "node:util";
import { constants, createGzip, gzip, type ZlibOptions } from "node:zlib";

/** The least length of a body that is compressed: less fits a packet or two anyway. */
export const compressMinLength = 2048;

const gzipAsync = promisify(gzip);
/** 64 KB of memory for each body under way, and nearly as small as with the default's 256 KB. */
const options: ZlibOptions = { windowBits: 13, memLevel: 7 };
/** The bytes before the optional fields of a gzip header (RFC 1952, 2.3), and where among them the flags are. */
const headerBytes = 10;
const flagsAt = 3;
const hasName = 0b1000;
/** The most bytes of padding, by which the length of a compressed body varies at random. */
const maxPadding = 100;

/**
 * Whether a client accepts gzip, and prefers it to no compression or has no preference (RFC 9110, 12.5.3). Without the
 * header nothing is compressed.
 */
export function acceptsGzip(header: string | undefined): boolean {
  if (header === undefined) return false;
  const weights = new Map(header.toLowerCase().split(",").map(weightOf));
  const weight = weights.get("gzip") ?? weights.get("x-gzip") ?? weights.get("*") ?? 0;
  return weight > 0 && weight >= (weights.get("identity") ?? 0);
}

/** Compresses a whole body. */
export async function compress(text: string): Promise<Buffer> {
  return padded(await gzipAsync(text, options));
}

/**
 * Returns a stream that compresses into `target`, and ends `target` when it is ended. Every write is flushed at once.
 * Keeps the backpressure of `target`. Is destroyed when `target` closes; `onError` is called when compression fails.
 */
export function compressInto(target: Writable, onError: () => void): Writable {
  const compressor = createGzip({ ...options, flush: constants.Z_SYNC_FLUSH });
  target.once("close", () => compressor.destroy());
  const output = Readable.from(paddedChunks(compressor), { objectMode: false });
  compressor.on("error", onError);
  // Fails only when the compressor does, which calls `onError`.
  output.on("error", () => {});
  output.pipe(target);
  return compressor;
}

function weightOf(part: string): [coding: string, weight: number] {
  const [coding = "", ...parameters] = part.split(";").map((piece) => piece.trim());
  const weight = parameters.find((parameter) => parameter.startsWith("q="));
  return [coding, weight === undefined ? 1 : Number(weight.slice(2))];
}

async function* paddedChunks(compressed: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  let isFirst = true;
  for await (const chunk of compressed) {
    yield isFirst ? padded(chunk) : chunk;
    isFirst = false;
  }
}

/**
 * Pads a gzip stream by a file name of random length, which readers ignore. A list holds names that other users chose,
 * next to secret ones: from the exact length an observer of the traffic could learn whether two names are alike (BREACH).
 */
function padded(start: Buffer): Buffer {
  const head = Buffer.from(start.subarray(0, headerBytes));
  head[flagsAt] = (head[flagsAt] ?? 0) | hasName;
  const name = Buffer.alloc(randomInt(maxPadding) + 1, "a");
  name[name.length - 1] = 0;
  return Buffer.concat([head, name, start.subarray(headerBytes)]);
}
