import { constants, type Http2Session, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { type Placed, Roster } from "../collections/roster.ts";
import { type Connection, type Connections, sizeOfRequest } from "./connections.ts";
import type { ListenerLimits } from "./listener-limits.ts";

/** How long a client may leave a connection open after its session has ended, in milliseconds. */
const lingerMs = 1_000;

/** A stream that is open. Times are of `performance.now()`. */
interface Open extends Placed {
  readonly stream: ServerHttp2Stream;
  /** What the request takes in memory beside its body. */
  readonly bytes: number;
  /** Bytes that were read of the connection before the body, since a sweep found it incomplete. */
  beforeBody: number | undefined;
  readonly since: number;
  readonly mayStayOpen: boolean;
  /** The client has sent all of its request. */
  complete: boolean;
  /** The response was out at the last look. */
  answered: boolean;
  /** It was not the client who ended it. */
  cut: boolean;
  /** Bytes of the response that the client had not taken at the last look, and since when. */
  untaken: number;
  untakenSince: number;
}

interface Session {
  readonly connection: Connection;
  /** Speaks HTTP/2: the connection's own, or TLS on it. */
  readonly socket: Socket;
  readonly streams: Roster<Open>;
  /** Without a request, since the session began or its last stream ended. */
  restingSince: number;
  /** A stream was opened since the last look. */
  used: boolean;
  /**
   * `new`: nothing came yet. `settled`: the client's settings came, so it speaks HTTP/2. `requesting`: its first request
   * has begun. `served`: a request was complete.
   */
  stage: "new" | "settled" | "requesting" | "served";
  closing: boolean;
  /** When the session was first seen to have ended. */
  endedSince: number | undefined;
  /** Streams that may stay open. */
  long: number;
  /** Pings and settings since the last look. */
  controlFrames: number;
}

/**
 * Holds HTTP/2 sessions to the limits of time: Node knows none for them. One timer looks at all sessions of a
 * listener, so that a call costs no timer of its own.
 */
export class Http2SessionReaper {
  readonly #limits: ListenerLimits;
  readonly #connections: Connections;
  readonly #mayStayOpen: (path: string) => boolean;
  readonly #sessions = new Map<Http2Session, Session>();
  #timer: NodeJS.Timeout | undefined;
  #draining = false;

  constructor(limits: ListenerLimits, connections: Connections, mayStayOpen: (path: string) => boolean) {
    this.#limits = limits;
    this.#connections = connections;
    this.#mayStayOpen = mayStayOpen;
  }

  /** Begins to watch the session of a connection, spoken on a socket. */
  add(session: Http2Session, socket: Socket, connection: Connection): void {
    const state: Session = {
      connection,
      socket,
      streams: new Roster(),
      restingSince: performance.now(),
      used: false,
      stage: "new",
      closing: false,
      endedSince: undefined,
      long: 0,
      controlFrames: 0,
    };
    this.#sessions.set(session, state);
    // A session that was ended before only waits for its client to close the connection.
    connection.close = () => (session.closed ? connection.socket.destroy() : session.destroy());
    connection.measure = measuring(socket, state.streams, this.#limits.messageBytes);
    // No limit of nghttp2 holds for a client that takes the acknowledgements.
    const onControlFrame = () => {
      if (++state.controlFrames > this.#limits.controlFrames)
        session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    };
    session.once("remoteSettings", () => {
      if (state.stage === "new") state.stage = "settled";
    });
    session.on("ping", onControlFrame).on("remoteSettings", onControlFrame);
    session.once("close", () => {
      this.#sessions.delete(session);
      if (this.#sessions.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    });
    this.#timer ??= setInterval(() => this.#sweep(performance.now()), this.#limits.sweepMs).unref();
    if (this.#draining) session.close();
  }

  /** Begins to watch a stream. False when the session has too many of its kind: then it is reset. */
  follow(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders: readonly string[]): boolean {
    const session = stream.session === undefined ? undefined : this.#sessions.get(stream.session);
    if (session === undefined) return true;
    const mayStayOpen = this.#mayStayOpen(headers[":path"] ?? "");
    if (mayStayOpen && session.long === this.#limits.longStreams) {
      stream.on("error", () => {}).close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      return false;
    }
    session.used = true;
    const since = performance.now();
    if (stream.endAfterHeaders) session.stage = "served";
    else if (session.stage !== "requesting" && session.stage !== "served") {
      session.stage = "requesting";
      session.restingSince = since;
    }
    if (mayStayOpen) session.long++;
    const bytes = sizeOfRequest(rawHeaders);
    this.#connections.countArrival(bytes);
    const open: Open = {
      place: -1,
      stream,
      bytes,
      beforeBody: undefined,
      since,
      mayStayOpen,
      complete: stream.endAfterHeaders,
      answered: false,
      cut: false,
      untaken: 0,
      untakenSince: since,
    };
    session.streams.add(open);
    if (session.streams.size === 1) session.connection.markBusy();
    stream.on("close", () => {
      session.streams.delete(open);
      if (session.streams.size === 0) session.connection.markIdle();
      if (mayStayOpen) session.long--;
      if (!open.cut && stream.rstCode === constants.NGHTTP2_NO_ERROR) session.stage = "served";
    });
    return true;
  }

  /**
   * Sends GOAWAY on every session, now and to come; it names the last stream that is served, so that a client may
   * safely repeat a later one elsewhere (RFC 9113, 6.8).
   */
  drain(): void {
    this.#draining = true;
    for (const session of this.#sessions.keys()) session.close();
  }

  /** How many streams are open. */
  openStreams(): number {
    return [...this.#sessions.values()].reduce((sum, { streams }) => sum + streams.size, 0);
  }

  #sweep(now: number): void {
    for (const [session, state] of this.#sessions) {
      for (const open of state.streams) this.#look(open.stream, open, now);
      if (session.destroyed) this.#end(state, now);
      else this.#rest(session, state, now);
      state.controlFrames = 0;
    }
  }

  #look(stream: ServerHttp2Stream, open: Open, now: number): void {
    if (stream.destroyed) return;
    // What nobody has read would keep a stream, and its part of the session's memory, until the session ends.
    if (stream.closed || open.answered) stream.removeAllListeners("data").resume();
    if (stream.closed) return;
    const end = this.#endOf(stream, open, now);
    if (end === undefined) return;
    open.cut = true;
    stream.close(end);
  }

  /** The error code with which to reset a stream, undefined to let it be. */
  #endOf(stream: ServerHttp2Stream, open: Open, now: number): number | undefined {
    open.complete ||= stream.state.remoteClose === 1;
    if (!open.complete) {
      // An answer that did not wait for the request, a refusal say, makes the rest of it useless (RFC 9113, 8.1).
      if (open.answered) return constants.NGHTTP2_NO_ERROR;
      if (now - open.since >= this.#limits.requestMs && !open.mayStayOpen) return constants.NGHTTP2_CANCEL;
    }
    open.answered = stream.writableFinished;
    if (stream.writableLength === 0 || stream.writableLength !== open.untaken) open.untakenSince = now;
    open.untaken = stream.writableLength;
    return now - open.untakenSince >= this.#limits.stalledResponseMs ? constants.NGHTTP2_CANCEL : undefined;
  }

  #idleLimitMs({ stage }: Session): number {
    const isIdle = stage === "settled" || stage === "served";
    return isIdle ? this.#limits.keepAliveMs : this.#limits.firstRequestMs;
  }

  #rest(session: Http2Session, state: Session, now: number): void {
    const busy = state.used || state.streams.size > 0;
    state.used = false;
    if (busy) {
      // Requests that are never complete do not prolong the time for the first one.
      if (state.stage === "served") state.restingSince = now;
    } else if (state.closing) {
      session.destroy();
    } else if (now - state.restingSince >= this.#idleLimitMs(state)) {
      state.closing = true;
      session.close();
    }
  }

  /**
   * Destroys the connection of a session that has ended. Node only ends it for writing where the session was closed
   * before, by either side, and a client may keep its own side open for ever.
   */
  #end(state: Session, now: number): void {
    state.endedSince ??= now;
    const allowedMs = state.socket.writableFinished ? lingerMs : this.#limits.stalledResponseMs;
    if (now - state.endedSince >= allowedMs) state.connection.socket.destroy();
  }
}

/**
 * Returns the function that counts the bytes of a session. It keeps state between the sweeps that call it. A body has
 * `messageBytes` at most.
 */
function measuring(socket: Socket, streams: Roster<Open>, messageBytes: number): () => number {
  let bytesRead = 0;
  return () => {
    let sum = 0;
    let incomplete = 0;
    let beforeBodies = socket.bytesRead;
    for (const open of streams) {
      sum += open.bytes + open.stream.writableLength;
      open.complete ||= open.stream.state.remoteClose === 1;
      if (open.complete || open.mayStayOpen) continue;
      incomplete += 1;
      open.beforeBody ??= bytesRead;
      beforeBodies = Math.min(beforeBodies, open.beforeBody);
    }
    ({ bytesRead } = socket);
    return sum + Math.min(bytesRead - beforeBodies, incomplete * messageBytes);
  };
}
