import {
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";
import {
  type Compression,
  compressionNegotiate,
  createMethodSerializationLookup,
} from "@connectrpc/connect/protocol";
import { parseTimeout } from "@connectrpc/connect/protocol-grpc";
import type { Logger } from "pino";
import type { CallContext, CallStart } from "../call/context.ts";
import { overloadedError } from "../call/errors.ts";
import type { CallPipeline, Transport, Write } from "../call/pipeline.ts";
import { frameOfReply, type UnaryEndpoint } from "../call/service.ts";
import { deferToNextTurn } from "../call/streams.ts";
import { copyHeaders, setFailure, trailersOnly } from "./status.ts";
import { cancellation, prefixBytes, readMessage } from "./unary-body.ts";

/** The options of Connect's handlers that matter here: both must be given the same. */
export interface GrpcUnaryOptions {
  /** The most bytes of a request message. */
  readonly readMaxBytes: number;
  /** Compressions in which a client may want its response. */
  readonly acceptCompression: Compression[];
  /** The least bytes of a response message that are compressed. */
  readonly compressMinBytes: number;
  /** The headers of every response, unless its call has another value for one. */
  readonly responseHeaders?: Readonly<Record<string, string>>;
}

/** Serves an HTTP/2 stream, or leaves it alone and returns false. Never throws. */
export type ServeStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean;

/** The flag of a message that is compressed (gRPC over HTTP/2, Compressed-Flag). */
const compressedFlag = 1;

type Message = MessageShape<DescMessage>;

/** A method, with what reads and writes its messages. */
interface GrpcMethod {
  readonly endpoint: UnaryEndpoint;
  readonly parse: (bytes: Uint8Array) => Message;
  readonly serialize: (message: Message) => Uint8Array<ArrayBuffer>;
}

/** What all calls of a listener share. */
interface Shared extends GrpcUnaryOptions {
  readonly urlOf: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => string;
  /** The headers of every response. */
  readonly head: OutgoingHttpHeaders;
  /** The whole answer to a call that is rejected as overloaded. */
  readonly overloaded: OutgoingHttpHeaders;
}

/**
 * Serves unary gRPC calls whose request is not compressed, with the answers of Connect's own handler but without its
 * chain of async generators, which takes several times as long. Everything else is left to Connect.
 */
export function grpcUnary(calls: CallPipeline, options: GrpcUnaryOptions, log: Logger): ServeStream {
  const head = { ":status": 200, ...options.responseHeaders, "content-type": "application/grpc+proto" };
  const rejection = new Headers();
  setFailure(rejection, overloadedError());
  const shared = { ...options, urlOf: urlMaker(), head, overloaded: copyHeaders(rejection, { ...head }) };
  const methods = new Map<string, GrpcMethod>();
  const sizes = { readMaxBytes: options.readMaxBytes, writeMaxBytes: Number.POSITIVE_INFINITY };
  for (const endpoint of calls.endpoints()) {
    const { method } = endpoint;
    const formats = createMethodSerializationLookup(method, undefined, undefined, sizes);
    methods.set(`/${method.parent.typeName}/${method.name}`, {
      endpoint,
      parse: formats.getI(true).parse,
      serialize: formats.getO(true).serialize,
    });
  }
  return (stream, headers) => {
    const method = isPlainGrpc(headers) ? methods.get(headers[":path"] ?? "") : undefined;
    if (method === undefined) return false;
    stream.on("error", ignore);
    deferToNextTurn(() => {
      if (stream.destroyed) return;
      const transport = new GrpcTransport(shared, method, stream, headers);
      calls.run(method.endpoint, transport)?.catch((failure) => {
        // A handler set a header that HTTP/2 cannot carry, say.
        log.error({ err: failure, path: headers[":path"] }, "an RPC could not be answered");
        stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      });
    });
    return true;
  };
}

class GrpcTransport implements Transport {
  readonly protocol = "grpc";
  readonly #shared: Shared;
  readonly #method: GrpcMethod;
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  /** Undefined once the call has ended: Node and the garbage collector keep a closed stream, and its listeners, for long. */
  #context: CallContext | undefined;
  #invalidTimeout: ConnectError | undefined;
  #compression: Compression | null = null;

  constructor(shared: Shared, method: GrpcMethod, stream: ServerHttp2Stream, headers: IncomingHttpHeaders) {
    this.#shared = shared;
    this.#method = method;
    this.#stream = stream;
    this.#headers = headers;
  }

  rejectOverloaded(): void {
    this.#stream.respond(this.#shared.overloaded, { endStream: true });
  }

  start(): CallStart {
    const [stream, headers] = [this.#stream, this.#headers];
    const timeout = parseTimeout(headerOf(headers, "grpc-timeout"), Number.MAX_SAFE_INTEGER);
    this.#invalidTimeout = timeout.error;
    return {
      requestMethod: "POST",
      url: this.#shared.urlOf(stream, headers),
      requestHeader: headers,
      timeoutMs: timeout.timeoutMs,
      peer: () => stream.session?.socket?.remoteAddress,
    };
  }

  begin(context: CallContext): void {
    const stream = this.#stream;
    this.#context = context;
    stream.on("close", () => this.#context?.cancel(cancellation(stream)));
    this.#compression = responseCompression(this.#shared, this.#headers);
    if (this.#compression !== null) context.responseHeader.set("grpc-encoding", this.#compression.name);
  }

  read(): Promise<Message> {
    if (this.#invalidTimeout !== undefined) throw this.#invalidTimeout;
    return readMessage(this.#stream, this.#shared.readMaxBytes, this.#method.parse);
  }

  reply(context: CallContext, message: Message): Write | Promise<Write> {
    if (this.#compression === null) {
      const frame = frameOfReply(message, () => frameOf(0, this.#method.serialize(message)));
      return () => this.#respond(context, frame);
    }
    const data = this.#method.serialize(message);
    if (data.byteLength < this.#shared.compressMinBytes) {
      const frame = frameOf(0, data);
      return () => this.#respond(context, frame);
    }
    return this.#compression.compress(data).then((compressed) => {
      const frame = frameOf(compressedFlag, compressed);
      return () => this.#respond(context, frame);
    });
  }

  fail(context: CallContext, error: ConnectError): Write {
    return () => {
      if (!this.#end()) return;
      setFailure(context.responseTrailer, error);
      const headers = trailersOnly(context.response.header, context.responseTrailer);
      this.#stream.respond(copyHeaders(headers, { ...this.#shared.head }), { endStream: true });
    };
  }

  #respond({ response }: CallContext, frame: Uint8Array): void {
    if (!this.#end()) return;
    const stream = this.#stream;
    stream.respond(copyHeaders(response.header, { ...this.#shared.head }), { waitForTrailers: true });
    const trailers = copyHeaders(response.trailer, { "grpc-status": "0" });
    stream.on("wantTrailers", () => stream.sendTrailers(trailers));
    stream.end(frame);
  }

  /** Forgets the context, and returns whether the answer can be written. */
  #end(): boolean {
    this.#context = undefined;
    return !this.#stream.destroyed && !this.#stream.closed;
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

function frameOf(flags: number, data: Uint8Array): Uint8Array {
  const frame = Buffer.allocUnsafe(prefixBytes + data.length);
  frame[0] = flags;
  frame.writeUInt32BE(data.length, 1);
  frame.set(data, prefixBytes);
  return frame;
}

function headerOf(headers: IncomingHttpHeaders, name: string): string | null {
  const value = headers[name];
  return value === undefined ? null : String(value);
}

/** Makes the URLs of calls as `URL` spells them. Remembers the last origin: a client sends the same every time. */
function urlMaker(): (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => string {
  let last: string | undefined;
  let origin = "";
  return ({ session }, { ":authority": authority, host, ":path": path }) => {
    // As Connect does: the scheme that the client names is not to be relied on.
    const named = `${session?.encrypted ? "https" : "http"}://${authority ?? host ?? ""}`;
    if (named !== last) {
      origin = new URL(named).origin;
      last = named;
    }
    return `${origin}${path}`;
  };
}
