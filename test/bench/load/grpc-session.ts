import { FrameConnection } from "./frame-connection.ts";
import { clientPreface, flags, frame, frameTypes, type RequestHead } from "./frames.ts";

/** A request, split into frames, and what it must be answered. */
export interface Exchange {
  /** Headers of this request alone, compressed. */
  readonly header: Buffer;
  readonly frames: readonly Buffer[];
  /** The whole body of the right answer; undefined when any message will do. */
  readonly expected: Buffer | undefined;
}

/** Told of every answer. `problem` is undefined when it was right. */
export type OnAnswer = (sentAt: number, problem: string | undefined) => void;

interface Open {
  readonly exchange: Exchange;
  readonly sentAt: number;
  body: Buffer | undefined;
}

/**
 * One HTTP/2 connection that makes unary gRPC calls at the least cost for the client, and compares every answer with
 * the one that it must be. A gRPC answer has a message if and only if the call went well: a failure has none.
 */
export class GrpcSession {
  readonly #connection: FrameConnection;
  readonly #head: RequestHead;
  readonly #onAnswer: OnAnswer;
  readonly #open = new Map<number, Open>();
  #nextStream = 1;

  constructor(url: URL, head: RequestHead, onAnswer: OnAnswer) {
    this.#head = head;
    this.#onAnswer = onAnswer;
    this.#connection = new FrameConnection(url, clientPreface(), {
      onFrame: (type, flag, stream, payload) => this.#take(type, flag, stream, payload),
      onEnd: (why) => this.#fail(why),
    });
  }

  /** Calls under way. */
  get inFlight(): number {
    return this.#open.size;
  }

  call(exchange: Exchange): void {
    const stream = this.#nextStream;
    this.#nextStream += 2;
    this.#open.set(stream, { exchange, sentAt: performance.now(), body: undefined });
    const head = stream === 1 ? this.#head.first : this.#head.later;
    const block = exchange.header.length === 0 ? head : Buffer.concat([head, exchange.header]);
    this.#connection.send(frame(frameTypes.headers, flags.endHeaders, stream, block));
    this.#connection.sendData(exchange.frames, stream);
  }

  close(): void {
    this.#open.clear();
    this.#connection.destroy();
  }

  #take(type: number, flag: number, stream: number, payload: Buffer): void {
    if (type === frameTypes.reset) this.#settle(stream, "the stream was reset");
    if (type === frameTypes.data) this.#append(stream, payload);
    const mayEnd = type === frameTypes.data || type === frameTypes.headers;
    if (mayEnd && (flag & flags.endStream) !== 0) this.#settle(stream);
  }

  #append(stream: number, payload: Buffer): void {
    const open = this.#open.get(stream);
    if (open === undefined) return;
    open.body = Buffer.concat(open.body === undefined ? [payload] : [open.body, payload]);
  }

  #settle(stream: number, failure?: string): void {
    const open = this.#open.get(stream);
    if (open === undefined) return;
    this.#open.delete(stream);
    this.#onAnswer(open.sentAt, failure ?? problemOf(open));
  }

  #fail(problem: string): void {
    for (const stream of [...this.#open.keys()]) this.#settle(stream, problem);
  }
}

function problemOf({ exchange: { expected }, body }: Open): string | undefined {
  if (body === undefined) return "the call failed";
  if (expected === undefined || expected.equals(body)) return undefined;
  return `${body.subarray(0, 40).toString("hex")} instead of ${expected.subarray(0, 40).toString("hex")}`;
}
