import type { Socket } from "node:net";
import type { Logger } from "pino";
import { Queue, type Queued } from "../collections/queue.ts";
import type { Limits } from "./limits.ts";

/** What an open request takes beside its headers, and what each name and each value takes beside its text, in bytes. */
const requestBytes = 10 * 1024;
const textBytes = 240;
/** How many sweeps without a byte make a difference: a call that waits for changes is still for hours. */
const mostUnchanged = 10;
/** Closed connections are logged by their number, this often at most, in milliseconds. */
const logEveryMs = 1_000;

/**
 * The bytes that an open request takes, as measured: strings of HTTP/2 are held by the library, by Node and by V8.
 * `rawHeaders` are names and values in turn.
 */
export function sizeOfRequest(rawHeaders: readonly string[], url = ""): number {
  let bytes = requestBytes + url.length + textBytes * rawHeaders.length;
  for (const text of rawHeaders) bytes += text.length;
  return bytes;
}

/** A connection of a listener. It is idle until its protocol says that it has a request to answer. */
export class Connection implements Queued<Connection> {
  before: Connection | undefined;
  after: Connection | undefined;
  readonly socket: Socket;
  /** Closes the connection when it is idle; its protocol may have a word to say first. */
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

  /** Has a request to answer. */
  begin(): void {
    this.#idle.delete(this);
  }

  /** Has no request to answer any more. */
  rest(): void {
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
 * - Their number. A new connection at the limit closes the one that has been idle for the longest. It is refused when
 *   none is idle.
 * - The bytes that their open requests take in memory. Beyond the limit connections are closed until the rest is within
 *   it: first those that hold the most bytes for the longest time in which they neither sent nor took anything.
 */
export class Connections {
  readonly #limits: Limits;
  readonly #log: Logger;
  readonly #open = new Map<Socket, Connection>();
  readonly #idle = new Queue<Connection>();
  #timer: NodeJS.Timeout | undefined;
  /** Bytes of requests that came since the last sweep. */
  #arrived = 0;
  #refused = 0;
  #evicted = { idle: 0, memory: 0 };
  #unlogged = { idle: 0, memory: 0 };
  #logTimer: NodeJS.Timeout | undefined;

  constructor(limits: Limits, log: Logger) {
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

  /** Counts a request that has come, by its size. */
  arrived(bytes: number): void {
    const before = this.#arrived;
    this.#arrived += bytes;
    // A sweep at every tick of the timer may be too late for a flood.
    const most = this.#limits.heldBytes / 4;
    if (before <= most && this.#arrived > most) setImmediate(() => this.#sweep());
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
    this.#arrived = 0;
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
    if (sum <= this.#limits.heldBytes) return;
    // A call that waits for its answer is still as well: what it holds tells it from a client that takes nothing.
    const weight = ({ bytes, unchanged }: Connection) => bytes * (1 + unchanged);
    holding.sort((a, b) => weight(b) - weight(a));
    for (const { socket, bytes } of holding) {
      socket.destroy();
      this.#count("memory");
      sum -= bytes;
      if (sum <= this.#limits.heldBytes) return;
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
