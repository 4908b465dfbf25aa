import { FrameConnection } from "../../bench/load/frame-connection.ts";
import {
  clientPreface,
  flags,
  frame,
  frameTypes,
  type RequestHead,
  requestHead,
  singleHeader,
} from "../../bench/load/frames.ts";
import { fieldBytes } from "./header-fields.ts";

/** A unary call. */
export interface GrpcCall {
  /** `/package.Service/Method`. */
  readonly path: string;
  /** Header fields that not every call has. */
  readonly fields?: readonly (readonly [name: string, value: string])[];
  /** The request message in its frame, split into frames of HTTP/2. */
  readonly frames: readonly Buffer[];
}

interface GrpcAnswer {
  /** The `grpc-status`; empty when the call ended without one. */
  readonly status: string;
  readonly retryAfter: boolean;
  /** The response message in its frame; empty when there is none. */
  readonly reply: Buffer;
}

type OnAnswer = (answer: GrpcAnswer) => void;

/** Where in an answer its status stands, and what tells when to come back. */
interface Marks {
  /** What stands before the status. */
  readonly status: Buffer;
  readonly retryAfter: Buffer;
}

const nothing: Buffer = Buffer.alloc(0);
/** The number of the setting (RFC 9113, 6.5.2). */
const maxConcurrentStreams = 3;
/** The code CANCEL (RFC 9113, 7). */
const cancel: Buffer = Buffer.of(0, 0, 0, 8);

/**
 * A client of gRPC that does no more than it must, so that it can ask for more than a service can do, and see when it
 * is answered. A call waits while all streams that the service grants are taken.
 */
export class GrpcClient {
  readonly #sessions: readonly Session[];
  #turn = 0;

  static async open(url: string, token: string, sessions: number): Promise<GrpcClient> {
    const [status = nothing, retryAfter = nothing] = await fieldBytes([
      ["grpc-status", "0"],
      ["retry-after", "1"],
    ]);
    const marks = { status: status.subarray(0, -2), retryAfter };
    const all = Array.from({ length: sessions }, () => new Session(new URL(url), token, marks));
    await Promise.all(all.map(({ granted }) => granted));
    return new GrpcClient(all);
  }

  private constructor(sessions: readonly Session[]) {
    this.#sessions = sessions;
  }

  /**
   * Makes a call. `onAnswer` is called once, also when the call ends without an answer. Returns what resets the call's
   * stream, once it has one.
   */
  call(call: GrpcCall, onAnswer: OnAnswer): () => void {
    const session = this.#sessions[this.#turn++ % this.#sessions.length] as Session;
    return session.call(call, onAnswer);
  }

  close(): void {
    for (const session of this.#sessions) session.close();
  }
}

/** A call that has been made, and what is known of its answer. */
interface Made {
  readonly call: GrpcCall;
  readonly onAnswer: OnAnswer;
  /** 0 while it waits for one. */
  stream: number;
  status: string;
  retryAfter: boolean;
  reply: Buffer;
}

class Session {
  readonly #connection: FrameConnection;
  readonly #marks: Marks;
  readonly #head: RequestHead;
  readonly #open = new Map<number, Made>();
  readonly #settings = Promise.withResolvers<void>();
  #nextStream = 1;
  #streams = 0;
  #waiting: Made[] = [];

  constructor(url: URL, token: string, marks: Marks) {
    this.#marks = marks;
    this.#head = requestHead([
      [":authority", url.host],
      ["content-type", "application/grpc"],
      ["te", "trailers"],
      ["authorization", `Bearer ${token}`],
    ]);
    this.#connection = new FrameConnection(url, clientPreface({ headerTable: false }), {
      onFrame: (type, flag, stream, payload) => this.#take(type, flag, stream, payload),
      onEnd: () => this.#fail(),
    });
  }

  /** Resolves when the service has said how many streams it grants. */
  get granted(): Promise<void> {
    return this.#settings.promise;
  }

  call(call: GrpcCall, onAnswer: OnAnswer): () => void {
    const made: Made = { call, onAnswer, stream: 0, status: "", retryAfter: false, reply: nothing };
    if (this.#connection.isOver) setImmediate(onAnswer, made);
    else if (this.#open.size >= this.#streams) this.#waiting.push(made);
    else this.#begin(made);
    return () => this.#reset(made);
  }

  close(): void {
    this.#connection.destroy();
  }

  #begin(made: Made): void {
    const { path, fields = [], frames } = made.call;
    const stream = this.#nextStream;
    this.#nextStream += 2;
    made.stream = stream;
    this.#open.set(stream, made);
    const { first, later } = this.#head;
    const block = Buffer.concat([
      singleHeader(":path", path),
      stream === 1 ? first : later,
      ...fields.map(([name, value]) => singleHeader(name, value)),
    ]);
    this.#connection.send(frame(frameTypes.headers, flags.endHeaders, stream, block));
    this.#connection.sendData(frames, stream);
  }

  #reset({ stream }: Made): void {
    if (!this.#open.has(stream)) return;
    this.#connection.send(frame(frameTypes.reset, 0, stream, cancel));
    this.#end(stream);
  }

  #take(type: number, flag: number, stream: number, payload: Buffer): void {
    if (type === frameTypes.settings) this.#grant(payload);
    else if (type === frameTypes.reset) this.#end(stream);
    else if (type === frameTypes.data || type === frameTypes.headers) {
      this.#hear(type, stream, payload);
      if ((flag & flags.endStream) !== 0) this.#end(stream);
    }
  }

  #hear(type: number, stream: number, payload: Buffer): void {
    const call = this.#open.get(stream);
    if (call === undefined) return;
    if (type === frameTypes.data) call.reply = Buffer.concat([call.reply, payload]);
    else {
      call.status ||= statusIn(payload, this.#marks.status);
      call.retryAfter ||= payload.includes(this.#marks.retryAfter);
    }
  }

  /** Takes the settings of the service, of which only one matters here: how many streams it grants. */
  #grant(settings: Buffer): void {
    for (let at = 0; at < settings.length; at += 6) {
      if (settings.readUInt16BE(at) === maxConcurrentStreams) this.#streams = settings.readUInt32BE(at + 2);
    }
    this.#settings.resolve();
    this.#beginNext();
  }

  #end(stream: number): void {
    const call = this.#open.get(stream);
    if (call === undefined) return;
    this.#open.delete(stream);
    call.onAnswer(call);
    this.#beginNext();
  }

  #beginNext(): void {
    while (this.#open.size < this.#streams) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#begin(next);
    }
  }

  #fail(): void {
    this.#connection.destroy();
    this.#settings.reject(new Error("the service ended a connection before it granted streams"));
    for (const made of this.#waiting.splice(0)) setImmediate(made.onAnswer, made);
    for (const stream of [...this.#open.keys()]) this.#end(stream);
  }
}

/** The number that stands after a mark: as a string of HPACK without Huffman coding, which makes no number shorter. */
function statusIn(block: Buffer, mark: Buffer): string {
  const at = block.indexOf(mark);
  if (at < 0) return "";
  const from = at + mark.length + 1;
  return block.toString("latin1", from, from + (block[from - 1] ?? 0));
}
