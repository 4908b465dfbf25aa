import { constants, type Http2Session, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { DenseSet, type DenseSetMember } from "../collections/dense-set.ts";
import { type Connection, type Connections, sizeOfRequest } from "./connections.ts";
import type { ListenerLimits } from "./listener-limits.ts";

/** How long a client may leave a connection open after its session has ended, in milliseconds. */
const closeTimeoutMs = 1_000;

/** An open stream. Times are of `performance.now()`. */
interface OpenStream extends DenseSetMember {
  readonly stream: ServerHttp2Stream;
  /** What the request takes in memory besides its body. */
  readonly headerBytes: number;
  /** The bytes that were read of the connection before the body, from the first sweep that found it incomplete. */
  bytesBeforeBody: number | undefined;
  readonly since: number;
  readonly isStreaming: boolean;
  /** The client has sent all of its request. */
  isComplete: boolean;
  /** The response was sent at the last sweep. */
  isAnswered: boolean;
  /** The reaper ended it. */
  isReaped: boolean;
  /** Bytes of the response that the client had not taken at the last sweep, and since when it has taken none. */
  unflushedBytes: number;
  stalledSince: number;
}

interface OpenSession {
  readonly connection: Connection;
  /** Speaks HTTP/2: the connection's own socket, or TLS on it. */
  readonly socket: Socket;
  readonly streams: DenseSet<OpenStream>;
  /** When the session began, or its last stream ended. */
  idleSince: number;
  /** A stream was opened since the last sweep. */
  wasUsed: boolean;
  /**
   * `new`: nothing came yet. `settled`: the client's settings came, so it speaks HTTP/2. `requesting`: its first request
   * has begun. `served`: a request was complete.
   */
  stage: "new" | "settled" | "requesting" | "served";
  /** GOAWAY was sent for being idle. */
  isClosing: boolean;
  /** When a sweep first found the session ended. */
  endedSince: number | undefined;
  streamingCalls: number;
  /** Pings and settings since the last sweep. */
  controlFrames: number;
}

/**
 * Holds HTTP/2 sessions to the limits of time, of which Node has none for them. One timer sweeps all sessions of a
 * listener, so that a call costs no timer of its own.
 */
export class Http2SessionReaper {
  readonly #limits: ListenerLimits;
  readonly #connections: Connections;
  readonly #isStreaming: (path: string) => boolean;
  readonly #sessions = new Map<Http2Session, OpenSession>();
  #timer: NodeJS.Timeout | undefined;
  #isDraining = false;

  constructor(limits: ListenerLimits, connections: Connections, isStreaming: (path: string) => boolean) {
    this.#limits = limits;
    this.#connections = connections;
    this.#isStreaming = isStreaming;
  }

  /** Begins to watch the session of a connection, spoken on a socket. */
  add(session: Http2Session, socket: Socket, connection: Connection): void {
    const open: OpenSession = {
      connection,
      socket,
      streams: new DenseSet(),
      idleSince: performance.now(),
      wasUsed: false,
      stage: "new",
      isClosing: false,
      endedSince: undefined,
      streamingCalls: 0,
      controlFrames: 0,
    };
    this.#sessions.set(session, open);
    // A session that was ended before only waits for its client to close the connection.
    connection.close = () => (session.closed ? connection.socket.destroy() : session.destroy());
    connection.measure = bytesCounter(socket, open.streams, this.#limits.messageBytes);
    session.once("remoteSettings", () => {
      if (open.stage === "new") open.stage = "settled";
    });
    this.#limitControlFrames(session, open);
    session.once("close", () => this.#delete(session));
    this.#timer ??= setInterval(() => this.#sweep(performance.now()), this.#limits.sweepMs).unref();
    if (this.#isDraining) session.close();
  }

  /** Begins to watch a stream. False when its session has too many streaming calls: then the stream is reset. */
  follow(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders: readonly string[]): boolean {
    const session = stream.session === undefined ? undefined : this.#sessions.get(stream.session);
    if (session === undefined) return true;
    const isStreaming = this.#isStreaming(headers[":path"] ?? "");
    if (isStreaming && session.streamingCalls === this.#limits.streamingCalls) {
      stream.on("error", () => {}).close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      return false;
    }
    const since = performance.now();
    const open: OpenStream = {
      denseIndex: -1,
      stream,
      headerBytes: sizeOfRequest(rawHeaders),
      bytesBeforeBody: undefined,
      since,
      isStreaming,
      isComplete: stream.endAfterHeaders,
      isAnswered: false,
      isReaped: false,
      unflushedBytes: 0,
      stalledSince: since,
    };
    this.#connections.countArrival(open.headerBytes);
    countOpened(session, open);
    stream.on("close", () => countClosed(session, open));
    return true;
  }

  /**
   * Sends GOAWAY on every session, now and to come; it names the last stream that is served, so that a client may
   * safely repeat a later one elsewhere (RFC 9113, 6.8).
   */
  drain(): void {
    this.#isDraining = true;
    for (const session of this.#sessions.keys()) session.close();
  }

  /** How many streams are open. */
  openStreams(): number {
    return [...this.#sessions.values()].reduce((sum, { streams }) => sum + streams.size, 0);
  }

  /** No limit of nghttp2 holds for a client that takes the acknowledgements. */
  #limitControlFrames(session: Http2Session, open: OpenSession): void {
    const count = () => {
      if (++open.controlFrames > this.#limits.controlFrames)
        session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    };
    session.on("ping", count).on("remoteSettings", count);
  }

  #delete(session: Http2Session): void {
    this.#sessions.delete(session);
    if (this.#sessions.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #sweep(now: number): void {
    for (const [session, open] of this.#sessions) {
      for (const stream of open.streams) this.#enforceStream(stream, now);
      if (session.destroyed) this.#enforceClose(open, now);
      else this.#enforceIdle(session, open, now);
      open.controlFrames = 0;
    }
  }

  #enforceStream(open: OpenStream, now: number): void {
    const { stream } = open;
    if (stream.destroyed) return;
    // A body that nobody reads would keep its stream, and its part of the session's memory, until the session ends.
    if (stream.closed || open.isAnswered) stream.removeAllListeners("data").resume();
    if (stream.closed) return;
    const code = this.#checkRequest(open, now) ?? this.#checkResponse(open, now);
    if (code === undefined) return;
    open.isReaped = true;
    stream.close(code);
  }

  /** Returns the error code with which to reset a stream for its request; undefined to leave it open. */
  #checkRequest(open: OpenStream, now: number): number | undefined {
    if (updateComplete(open)) return undefined;
    // An answer that did not wait for the request, a refusal say, makes the rest of it useless (RFC 9113, 8.1).
    if (open.isAnswered) return constants.NGHTTP2_NO_ERROR;
    const isLate = now - open.since >= this.#limits.requestMs && !open.isStreaming;
    return isLate ? constants.NGHTTP2_CANCEL : undefined;
  }

  /**
   * Notes how much of its response a client has taken. Returns the error code with which to reset the stream when that is
   * nothing for too long.
   */
  #checkResponse(open: OpenStream, now: number): number | undefined {
    const { writableFinished, writableLength } = open.stream;
    open.isAnswered = writableFinished;
    if (writableLength === 0 || writableLength !== open.unflushedBytes) open.stalledSince = now;
    open.unflushedBytes = writableLength;
    return now - open.stalledSince >= this.#limits.stalledResponseMs ? constants.NGHTTP2_CANCEL : undefined;
  }

  #enforceIdle(session: Http2Session, open: OpenSession, now: number): void {
    const isBusy = open.wasUsed || open.streams.size > 0;
    open.wasUsed = false;
    if (isBusy) {
      // Requests that are never complete do not prolong the time for the first one.
      if (open.stage === "served") open.idleSince = now;
    } else if (open.isClosing) {
      session.destroy();
    } else if (now - open.idleSince >= this.#idleLimitMs(open)) {
      open.isClosing = true;
      session.close();
    }
  }

  #idleLimitMs({ stage }: OpenSession): number {
    const hasBegun = stage === "settled" || stage === "served";
    return hasBegun ? this.#limits.keepAliveMs : this.#limits.firstRequestMs;
  }

  /**
   * Destroys the connection of a session that has ended. Node only ends it for writing where the session was closed
   * before, by either side, and a client may keep its own side open for ever.
   */
  #enforceClose(open: OpenSession, now: number): void {
    open.endedSince ??= now;
    const allowedMs = open.socket.writableFinished ? closeTimeoutMs : this.#limits.stalledResponseMs;
    if (now - open.endedSince >= allowedMs) open.connection.socket.destroy();
  }
}

