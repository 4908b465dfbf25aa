import type { DescMethod } from "@bufbuild/protobuf";
import { FrameConnection } from "./frame-connection.ts";
import {
  clientPreface,
  dataFrames,
  flags,
  frameTypes,
  headerBlock,
  http2Frame,
  lengthPrefixed,
  type RequestHead,
  requestHead,
} from "./frames.ts";

/** A unary call: what its request has besides the head of its session. */
export interface GrpcRequest {
  /** Header fields before the head, as `:path`, and after it. */
  readonly before?: Buffer;
  readonly after?: Buffer;
  /** The body, split into DATA frames. */
  readonly frames: readonly Buffer[];
}

/** What came of a call. */
export interface GrpcAnswer {
  readonly sentAt: number;
  /** The response message in its frame; undefined when there is none, as in every failure. */
  readonly reply: Buffer | undefined;
  /** The `grpc-status`, for sessions that read it; empty when the call ended without one. */
  readonly status: string;
  readonly retryAfter: boolean;
  /** Why the call ended without an answer. */
  readonly failure: string | undefined;
}

type OnAnswer = (answer: GrpcAnswer) => void;

interface Call {
  readonly request: GrpcRequest;
  readonly onAnswer: OnAnswer;
  /** 0 while it waits for a stream. */
  stream: number;
  sentAt: number;
  reply: Buffer | undefined;
  status: string;
  retryAfter: boolean;
  failure: string | undefined;
}

/** Makes the request of a method from its message; `fields` are header fields of this call alone. */
export function grpcRequest(
  { parent, name }: DescMethod,
  message: Uint8Array,
  fields: readonly (readonly [name: string, value: string])[] = [],
): GrpcRequest {
  return {
    before: headerBlock([[":path", `/${parent.typeName}/${name}`]]),
    after: headerBlock(fields),
    frames: dataFrames(lengthPrefixed(message)),
  };
}

/** Opens a session that reads the status of answers, for a caller with a token; resolves when it may make calls. */
export async function openGrpcSession(url: string, token: string): Promise<GrpcSession> {
  const target = new URL(url);
  const head = requestHead([
    [":authority", target.host],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ["authorization", `Bearer ${token}`],
  ]);
  const session = new GrpcSession(target, head, { readsStatus: true });
  await session.granted;
  return session;
}

/** The number of the setting MAX_CONCURRENT_STREAMS (RFC 9113, 6.5.2). */
const maxConcurrentStreams = 3;
/** The code CANCEL (RFC 9113, 7). */
const cancel: Buffer = Buffer.of(0, 0, 0, 8);
/** What Node's server writes to a client without a header table: the name with Huffman coding, the short value without. */
const statusMark: Buffer = Buffer.from("889acac8b21234da8f", "hex");
/** `retry-after` by its number in the static table, with a value of one character or two. */
const retryAfterMarks: readonly Buffer[] = [Buffer.from("0f2601", "hex"), Buffer.from("0f2602", "hex")];

/**
 * One HTTP/2 connection that makes unary gRPC calls. It exists because a load must cost less than the service under it:
 * `@grpc/grpc-js` and Node's own client take more processor time for a call than the service does. It decodes no
 * headers, and leaves deadlines to the service. A call waits while all streams that the server grants are in use.
 */
export class GrpcSession {
  readonly #connection: FrameConnection;
  readonly #head: RequestHead;
  readonly #readsStatus: boolean;
  readonly #open = new Map<number, Call>();
  readonly #settings = Promise.withResolvers<void>();
  #waiting: Call[] = [];
  #nextStream = 1;
  #granted = Number.POSITIVE_INFINITY;

