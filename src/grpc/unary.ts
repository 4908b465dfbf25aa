import {
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  type Compression,
  compressionNegotiate,
  createMethodSerializationLookup,
  envelopeCompress,
  transformInvokeImplementation,
} from "@connectrpc/connect/protocol";
import { parseTimeout } from "@connectrpc/connect/protocol-grpc";
import type { Logger } from "pino";
import type { CallContext } from "../call/context.ts";
import { toConnectError } from "../call/errors.ts";
import { finished } from "../call/observe.ts";
import type { CallPipeline } from "../call/pipeline.ts";
import type { UnaryEndpoint } from "../call/service.ts";
import { overloaded } from "../overload/adaptive-concurrency-limiter.ts";
import { deferToNextTurn } from "./defer-to-next-turn.ts";
import { setFailure, trailersOnly } from "./status.ts";
import { type Body, prefixBytes, readBody, readOddBody } from "./unary-body.ts";
import { cancellation, copyHeaders, urlMaker } from "./unary-http.ts";

/** The options of Connect's handlers that matter here: both must be given the same. */
export interface GrpcUnaryOptions {
  /** The most bytes of a request message. */
  readonly readMaxBytes: number;
  /** Compressions in which a client may want its response. */
  readonly acceptCompression: Compression[];
  /** The least bytes of a response message that are compressed. */
  readonly compressMinBytes: number;
  /** What every response says, unless its call has another value for it. */
  readonly responseHeaders?: Readonly<Record<string, string>>;
}

/** Serves an HTTP/2 stream, or leaves it alone and returns false. Never throws. */
export type ServeStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean;

type Message = MessageShape<DescMessage>;

interface Route {
  readonly endpoint: UnaryEndpoint;
  readonly parse: (bytes: Uint8Array) => Message;
  readonly serialize: (message: Message) => Uint8Array<ArrayBuffer>;
}

/**
 * Serves unary gRPC calls whose request is not compressed, with the answers of Connect's own handler but without its
 * pipeline of async generators, which takes five times as long for each call. Everything else is left to Connect.
 */
export function grpcUnary(calls: CallPipeline, options: GrpcUnaryOptions, log: Logger): ServeStream {
  const server = new GrpcUnary(calls, options, log);
  return (stream, headers) => server.take(stream, headers);
}

class GrpcUnary {
  readonly #calls: CallPipeline;
  readonly #options: GrpcUnaryOptions;
  readonly #log: Logger;
  readonly #routes = new Map<string, Route>();
  readonly #urlOf = urlMaker();
  readonly #head: OutgoingHttpHeaders;
  /** The whole answer to a call that is refused as overloaded. */
  readonly #busy: OutgoingHttpHeaders;

