/** The connection preface of HTTP/2 (RFC 9113, 3.4). */
export const preface: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** The frame types of HTTP/2 that are used here (RFC 9113, 6). */
export const frameTypes = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
} as const;

/** Flags of frames; the value 1 means the end of a stream, or an acknowledgement. */
export const flags = { endStream: 1, ack: 1, endHeaders: 4, padded: 8 } as const;

/** Bytes of the head of a frame. */
export const headBytes = 9;
/** Where in it the number of the stream begins. */
export const streamAt = 5;
/** The largest payload that every peer takes. */
const maxPayloadBytes = 16_384;

/** One frame. Its stream may be given later, when it is sent. */
export function http2Frame(type: number, flag: number, stream: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(headBytes + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flag;
  bytes.writeUInt32BE(stream, streamAt);
  bytes.set(payload, headBytes);
  return bytes;
}

/** Splits a body into DATA frames of no stream yet, of which the last ends it. */
export function dataFrames(body: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < body.length; at += maxPayloadBytes) {
    const part = body.subarray(at, at + maxPayloadBytes);
    const isLast = at + maxPayloadBytes >= body.length;
    frames.push(http2Frame(frameTypes.data, isLast ? flags.endStream : 0, 0, part));
  }
  return frames;
}

/** Settings and window with which a client never holds a server back. `headerTable`: whether it keeps headers. */
export function clientPreface({ headerTable = true } = {}): Buffer {
  const settings = Buffer.alloc(headerTable ? 12 : 18);
  settings.writeUInt16BE(2, 0); // ENABLE_PUSH
  settings.writeUInt16BE(4, 6); // INITIAL_WINDOW_SIZE
  settings.writeUInt32BE(2 ** 31 - 1, 8);
  if (!headerTable) settings.writeUInt16BE(1, 12); // HEADER_TABLE_SIZE
  return Buffer.concat([
    preface,
    http2Frame(frameTypes.settings, 0, 0, settings),
    windowUpdate(2 ** 31 - 1 - 65_535),
  ]);
}

/** Grants a server so many more bytes on the connection. */
export function windowUpdate(bytes: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return http2Frame(frameTypes.windowUpdate, 0, 0, payload);
}

/** The headers of a request, compressed: of the first of a connection, and of all that follow it. */
export interface RequestHead {
  readonly first: Buffer;
  readonly later: Buffer;
}

/**
 * Compresses the headers of a POST (RFC 7541). The first request puts every one into the dynamic table, the later
 * ones name them there, as clients do that send the same headers with each call.
 */
export function requestHead(headers: readonly (readonly [name: string, value: string])[]): RequestHead {
  const post = [0x83, 0x86]; // :method POST and :scheme http of the static table
  const literals = headers.map(([name, value]) => Buffer.concat([Buffer.of(0x40), text(name), text(value)]));
  // The newest entry has the first index after the static table's 61.
  const indexes = headers.map((_, i) => 0x80 | (61 + headers.length - i));
  return { first: Buffer.concat([Buffer.from(post), ...literals]), later: Buffer.of(...post, ...indexes) };
}

/** A header block of literals that go into no table, without Huffman coding (RFC 7541, 6.2.2). */
export function headerBlock(headers: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(headers.flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)]));
}

/** A message in the frame of gRPC. `length` may lie. */
export function lengthPrefixed(payload: Uint8Array, { flags = 0, length = payload.length } = {}): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(length >>> 0, 1);
  return Buffer.concat([head, payload]);
}

/** A string literal without Huffman coding. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  const size: number[] = [];
  let rest = bytes.length;
  if (rest < 127) size.push(rest);
  else {
    size.push(127);
    for (rest -= 127; rest >= 128; rest >>= 7) size.push((rest & 127) | 128);
    size.push(rest);
  }
  return Buffer.concat([Buffer.from(size), bytes]);
}
