import { createServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { type Connection, type Connections, sizeOfRequest } from "./connections.ts";
import type { ListenerLimits } from "./listener-limits.ts";
import { isAmbiguous, toOriginForm } from "./normalize-request.ts";
import type { HeaderList } from "./plain-responses.ts";
import type { RequestRouter } from "./request-router.ts";

/** The HTTP/1.1 side of a listener. */
export interface Http1 {
  /** Serves a connection from the first byte of a socket, which may be that of TLS on it. */
  serve(socket: Socket, connection: Connection): void;
  /** Closes each connection after its last answer. */
  drain(): void;
  /** Closes every connection that has no request to answer, now and from now on. */
  closeIdle(): void;
  /** How many requests are not answered to their end. */
  unanswered(): number;
}

const statusOfError: Record<string, number> = {
  ERR_HTTP_REQUEST_TIMEOUT: 408,
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
};

/** Makes an HTTP/1.1 server without a port of its own: connections are passed to it. */
export function createHttp1(
  router: Pick<RequestRouter, "handle" | "headersFor" | "countRefusal" | "failures">,
  limits: ListenerLimits,
  connections: Connections,
): Http1 {
  let draining = false;
  let closingIdle = false;
  const { failures } = router;
  const refuseRequest = (response: ServerResponse, status: number, headers: HeaderList = []) => {
    router.countRefusal(status);
    failures.send(response, status, [...router.headersFor(response.req), ...headers]);
  };
  const refuseConnection = (socket: Socket, status: number) => {
    router.countRefusal(status);
    // The body of a request may be at fault whose headers are known.
    const headers = router.headersFor(pipelines.current(socket)?.req);
    socket.write(failures.toHttp1(status, STATUS_CODES[status], headers));
    socket.destroySoon();
  };
  /** The requests whose `Expect` is not supported. */
  const unsupported = new WeakSet<IncomingMessage>();
  const pipelines = new Http1Pipelines(limits.concurrentStreams, connections, (request, response) => {
    response.once("close", () => {
      if (closingIdle) server.closeIdleConnections();
    });
    if (draining && response === pipelines.last(request.socket)) response.setHeader("connection", "close");
    if (unsupported.has(request)) return refuseRequest(response, 417);
    if (isAmbiguous(request)) return refuseRequest(response, 400, [["connection", "close"]]);
    toOriginForm(request);
    router.handle(request, response);
  });

  const server = createServer(
    {
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.keepAliveMs,
      maxHeaderSize: limits.headerBytes,
      connectionsCheckingInterval: limits.sweepMs,
      // Node would refuse without a body.
      requireHostHeader: false,
    },
    pipelines.add,
  );
  server.setTimeout(limits.stalledResponseMs);
  server.maxHeadersCount = limits.headerFields;
  server.on("checkExpectation", (request, response) => {
    unsupported.add(request);
    pipelines.add(request, response);
  });
  // The service is no proxy. Node would close the connection without an answer.
  server.on("connect", (_request, socket: Socket) => {
    if (pipelines.current(socket) === undefined) refuseConnection(socket, 400);
    else socket.destroy();
  });
  server.on("clientError", (error: Error & { code?: string }, socket: Socket) => {
    const current = pipelines.current(socket);
    // A refusal must neither follow the bytes of a response that has begun, nor look like the answer to an earlier
    // request that is complete and not answered yet.
    const isAnswerDue = current !== undefined && (current.headersSent || current.req.complete);
    if (!socket.writable || error.code === "ECONNRESET" || isAnswerDue) socket.destroy();
    else refuseConnection(socket, statusOfError[error.code ?? ""] ?? 400);
  });
  // Node enforces the timeouts from the time when a server listens, which this one never does.
  server.emit("listening");

  return {
    serve: (socket, connection) => {
      pipelines.open(socket, connection);
      server.emit("connection", socket);
      useLingeringClose(socket);
    },
    drain: () => {
      draining = true;
      for (const socket of pipelines.connections) {
        const last = pipelines.last(socket);
        if (last && !last.headersSent) last.setHeader("connection", "close");
      }
    },
    closeIdle: () => {
      closingIdle = true;
      // Ends the idle connections.
      server.close();
    },
    unanswered: () => pipelines.unanswered,
  };
}

type Serve = (request: IncomingMessage, response: ServerResponse) => void;

interface Waiting {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly bytes: number;
}

/** One HTTP/1.1 connection. */
interface Pipeline {
  readonly connection: Connection;
  /** The requests that are not answered yet, in the order of their arrival. */
  readonly waiting: Waiting[];
  /** Whether the socket has the listener that `#pause` adds. */
  hasResumeListener: boolean;
}

/**
 * Serves the requests of a connection one after the other. Node would serve all that a client sends without
 * waiting for answers at once: changes would overtake each other (RFC 9112, 9.3.2), and one connection could make any
 * number of calls at a time.
 *
 * While a request waits behind another one, its connection is not read. At most one read (64 KiB) of a client that sends
 * requests and reads no answers is kept in memory; the rest stays in the buffers of TCP.
 */
class Http1Pipelines {
  readonly #serve: Serve;
  readonly #maxWaiting: number;
  readonly #connections: Connections;
  readonly #pipelines = new Map<Socket, Pipeline>();

  /** A connection on which one read brings more than `maxWaiting` requests is destroyed. */
  constructor(maxWaiting: number, connections: Connections, serve: Serve) {
    this.#maxWaiting = maxWaiting;
    this.#connections = connections;
    this.#serve = serve;
  }

  /** Begins the pipeline of a connection whose HTTP is spoken on `socket`. */
  open(socket: Socket, connection: Connection): void {
    const waiting: Waiting[] = [];
    this.#pipelines.set(socket, { connection, waiting, hasResumeListener: false });
    socket.once("close", () => this.#pipelines.delete(socket));
    connection.measure = bytesCounter(socket, waiting);
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
    if (count > this.#maxWaiting) socket.destroy();
    else if (count > 1) this.#pause(socket, pipeline);
    else {
      connection.markBusy();
      this.#serveFirst(socket, pipeline);
    }
  };

  /** The response that is being made or sent on a connection. */
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
function bytesCounter(socket: Socket, waiting: readonly Waiting[]): () => number {
  let bytesRead = 0;
  /** The bytes that were read before the incomplete body, undefined when there is none. */
  let beforeBody: number | undefined;
  return () => {
    beforeBody = waiting.at(-1)?.request.complete === false ? (beforeBody ?? bytesRead) : undefined;
    ({ bytesRead } = socket);
    const body = beforeBody === undefined ? 0 : bytesRead - beforeBody;
    return waiting.reduce((sum, { bytes }) => sum + bytes, socket.writableLength + body);
  };
}

/** How long a client may continue to send after its last answer, in milliseconds. */
const lingerMs = 1_000;
/** How much it may send in that time, in bytes: what was in transit when the answer was sent. */
const lingerBytes = 256 * 1024;

/**
 * Makes the close of a connection a lingering one (RFC 9112, 9.6): after the last answer it discards what the client
 * still sends, until the client closes too. Closed at once, it would be reset, and the client might never see the answer.
 */
function useLingeringClose(socket: Socket): void {
  // Node closes a connection by this method after the last answer.
  socket.destroySoon = () => {
    if (!socket.writable) return;
    socket.end();
    let left = lingerBytes;
    // Nothing that comes now is a request.
    socket.removeAllListeners("data").on("data", (chunk) => {
      left -= chunk.length;
      if (left < 0) socket.destroy();
    });
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), lingerMs);
    socket.once("end", () => socket.destroy()).once("close", () => clearTimeout(timer));
  };
}
