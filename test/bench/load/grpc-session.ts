import { connect, type Socket } from "node:net";
import {
  clientPreface,
  flags,
  forStream,
  frame,
  frameTypes,
  headBytes,
  type RequestHead,
  windowUpdate,
} from "./frames.ts";

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

const grantBytes = 2 ** 28;
const readBytes = 2 ** 18;

/**
 * One HTTP/2 connection that makes unary gRPC calls at the least cost for the client, and compares every answer with
 * the one that it must be. A gRPC answer has a message if and only if the call went well: a failure has none.
 */
export class GrpcSession {
  readonly #socket: Socket;
  readonly #head: RequestHead;
  readonly #onAnswer: OnAnswer;
  readonly #open = new Map<number, Open>();
  /** Frames for which the server's window has been too small. */
  #waiting: Buffer[] = [];
  /** Frames that leave together, once all that was read has been dealt with. */
  #leaving: Buffer[] = [];
  #window = 65_535;
  #received = 0;
  #nextStream = 1;
  #rest: Buffer | undefined;

  constructor(url: URL, head: RequestHead, onAnswer: OnAnswer) {
    this.#head = head;
    this.#onAnswer = onAnswer;
    this.#socket = connect({
      host: url.hostname,
      port: Number(url.port),
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafeSlow(readBytes),
        callback: (size, buffer) => {
          this.#read((buffer as Buffer).subarray(0, size));
          return true;
        },
      },
    });
    this.#send(clientPreface());
    this.#socket.on("error", (failure) => this.#fail(failure.message));
    this.#socket.on("close", () => this.#fail("the connection was closed"));
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
    this.#send(frame(frameTypes.headers, flags.endHeaders, stream, block));
    for (const template of exchange.frames) this.#waiting.push(forStream(template, stream));
    this.#sendWaiting();
  }

  close(): void {
    this.#open.clear();
    this.#socket.destroy();
  }

  #send(bytes: Buffer): void {
    if (this.#leaving.push(bytes) > 1) return;
    queueMicrotask(() => {
      this.#socket.write(Buffer.concat(this.#leaving));
      this.#leaving = [];
    });
  }

  /** Sends as much as the server's window for the connection lets through. */
  #sendWaiting(): void {
    let sent = 0;
    for (const next of this.#waiting) {
      const bytes = next.length - headBytes;
      if (bytes > this.#window) break;
      this.#window -= bytes;
      this.#send(next);
      sent += 1;
    }
    this.#waiting = sent === this.#waiting.length ? [] : this.#waiting.slice(sent);
  }

  #read(chunk: Buffer): void {
    const data = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (data.length - at >= headBytes) {
      const end = at + headBytes + data.readUIntBE(at, 3);
      if (end > data.length) break;
      this.#take(data, at, end);
      at = end;
    }
    // What was read into is read into again.
    this.#rest = at === data.length ? undefined : Buffer.from(data.subarray(at));
    this.#received += chunk.length;
    if (this.#received < grantBytes) return;
    this.#send(windowUpdate(this.#received));
    this.#received = 0;
  }

  /** Takes the frame that stands from `at` to `end`. */
  #take(data: Buffer, at: number, end: number): void {
    const type = data[at + 3];
    const flag = data[at + 4] ?? 0;
    const stream = data.readUInt32BE(at + 5);
    const from = at + headBytes;
    if (type === frameTypes.data || type === frameTypes.headers) {
      if (type === frameTypes.data) this.#append(stream, data.subarray(from, end));
      if ((flag & flags.endStream) !== 0) this.#settle(stream);
    } else if (type === frameTypes.settings || type === frameTypes.ping) {
      const answer = type === frameTypes.ping ? data.subarray(from, end) : Buffer.alloc(0);
      if ((flag & flags.ack) === 0) this.#send(frame(type, flags.ack, 0, answer));
    } else if (type === frameTypes.windowUpdate) {
      if (stream !== 0) return;
      this.#window += data.readUInt32BE(from);
      this.#sendWaiting();
    } else if (type === frameTypes.goAway) {
      this.#fail("the server sent GOAWAY");
    } else if (type === frameTypes.reset) {
      this.#settle(stream, "the stream was reset");
    }
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
