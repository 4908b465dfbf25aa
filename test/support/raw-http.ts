import { once } from "node:events";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
  type SecureClientSessionOptions,
} from "node:http2";
import { connect as connectTcp, type Socket } from "node:net";

/** All that a client can see of an answer over HTTP/2. */
export interface Answer {
  readonly headers: Record<string, unknown>;
  readonly trailers: Record<string, unknown>;
  /** The body, in hexadecimal. */
  readonly body: string;
  /** Whether the answer came to its end. */
  readonly ended: boolean;
  /** The HTTP/2 error code with which the stream ended, 0 for none. */
  readonly reset: number;
  /** Why the stream or its session failed; empty when neither did. */
  readonly failure: string;
}

/** A request over HTTP/2, with nothing added to it. */
export interface RawRequest {
  readonly headers?: Record<string, string | string[]>;
  readonly chunks?: readonly Uint8Array[];
  /** Leaves the request open, as a client does that is still sending. */
  readonly open?: boolean;
  /** Lets each chunk arrive before the next is sent. */
  readonly slow?: boolean;
}

/** Opens an HTTP/2 session without any error handling in the way. */
export function openSession(url: string, options: SecureClientSessionOptions = {}): ClientHttp2Session {
  const session = connect(url, { maxSessionMemory: 1_000, ...options });
  session.on("error", () => {});
  return session;
}

/** Sends a request, and waits for all of its answer. `onStream` may do more with the stream. */
export async function exchange(
  session: ClientHttp2Session,
  request: RawRequest,
  onStream: (stream: ClientHttp2Stream) => void = () => {},
): Promise<Answer> {
  const stream = session.request({ ":method": "POST", ...request.headers }, { endStream: false });
  let headers: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  const body: Uint8Array[] = [];
  let ended = false;
  let failure = "";
  onStream(stream);
  stream.on("error", (error) => {
    failure = error.message;
  });
  stream.on("end", () => {
    ended = true;
  });
  stream.on("response", (received) => {
    headers = received;
  });
  stream.on("trailers", (received) => {
    trailers = received;
  });
  stream.on("data", (chunk: Buffer) => body.push(chunk));
  for (const chunk of request.chunks ?? []) {
    stream.write(chunk);
    if (request.slow) await new Promise((resolve) => setTimeout(resolve, 10));
  }
  if (request.open !== true) stream.end();
  await new Promise((resolve) => stream.once("close", resolve));
  return {
    headers: comparable(headers),
    trailers: comparable(trailers),
    body: Buffer.concat(body).toString("hex"),
    ended,
    reset: stream.rstCode ?? 0,
    failure,
  };
}

/** What a gRPC client reads as trailers: a call that failed before its first message has them as its headers. */
export function trailersOf({ headers, trailers }: Answer): Record<string, unknown> {
  return "grpc-status" in headers ? headers : trailers;
}

/** Drops what differs from one answer to the next. */
function comparable(headers: IncomingHttpHeaders): Record<string, unknown> {
  const { date: _date, "x-request-id": requestId, ...rest } = headers;
  return { ...rest, ...(requestId === undefined ? {} : { "x-request-id": "an id" }) };
}

/** Opens a bare TCP connection; `received` grows with what comes. */
export async function openTcp(port: number): Promise<{ socket: Socket; received: () => string }> {
  const socket = connectTcp(port, "127.0.0.1");
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("error", () => {});
  await once(socket, "connect");
  return { socket, received: () => Buffer.concat(chunks).toString("latin1") };
}

/** Sends text over a bare connection and waits until the server closes it; returns what came. */
export async function talk(port: number, text: string): Promise<string> {
  const { socket, received } = await openTcp(port);
  const closed = once(socket, "close");
  socket.write(text, "latin1");
  await closed;
  return received();
}

/** A protobuf field that no message here has, of so many bytes in all, 6 at least. */
export function unknownField(size: number): Buffer {
  const length = size - 6;
  const head = [
    0xfa,
    0x7f,
    (length & 0x7f) | 0x80,
    ((length >> 7) & 0x7f) | 0x80,
    ((length >> 14) & 0x7f) | 0x80,
    length >> 21,
  ];
  return Buffer.concat([Buffer.from(head), Buffer.alloc(length)]);
}