  constructor(calls: CallPipeline, options: GrpcUnaryOptions, log: Logger) {
    this.#calls = calls;
    this.#options = options;
    this.#log = log;
    this.#head = { ":status": 200, ...options.responseHeaders, "content-type": "application/grpc+proto" };
    const busy = new Headers();
    setFailure(busy, toConnectError(overloaded()));
    this.#busy = copyHeaders(busy, { ...this.#head });
    const sizes = { readMaxBytes: options.readMaxBytes, writeMaxBytes: Number.POSITIVE_INFINITY };
    for (const endpoint of calls.endpoints()) {
      const { method } = endpoint;
      const formats = createMethodSerializationLookup(method, undefined, undefined, sizes);
      this.#routes.set(`/${method.parent.typeName}/${method.name}`, {
        endpoint,
        parse: formats.getI(true).parse,
        serialize: formats.getO(true).serialize,
      });
    }
  }

  take(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): boolean {
    const route = isPlainGrpc(headers) ? this.#routes.get(headers[":path"] ?? "") : undefined;
    if (route === undefined) return false;
    stream.on("error", ignore);
    deferToNextTurn(() => {
      if (stream.destroyed) return;
      if (this.#calls.refuseIfOverloaded(route.endpoint.method, "grpc")) {
        stream.respond(this.#busy, { endStream: true });
        return;
      }
      this.#serve(route, stream, headers).catch((failure) => {
        // A handler set a header that HTTP/2 cannot carry, say.
        this.#log.error({ err: failure, path: headers[":path"] }, "an RPC could not be answered");
        stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      });
    });
    return true;
  }

  async #serve(route: Route, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    const timeout = parseTimeout(headerOf(headers, "grpc-timeout"), Number.MAX_SAFE_INTEGER);
    const context = this.#calls.start(route.endpoint.method, {
      protocolName: "grpc",
      requestMethod: "POST",
      url: this.#urlOf(stream, headers),
      requestHeader: headers,
      timeoutMs: timeout.timeoutMs,
      peer: () => stream.session?.socket?.remoteAddress,
    });
    // Node and the garbage collector keep a closed stream for long; what it refers to stays as well.
    let running: CallContext | undefined = context;
    stream.on("close", () => running?.cancel(cancellation(stream)));
    const compression = responseCompression(this.#options, headers);
    if (compression !== null) context.responseHeader.set("grpc-encoding", compression.name);

    let frame: Uint8Array | undefined;
    try {
      const admitted = this.#calls.admit(context);
      if (admitted !== undefined) await admitted;
      if (timeout.error) throw timeout.error;
      const received = readBody(stream, this.#options.readMaxBytes);
      // Not held here: the body would stay in memory for as long as its answer is waited for.
      const reply = route.serialize(
        await received.then((body) => this.#invoke(route, stream, body, context)),
      );
      const isSmall = reply.byteLength < this.#options.compressMinBytes;
      frame = compression === null || isSmall ? frameOf(0, reply) : await compress(reply, compression);
      context.abort(finished);
    } catch (failure) {
      // The order matters: the end of the call is where a failure gets its details and the request id.
      context.abort(failure);
      setFailure(context.responseTrailer, asConnectError(failure));
    }
    running = undefined;
    if (stream.destroyed || stream.closed) return;
    if (frame === undefined) respondFailure(stream, this.#head, context);
    else respond(stream, this.#head, context, frame);
  }

  #invoke(route: Route, stream: ServerHttp2Stream, body: Body, context: CallContext): Promise<Message> {
    return "message" in body
      ? this.#calls.invoke(route.endpoint, context, route.parse(body.message))
      : this.#invokeOdd(route, stream, body.chunks, context);
  }

  async #invokeOdd(
    { endpoint, parse }: Route,
    stream: ServerHttp2Stream,
    chunks: readonly Buffer[],
    context: CallContext,
  ): Promise<Message> {
    const messages = readOddBody(stream, chunks, this.#options.readMaxBytes, parse);
    const impl = (message: Message) => this.#calls.invoke(endpoint, context, message);
    const invoke = transformInvokeImplementation({ ...endpoint, impl }, context, []);
    for await (const reply of invoke(messages)) return reply;
    throw new Error("Connect ended a unary call without a reply");
  }
}

/** One for all streams: each keeps its listeners, and what those refer to. */
function ignore(): void {}

function isPlainGrpc(headers: IncomingHttpHeaders): boolean {
  const type = headers["content-type"];
  if (type !== "application/grpc" && type !== "application/grpc+proto") return false;
  const encoding = headers["grpc-encoding"];
  return headers[":method"] === "POST" && (encoding === undefined || encoding === "identity");
}

function responseCompression(
  { acceptCompression }: GrpcUnaryOptions,
  headers: IncomingHttpHeaders,
): Compression | null {
  const accepted = headerOf(headers, "grpc-accept-encoding");
  if (accepted === null || acceptCompression.length === 0) return null;
  return compressionNegotiate(acceptCompression, null, accepted, "grpc-accept-encoding").response;
}

async function compress(data: Uint8Array<ArrayBuffer>, compression: Compression): Promise<Uint8Array> {
  const { flags, data: compressed } = await envelopeCompress({ flags: 0, data }, compression, 0);
  return frameOf(flags, compressed);
}

function frameOf(flags: number, data: Uint8Array): Uint8Array {
  const frame = Buffer.allocUnsafe(prefixBytes + data.length);
  frame[0] = flags;
  frame.writeUInt32BE(data.length, 1);
  frame.set(data, prefixBytes);
  return frame;
}

function respond(
  stream: ServerHttp2Stream,
  head: OutgoingHttpHeaders,
  context: CallContext,
  frame: Uint8Array,
): void {
  stream.respond(copyHeaders(context.response.header, { ...head }), { waitForTrailers: true });
  const trailers = copyHeaders(context.response.trailer, { "grpc-status": "0" });
  stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  stream.end(frame);
}

function respondFailure(stream: ServerHttp2Stream, head: OutgoingHttpHeaders, context: CallContext): void {
  const headers = trailersOnly(context.response.header, context.responseTrailer);
  stream.respond(copyHeaders(headers, { ...head }), { endStream: true });
}

function asConnectError(failure: unknown): ConnectError {
  if (failure instanceof ConnectError) return failure;
  return new ConnectError("internal error", Code.Internal, undefined, undefined, failure);
}

function headerOf(headers: IncomingHttpHeaders, name: string): string | null {
  const value = headers[name];
  return value === undefined ? null : String(value);
}
