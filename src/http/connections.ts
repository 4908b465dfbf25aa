import type { Socket } from "node:net";
import type { Logger } from "pino";
import { Queue, type Queued } from "../collections/queue.ts";
import type { ListenerLimits } from "./listener-limits.ts";

/** What an open request takes beside its headers, and what each name and each value takes beside its text, in bytes. */
const requestBytes = 10 * 1024;
const textBytes = 240;
/** The sweeps without progress that count, at most: a call that waits for changes makes no progress for hours. */
const mostUnchanged = 10;
/** The number of closed connections is logged this often at most, in milliseconds. */
const logEveryMs = 1_000;

/**
 * Estimates the bytes that an open request takes. An HTTP/2 header is held three times: by nghttp2, Node and V8.
 * `rawHeaders` are names and values in turn.
 */
export function sizeOfRequest(rawHeaders: readonly string[], url = ""): number {
  let bytes = requestBytes + url.length + textBytes * rawHeaders.length;
  for (const text of rawHeaders) bytes += text.length;
  return bytes;
}

/** A connection of a listener. It is idle until `markBusy` is called. */
export class Connection implements Queued<Connection> {
  before: Connection | undefined;
  after: Connection | undefined;
  readonly socket: Socket;
  /** Closes the idle connection; its protocol may replace this to send a closing frame first. */
  close: () => void;
  /** Counts the bytes in memory for its open requests: headers, bodies, and answers that the client has not taken. */
  measure: () => number = () => 0;
  /** The bytes at the last sweep, and how many sweeps in turn found that none were sent or taken. */
  bytes = 0;
  unchanged = 0;
  /** All that was sent either way up to the last sweep. */
  moved = 0;
  readonly #idle: Queue<Connection>;

  constructor(socket: Socket, idle: Queue<Connection>) {
    this.socket = socket;
    this.close = () => socket.destroy();
    this.#idle = idle;
    idle.add(this);
  }

  /** To be called when the connection has a request to answer. */
  markBusy(): void {
    this.#idle.delete(this);
  }

  /** To be called when the last request is answered. */
  markIdle(): void {
    this.#idle.delete(this);
    if (!this.socket.destroyed) this.#idle.add(this);
  }

  get isIdle(): boolean {
    return this.before !== undefined || this.#idle.first === this;
  }
}

/**
 * The open connections of a listener, within two bounds:
 *
 * - Their number. At the limit a new connection closes the one that has been idle for the longest. When none is idle, the
 *   new one is refused.
 * - The bytes that their open requests take in memory. Over the limit, connections are closed until the remaining ones are
 *   within it: first those that hold the most bytes for the longest time without progress.
 */
export class Connections {
  readonly #limits: ListenerLimits;
  readonly #log: Logger;
  readonly #open = new Map<Socket, Connection>();
  readonly #idle = new Queue<Connection>();
  #timer: NodeJS.Timeout | undefined;
  /** Bytes of requests that arrived since the last sweep. */
  #arrivedBytes = 0;
  #refused = 0;
  #evicted = { idle: 0, memory: 0 };
  #unlogged = { idle: 0, memory: 0 };
  #logTimer: NodeJS.Timeout | undefined;

  constructor(limits: ListenerLimits, log: Logger) {
    this.#limits = limits;
    this.#log = log;
  }

  get size(): number {
    return this.#open.size;
  }

  get sockets(): Iterable<Socket> {
    return this.#open.keys();
  }

  /** How many connections were refused because the limit was reached and none was idle. */
  get refused(): number {
    return this.#refused;
  }

  /** How many connections were closed to make room for others, and because of the memory that they took. */
  get evicted(): Readonly<{ idle: number; memory: number }> {
    return this.#evicted;
  }

  /** Adds an accepted connection until it closes. Undefined when there is no room: then it is destroyed. */
  add(socket: Socket): Connection | undefined {
    if (this.#open.size >= this.#limits.connections && !this.#closeIdle()) {
      this.#refused += 1;
      socket.destroy();
      return undefined;
    }
    const connection = new Connection(socket, this.#idle);
    this.#open.set(socket, connection);
    socket.once("close", () => this.#delete(connection));
    this.#timer ??= setInterval(() => this.#sweep(), this.#limits.sweepMs).unref();
    return connection;
  }

  /** Counts a request that has arrived, by its size. Many of them start a sweep at once. */
  countArrival(bytes: number): void {
    const before = this.#arrivedBytes;
    this.#arrivedBytes += bytes;
    // The next periodic sweep may be too late for a flood.
    const threshold = this.#limits.requestMemoryBytes / 4;
    if (before <= threshold && this.#arrivedBytes > threshold) setImmediate(() => this.#sweep());
  }

  #delete(connection: Connection): void {
    this.#open.delete(connection.socket);
    this.#idle.delete(connection);
    if (this.#open.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #closeIdle(): boolean {
    const longest = this.#idle.first;
    if (longest === undefined) return false;
    this.#idle.delete(longest);
    longest.close();
    this.#count("idle");
    return true;
  }

  #sweep(): void {
    this.#arrivedBytes = 0;
    const holding: Connection[] = [];
    let sum = 0;
    for (const connection of this.#open.values()) {
      if (connection.isIdle || connection.socket.destroyed) continue;
      const bytes = connection.measure();
      const moved = connection.socket.bytesRead + connection.socket.bytesWritten;
      const isUnchanged = bytes === connection.bytes && moved === connection.moved;
      connection.unchanged = isUnchanged ? Math.min(connection.unchanged + 1, mostUnchanged) : 0;
      connection.bytes = bytes;
      connection.moved = moved;
      sum += bytes;
      holding.push(connection);
    }
    if (sum <= this.#limits.requestMemoryBytes) return;
    // A call that waits for its answer is still as well: what it holds tells it from a client that takes nothing.
    const weight = ({ bytes, unchanged }: Connection) => bytes * (1 + unchanged);
    holding.sort((a, b) => weight(b) - weight(a));
    for (const { socket, bytes } of holding) {
      socket.destroy();
      this.#count("memory");
      sum -= bytes;
      if (sum <= this.#limits.requestMemoryBytes) return;
    }
  }

  #count(reason: "idle" | "memory"): void {
    this.#evicted[reason] += 1;
    this.#unlogged[reason] += 1;
    this.#logTimer ??= setTimeout(() => {
      this.#log.warn(
        { ...this.#unlogged },
        "connections were closed: idle to make room, or for their memory",
      );
      this.#unlogged = { idle: 0, memory: 0 };
      this.#logTimer = undefined;
    }, logEveryMs).unref();
  }
}
