import { connect, type Socket } from "node:net";
import { flags, frameTypes, headBytes, http2Frame, streamAt, windowUpdate } from "./frames.ts";

/** What a connection reports to its owner. */
export interface FrameEvents {
  /** A frame that is about a stream, or the server's settings. */
  onFrame(type: number, flag: number, stream: number, payload: Buffer): void;
  /** The connection is over, or the server lets no more streams begin. */
  onEnd(why: string): void;
}

const readBytes = 2 ** 18;
const leavingBytes = 2 ** 18;
const grantBytes = 2 ** 28;
const nothing = Buffer.alloc(0);

/**
 * The client's side of an HTTP/2 connection, at the least cost: frames that are sent in one turn leave together, and the
 * flow control of the connection is respected. Streams and headers are up to its owner.
 */
export class FrameConnection {
  readonly #socket: Socket;
  readonly #events: FrameEvents;
  #leaving = Buffer.allocUnsafeSlow(leavingBytes);
  #leavingSize = 0;
  /** DATA frames for which the server's window has been too small. */
  #waiting: { readonly bytes: Buffer; readonly stream: number }[] = [];
  #window = 65_535;
  #received = 0;
  #rest: Buffer | undefined;

  /** `preface`: what is sent first, see `clientPreface`. */
  constructor({ hostname, port }: URL, preface: Buffer, events: FrameEvents) {
    this.#events = events;
    this.#socket = connect({
      host: hostname,
      port: Number(port),
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafeSlow(readBytes),
        callback: (size, buffer) => {
          this.#read((buffer as Buffer).subarray(0, size));
          return true;
        },
      },
    });
    this.#socket.on("error", (failure) => events.onEnd(failure.message));
    this.#socket.on("close", () => events.onEnd("the connection was closed"));
    this.send(preface);
  }

  get isOver(): boolean {
    return this.#socket.destroyed;
  }

  /** Sends a frame: of this stream, or of the one that is written in it. */
  send(bytes: Buffer, stream?: number): void {
    if (this.#leavingSize + bytes.length > leavingBytes) this.#flush();
    if (this.#leavingSize === 0) queueMicrotask(() => this.#flush());
    bytes.copy(this.#leaving, this.#leavingSize);
    if (stream !== undefined) this.#leaving.writeUInt32BE(stream, this.#leavingSize + streamAt);
    this.#leavingSize += bytes.length;
  }

  /** Sends DATA frames of this stream, as soon as the server's window lets them through. */
  sendData(frames: readonly Buffer[], stream: number): void {
    for (const bytes of frames) this.#waiting.push({ bytes, stream });
    this.#sendWaiting();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #flush(): void {
    if (this.#leavingSize === 0) return;
    this.#socket.write(this.#leaving.subarray(0, this.#leavingSize));
    this.#leavingSize = 0;
    // The socket has yet to read what it did not take at once.
    if (this.#socket.writableLength > 0) this.#leaving = Buffer.allocUnsafeSlow(leavingBytes);
  }

  #sendWaiting(): void {
    let sent = 0;
    for (const { bytes, stream } of this.#waiting) {
      const size = bytes.length - headBytes;
      if (size > this.#window) break;
      this.#window -= size;
      this.send(bytes, stream);
      sent += 1;
    }
    this.#waiting = sent === this.#waiting.length ? [] : this.#waiting.slice(sent);
  }

  #read(chunk: Buffer): void {
    const data = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (data.length - at >= headBytes) {
      const from = at + headBytes;
      const end = from + data.readUIntBE(at, 3);
      if (end > data.length) break;
      this.#take(data[at + 3] ?? 0, data[at + 4] ?? 0, data.readUInt32BE(at + 5), data.subarray(from, end));
      at = end;
    }
    // What was read into is read into again.
    this.#rest = at === data.length ? undefined : Buffer.from(data.subarray(at));
    this.#received += chunk.length;
    if (this.#received < grantBytes) return;
    this.send(windowUpdate(this.#received));
    this.#received = 0;
  }

  #take(type: number, flag: number, stream: number, payload: Buffer): void {
    const answers = (flag & flags.ack) === 0;
    if (type === frameTypes.windowUpdate) {
      if (stream !== 0) return;
      this.#window += payload.readUInt32BE();
      this.#sendWaiting();
    } else if (type === frameTypes.goAway) {
      this.#events.onEnd("the server sent GOAWAY");
    } else if (type === frameTypes.ping) {
      if (answers) this.send(http2Frame(type, flags.ack, 0, payload));
    } else if (type !== frameTypes.settings) {
      this.#events.onFrame(type, flag, stream, payload);
    } else if (answers) {
      this.send(http2Frame(type, flags.ack, 0, nothing));
      this.#events.onFrame(type, flag, stream, payload);
    }
  }
}
