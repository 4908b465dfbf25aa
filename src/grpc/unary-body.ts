import type { ServerHttp2Stream } from "node:http2";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import {
  pipe,
  transformDecompressEnvelope,
  transformParseEnvelope,
  transformSplitEnvelope,
} from "@connectrpc/connect/protocol";
import { ChunkBuffer } from "../call/chunk-buffer.ts";
import { cancellation } from "./unary-http.ts";

/** One byte of flags and four of length stand before a message (gRPC over HTTP/2, Length-Prefixed-Message). */
export const prefixBytes = 5;

/** The message of a body that is one plain frame and nothing else, or else the chunks that were read so far. */
export type Body = { readonly message: Uint8Array } | { readonly chunks: readonly Buffer[] };

/**
 * Reads the body of a unary request. Stops as soon as it is anything but one uncompressed frame of at most
 * `readMaxBytes`: never holds more than that and a chunk. Rejects when the stream closes before its end.
 */
export function readBody(stream: ServerHttp2Stream, readMaxBytes: number): Promise<Body> {
  // Node ends a stream without bytes by itself, before anyone listens.
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

/** Reads a body on by Connect's own pipeline, which knows what every odd one means. */
export function readOddBody<Desc extends DescMessage>(
  stream: ServerHttp2Stream,
  chunks: readonly Buffer[],
  readMaxBytes: number,
  parse: (bytes: Uint8Array) => MessageShape<Desc>,
): AsyncIterable<MessageShape<Desc>> {
  return pipe(
    bytesOf(stream, chunks),
    transformSplitEnvelope(readMaxBytes),
    transformDecompressEnvelope(null, readMaxBytes),
    transformParseEnvelope({ parse, serialize: () => new Uint8Array() }),
  );
}

async function* bytesOf(stream: ServerHttp2Stream, chunks: readonly Buffer[]): AsyncIterable<Uint8Array> {
  yield* chunks;
  if (stream.readableEnded) return;
  // The response goes out on the same stream: it must survive that nobody reads the request to its end.
  yield* stream.iterator({ destroyOnReturn: false });
}
