import type { ServerHttp2Stream } from "node:http2";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  pipe,
  transformDecompressEnvelope,
  transformParseEnvelope,
  transformSplitEnvelope,
} from "@connectrpc/connect/protocol";
import { ChunkBuffer } from "../call/streams.ts";

/** A byte of flags and four of length precede a message (gRPC over HTTP/2, Length-Prefixed-Message). */
export const prefixBytes = 5;

type Message = MessageShape<DescMessage>;
type Parse = (bytes: Uint8Array) => Message;

/** The message of a body that is one plain frame and nothing else, or else the chunks that were read so far. */
type Body = { readonly message: Uint8Array } | { readonly chunks: readonly Buffer[] };

/** Reads the message of a unary request: at most `readMaxBytes` of it. */
export function readMessage(stream: ServerHttp2Stream, readMaxBytes: number, parse: Parse): Promise<Message> {
  return readBody(stream, readMaxBytes).then((body) =>
    "message" in body ? parse(body.message) : only(readUnusualBody(stream, body.chunks, readMaxBytes, parse)),
  );
}

/** The reason for which a call is cancelled whose stream closes before its answer. */
export function cancellation(stream: ServerHttp2Stream): ConnectError {
  return new ConnectError(`the stream was closed with HTTP/2 error code ${stream.rstCode}`, Code.Canceled);
}

/**
 * Reads the body of a unary request. Stops as soon as it is anything but one uncompressed frame of at most
 * `readMaxBytes`: never holds more than that and a chunk. Rejects when the stream closes before its end.
 */
function readBody(stream: ServerHttp2Stream, readMaxBytes: number): Promise<Body> {
  // Node ends a stream without bytes before anyone listens.
  if (stream.readableEnded) return Promise.resolve({ chunks: [] });
  if (stream.closed) return Promise.reject(cancellation(stream));
  return new Promise((resolve, reject) => {
    const chunks = new ChunkBuffer();
    let expected = -1;

    const settle = (body: Body) => {
      stream.off("data", onData);
      stream.off("end", onEnd);
      stream.off("close", onClose);
      resolve(body);
    };
    const onClose = () => reject(cancellation(stream));
    const giveUp = () => {
      stream.pause();
      settle({ chunks: chunks.all() });
    };
    const onData = (chunk: Buffer) => {
      chunks.push(chunk);
      if (expected < 0 && chunks.bytes >= prefixBytes) {
        const prefix = chunks.concat();
        if (prefix[0] !== 0 || prefix.readUInt32BE(1) > readMaxBytes) return giveUp();
        expected = prefixBytes + prefix.readUInt32BE(1);
      }
      if (expected >= 0 && chunks.bytes > expected) giveUp();
    };
    const onEnd = () => {
      // A stream that is reset ends as well.
      if (stream.aborted) return onClose();
      if (chunks.bytes !== expected) return settle({ chunks: chunks.all() });
      settle({ message: chunks.concat().subarray(prefixBytes) });
    };
    stream.on("data", onData);
    stream.on("end", onEnd);
    stream.on("close", onClose);
  });
}

/** Reads the rest of any other body by Connect's own functions, so that it is answered as Connect answers it. */
function readUnusualBody(
  stream: ServerHttp2Stream,
  chunks: readonly Buffer[],
  readMaxBytes: number,
  parse: Parse,
): AsyncIterable<Message> {
  return pipe(
    bytesOf(stream, chunks),
    transformSplitEnvelope(readMaxBytes),
    transformDecompressEnvelope(null, readMaxBytes),
    transformParseEnvelope<Message>({ parse, serialize: () => new Uint8Array() }),
  );
}

async function* bytesOf(stream: ServerHttp2Stream, chunks: readonly Buffer[]): AsyncIterable<Uint8Array> {
  yield* chunks;
  if (stream.readableEnded) return;
  // The response goes out on the same stream: it must survive that nobody reads the request to its end.
  yield* stream.iterator({ destroyOnReturn: false });
}

/** The only message of a request. Rejects, in the words of Connect, when there is none or more than one. */
async function only(messages: AsyncIterable<Message>): Promise<Message> {
  const source = messages[Symbol.asyncIterator]();
  const first = await source.next();
  if (first.done) throw protocolError("missing input message");
  if (!(await source.next()).done) throw protocolError("received extra input message");
  return first.value;
}

function protocolError(text: string): ConnectError {
  return new ConnectError(`protocol error: ${text} for unary method`, Code.Unimplemented);
}
