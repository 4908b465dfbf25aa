import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { type Connection, type Connections, sizeOfRequest } from "./connections.ts";

type Serve = (request: IncomingMessage, response: ServerResponse) => void;

interface Waiting {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly bytes: number;
}

/** One HTTP/1.1 connection. */
interface Pipeline {
  readonly connection: Connection;
  /** The requests that are not answered yet, in the order in which they came. */
  readonly waiting: Waiting[];
  /** Whether the socket has the listener that `#pause` adds. */
  hasResumeListener: boolean;
}

/**
 * Serves the requests of a connection one after the other. Node would begin with all that a client sends without
 * waiting for answers: changes would overtake each other (RFC 9112, 9.3.2), and one connection could ask for any
 * number of calls at once.
 *
 * While a request waits behind another one, its connection is not read. At most one read (64 KiB) of a client that sends
 * requests and reads no answers is kept in memory; the rest stays in the buffers of TCP.
 */
export class Http1Pipelines {
  readonly #serve: Serve;
  readonly #most: number;
  readonly #connections: Connections;
  readonly #pipelines = new Map<Socket, Pipeline>();

  /** A connection on which more than `most` requests wait, of one read, is destroyed. */
  constructor(most: number, connections: Connections, serve: Serve) {
    this.#most = most;
    this.#connections = connections;
    this.#serve = serve;
  }

  /** Begins the pipeline of a connection whose HTTP is spoken on `socket`. */
  open(socket: Socket, connection: Connection): void {
    const waiting: Waiting[] = [];
    this.#pipelines.set(socket, { connection, waiting, hasResumeListener: false });
    socket.once("close", () => this.#pipelines.delete(socket));
    connection.measure = measuring(socket, waiting);
  }

  /** Serves a request when those before it on its connection are answered. */
  readonly add = (request: IncomingMessage, response: ServerResponse): void => {
    const { socket } = request;
    const pipeline = this.#pipelines.get(socket);
    if (pipeline === undefined || socket.destroyed) return;
    const { connection, waiting } = pipeline;
    const bytes = sizeOfRequest(request.rawHeaders, request.url);
    this.#connections.countArrival(bytes);
    const count = waiting.push({ request, response, bytes });
    if (count > this.#most) socket.destroy();
    else if (count > 1) this.#pause(socket, pipeline);
    else {
      connection.markBusy();
      this.#serveFirst(socket, pipeline);
    }
  };

  /** The response that is being made, or sent, on a connection. */
  current(socket: Socket): ServerResponse | undefined {
    return this.#pipelines.get(socket)?.waiting[0]?.response;
  }

  /** The last response that a connection is to get. */
  last(socket: Socket): ServerResponse | undefined {
    return this.#pipelines.get(socket)?.waiting.at(-1)?.response;
  }

  /** The connections that are open. */
  get connections(): Iterable<Socket> {
    return this.#pipelines.keys();
  }

  /** How many requests are not answered to their end. */
  get unanswered(): number {
    return [...this.#pipelines.values()].reduce((sum, { waiting }) => sum + waiting.length, 0);
  }

  #pause(socket: Socket, pipeline: Pipeline): void {
    socket.pause();
    if (pipeline.hasResumeListener) return;
    pipeline.hasResumeListener = true;
    // Node resumes a connection when a request ends whose body was not read. A closing connection is read to its end.
    socket.on("resume", () => {
      if (pipeline.waiting.length > 1 && socket.writable) socket.pause();
    });
  }

  #serveFirst(socket: Socket, pipeline: Pipeline): void {
    const { connection, waiting } = pipeline;
    const [first] = waiting;
    if (first === undefined) return;
    const { request, response } = first;
    response.once("close", () => {
      waiting.shift();
      if (waiting.length === 0) connection.markIdle();
      // After a last answer nothing is served any more (RFC 9112, 9.6).
      if (!socket.writable) return;
      if (waiting.length === 1) socket.resume();
      this.#serveFirst(socket, pipeline);
    });
    this.#serve(request, response);
  }
}

/** Returns the function that counts the bytes of a connection. It keeps state between the sweeps that call it. */
function measuring(socket: Socket, waiting: readonly Waiting[]): () => number {
  let bytesRead = 0;
  /** The bytes read before the body that is under way, undefined when none is. */
  let beforeBody: number | undefined;
  return () => {
    beforeBody = waiting.at(-1)?.request.complete === false ? (beforeBody ?? bytesRead) : undefined;
    ({ bytesRead } = socket);
    const body = beforeBody === undefined ? 0 : bytesRead - beforeBody;
    return waiting.reduce((sum, { bytes }) => sum + bytes, socket.writableLength + body);
  };
}