  /** `readsStatus`: whether the status of answers is of interest, which forbids the server a header table. */
  constructor(url: URL, head: RequestHead, { readsStatus = false } = {}) {
    this.#head = head;
    this.#readsStatus = readsStatus;
    this.#settings.promise.catch(() => {});
    this.#connection = new FrameConnection(url, clientPreface({ headerTable: !readsStatus }), {
      onFrame: (type, flag, stream, payload) => this.#take(type, flag, stream, payload),
      onEnd: (why) => this.#fail(why),
    });
  }

  /** Resolves when the server has said how many streams it grants. */
  get granted(): Promise<void> {
    return this.#settings.promise;
  }

  /** Calls in flight. */
  get inFlight(): number {
    return this.#open.size;
  }

  /** Makes a call. `onAnswer` is called once, unless the session is closed. Returns what resets the call's stream. */
  call(request: GrpcRequest, onAnswer: OnAnswer): () => void {
    const call: Call = {
      request,
      onAnswer,
      stream: 0,
      sentAt: performance.now(),
      reply: undefined,
      status: "",
      retryAfter: false,
      failure: undefined,
    };
    if (this.#connection.isOver) {
      call.failure = "the connection is closed";
      setImmediate(onAnswer, call);
    } else if (this.#open.size >= this.#granted) this.#waiting.push(call);
    else this.#begin(call);
    return () => this.#reset(call);
  }

  close(): void {
    this.#open.clear();
    this.#waiting = [];
    this.#connection.destroy();
  }

  #begin(call: Call): void {
    const stream = this.#nextStream;
    this.#nextStream += 2;
    call.stream = stream;
    this.#open.set(stream, call);
    const { before, after, frames } = call.request;
    const head = stream === 1 ? this.#head.first : this.#head.later;
    const parts = [before, head, after].filter((part) => part !== undefined);
    const block = parts.length === 1 ? head : Buffer.concat(parts);
    this.#connection.send(http2Frame(frameTypes.headers, flags.endHeaders, stream, block));
    this.#connection.sendData(frames, stream);
  }

  #reset({ stream }: Call): void {
    if (!this.#open.has(stream)) return;
    this.#connection.send(http2Frame(frameTypes.reset, 0, stream, cancel));
    this.#end(stream, "the call was reset");
  }

  #take(type: number, flag: number, stream: number, payload: Buffer): void {
    if (type === frameTypes.settings) this.#grant(payload);
    else if (type === frameTypes.reset) this.#end(stream, "the stream was reset");
    else if (type === frameTypes.data || type === frameTypes.headers) {
      const call = this.#open.get(stream);
      if (call === undefined) return;
      if (type === frameTypes.data)
        call.reply = Buffer.concat(call.reply === undefined ? [payload] : [call.reply, payload]);
      else if (this.#readsStatus) {
        call.status ||= statusIn(payload);
        call.retryAfter ||= retryAfterMarks.some((mark) => payload.includes(mark));
      }
      if ((flag & flags.endStream) !== 0) this.#end(stream);
    }
  }

  #grant(settings: Buffer): void {
    for (let at = 0; at < settings.length; at += 6) {
      if (settings.readUInt16BE(at) === maxConcurrentStreams) this.#granted = settings.readUInt32BE(at + 2);
    }
    this.#settings.resolve();
    this.#beginWaiting();
  }

  #end(stream: number, failure?: string): void {
    const call = this.#open.get(stream);
    if (call === undefined) return;
    this.#open.delete(stream);
    call.failure = failure;
    call.onAnswer(call);
    this.#beginWaiting();
  }

  #beginWaiting(): void {
    while (this.#waiting.length > 0 && this.#open.size < this.#granted)
      this.#begin(this.#waiting.shift() as Call);
  }

  #fail(why: string): void {
    this.#connection.destroy();
    this.#settings.reject(new Error(`the connection ended before the server granted streams: ${why}`));
    for (const call of this.#waiting.splice(0)) {
      call.failure = why;
      setImmediate(call.onAnswer, call);
    }
    for (const stream of [...this.#open.keys()]) this.#end(stream, why);
  }
}

function statusIn(block: Buffer): string {
  const at = block.indexOf(statusMark);
  if (at < 0) return "";
  const from = at + statusMark.length + 1;
  return block.toString("latin1", from, from + (block[from - 1] ?? 0));
}
