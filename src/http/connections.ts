import type { Socket } from "node:net";
import type { Logger } from "pino";
import type { ListenerLimits } from "./listener-limits.ts";

/** Estimated memory of an open request besides its headers, and of each name and value besides its text, in bytes. */
const requestBytes = 10 * 1024;
const textBytes = 240;
/** The most sweeps without progress that count: a call that waits for changes makes none for hours. */
const maxUnchangedSweeps = 10;
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
export class Connection {
  readonly socket: Socket;
  /** Closes the idle connection; its protocol may replace this to send a closing frame first. */
  close: () => void;
  /** Returns the bytes of its open requests in memory: headers, bodies, and answers that the client has not read. */
  measure: () => number = () => 0;
  /** Those bytes at the last sweep, and the number of consecutive sweeps that found no progress. */
  bytes = 0;
  unchangedSweeps = 0;
  /** All bytes that were sent or received up to the last sweep. */
  transferred = 0;
  readonly #idle: Set<Connection>;

  constructor(socket: Socket, idle: Set<Connection>) {
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
    return this.#idle.has(this);
  }
}

/**
 * The open connections of a listener, within two limits:
 *
 * - Their number. At the limit a new connection closes the one that has been idle for the longest. When none is idle, the
 *   new one is refused.
 * - The memory of their open requests. Over the limit, connections are closed until the remaining ones are within it:
 *   first those with the most bytes for the longest time without progress.
 */
export class Connections {
  readonly #limits: ListenerLimits;
  readonly #log: Logger;
  readonly #open = new Map<Socket, Connection>();
  /** Those that are idle, in the order in which they became so. */
  readonly #idle = new Set<Connection>();
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
    const [longest] = this.#idle;
    if (longest === undefined) return false;
    this.#idle.delete(longest);
    longest.close();
    this.#count("idle");
    return true;
  }

  #sweep(): void {
    this.#arrivedBytes = 0;
    const busy: Connection[] = [];
    let sum = 0;
    for (const connection of this.#open.values()) {
      if (connection.isIdle || connection.socket.destroyed) continue;
      const bytes = connection.measure();
      const transferred = connection.socket.bytesRead + connection.socket.bytesWritten;
      const isUnchanged = bytes === connection.bytes && transferred === connection.transferred;
      connection.unchangedSweeps = isUnchanged
        ? Math.min(connection.unchangedSweeps + 1, maxUnchangedSweeps)
        : 0;
      connection.bytes = bytes;
      connection.transferred = transferred;
      sum += bytes;
      busy.push(connection);
    }
    if (sum <= this.#limits.requestMemoryBytes) return;
    // A call that waits for its answer makes no progress either. Its few bytes tell it from a client that reads nothing.
    const weight = ({ bytes, unchangedSweeps }: Connection) => bytes * (1 + unchangedSweeps);
    busy.sort((a, b) => weight(b) - weight(a));
    for (const { socket, bytes } of busy) {
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
