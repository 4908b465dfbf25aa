import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

type Serve = (request: IncomingMessage, response: ServerResponse) => void;

/** The requests of one HTTP/1.1 connection that are not answered yet, in the order in which they came. */
type Waiting = [request: IncomingMessage, response: ServerResponse][];

/**
 * Serves the requests of a connection one after the other. Node would begin with all that a client sends without
 * waiting for answers: changes would overtake each other (RFC 9112, 9.3.2), and one connection could ask for any
 * number of calls at once.
 *
 * While a request waits behind another one, nothing more is read of its connection: a client that sends on and takes no
 * answers has no more than one read (64 KiB) kept in memory, the rest fills its own buffers.
 */
export class Pipelines {
  readonly #serve: Serve;
  readonly #most: number;
  readonly #connections = new Map<Socket, Waiting>();

  /** A connection on which more than `most` requests wait, of one read, is destroyed. */
  constructor(most: number, serve: Serve) {
    this.#most = most;
    this.#serve = serve;
  }

  /** Serves a request when those before it on its connection are answered. */
  readonly add = (request: IncomingMessage, response: ServerResponse): void => {
    const { socket } = request;
    if (socket.destroyed) return;
    const waiting = this.#connections.get(socket) ?? this.#begin(socket);
    if (waiting.push([request, response]) > this.#most) socket.destroy();
    else if (waiting.length === 1) this.#serveFirst(socket, waiting);
    else socket.pause();
  };

  /** The response that is being made, or sent, on a connection. */
  current(socket: Socket): ServerResponse | undefined {
    return this.#connections.get(socket)?.[0]?.[1];
  }

  /** The last response that a connection is to get. */
  last(socket: Socket): ServerResponse | undefined {
    return this.#connections.get(socket)?.at(-1)?.[1];
  }

  /** The connections that were used and are open. */
  get connections(): Iterable<Socket> {
    return this.#connections.keys();
  }

  /** How many requests are not answered to their end. */
  get unanswered(): number {
    return [...this.#connections.values()].reduce((sum, waiting) => sum + waiting.length, 0);
  }

  #begin(socket: Socket): Waiting {
    const waiting: Waiting = [];
    this.#connections.set(socket, waiting);
    socket.once("close", () => this.#connections.delete(socket));
    // Node resumes a connection by itself when a request ends whose body nobody read. One that closes is read on.
    socket.on("resume", () => {
      if (waiting.length > 1 && socket.writable) socket.pause();
    });
    return waiting;
  }

  #serveFirst(socket: Socket, waiting: Waiting): void {
    const [first] = waiting;
    if (first === undefined) return;
    const [request, response] = first;
    response.once("close", () => {
      waiting.shift();
      // After a last answer nothing is served any more (RFC 9112, 9.6).
      if (!socket.writable) return;
      if (waiting.length === 1) socket.resume();
      this.#serveFirst(socket, waiting);
    });
    this.#serve(request, response);
  }
}