function countOpened(session: OpenSession, open: OpenStream): void {
  session.wasUsed = true;
  if (open.isComplete) session.stage = "served";
  else if (session.stage !== "requesting" && session.stage !== "served") {
    session.stage = "requesting";
    session.idleSince = open.since;
  }
  if (open.isStreaming) session.streamingCalls++;
  session.streams.add(open);
  if (session.streams.size === 1) session.connection.markBusy();
}

function countClosed(session: OpenSession, open: OpenStream): void {
  session.streams.delete(open);
  if (session.streams.size === 0) session.connection.markIdle();
  if (open.isStreaming) session.streamingCalls--;
  if (!open.isReaped && open.stream.rstCode === constants.NGHTTP2_NO_ERROR) session.stage = "served";
}

/** Notes, and returns, whether the client has sent all of a request. */
function updateComplete(open: OpenStream): boolean {
  open.isComplete ||= open.stream.state.remoteClose === 1;
  return open.isComplete;
}

/**
 * Returns the function that counts the bytes of a session. It keeps state between the sweeps that call it. A body has
 * `messageBytes` at most.
 */
function bytesCounter(socket: Socket, streams: DenseSet<OpenStream>, messageBytes: number): () => number {
  let bytesRead = 0;
  return () => {
    let sum = 0;
    let incomplete = 0;
    let beforeBodies = socket.bytesRead;
    for (const open of streams) {
      sum += open.headerBytes + open.stream.writableLength;
      if (updateComplete(open) || open.isStreaming) continue;
      incomplete += 1;
      open.bytesBeforeBody ??= bytesRead;
      beforeBodies = Math.min(beforeBodies, open.bytesBeforeBody);
    }
    ({ bytesRead } = socket);
    return sum + Math.min(bytesRead - beforeBodies, incomplete * messageBytes);
  };
}
