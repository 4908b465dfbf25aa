import { createServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { errorReasonHeader, plainFailure } from "../rest/failure.ts";
import type { Connection, Connections } from "./connections.ts";
import type { HeaderList } from "./default-headers.ts";
import { Http1Pipelines } from "./http1-pipelining.ts";
import { useLingeringClose } from "./lingering-close.ts";
import type { ListenerLimits } from "./listener-limits.ts";
import { isAmbiguous } from "./normalize-request.ts";
import { answerFailure, failureBody } from "./plain-responses.ts";
import type { RequestRouter } from "./request-router.ts";
import { toOriginForm } from "./target.ts";

/** The HTTP/1.1 side of a listener. */
export interface Http1 {
  /** Serves a connection from the first byte of a socket, which may be that of TLS on it. */
  serve(socket: Socket, connection: Connection): void;
  /** Lets no answer keep its connection open. */
  drain(): void;
  /** Closes every connection that has no request to answer, now and from now on. */
  closeIdle(): void;
  /** How many requests are not answered to their end. */
  unanswered(): number;
}

/** Makes an HTTP/1.1 server that listens nowhere: connections are handed to it. */
export function createHttp1(
  front: Pick<RequestRouter, "handle" | "headersFor" | "refused">,
  limits: ListenerLimits,
  connections: Connections,
): Http1 {
  let draining = false;
  let closingIdle = false;
  const refuseRequest = (response: ServerResponse, status: number, headers: Record<string, string> = {}) => {
    front.refused(status);
    answerFailure(response, status, { ...Object.fromEntries(front.headersFor(response.req)), ...headers });
  };
  const refuseConnection = (socket: Socket, status: number) => {
    front.refused(status);
    // The body of a request may be at fault whose headers are known.
    refuse(status, socket, front.headersFor(pipelines.current(socket)?.req));
  };
  /** The requests whose `Expect` asks for something that is not offered. */
  const unmet = new WeakSet<IncomingMessage>();
  const pipelines = new Http1Pipelines(limits.concurrentStreams, connections, (request, response) => {
    response.once("close", () => {
      if (closingIdle) server.closeIdleConnections();
    });
    if (draining && response === pipelines.last(request.socket)) response.setHeader("connection", "close");
    if (unmet.has(request)) return refuseRequest(response, 417);
    if (isAmbiguous(request)) return refuseRequest(response, 400, { connection: "close" });
    toOriginForm(request);
    front.handle(request, response);
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
    unmet.add(request);
    pipelines.add(request, response);
  });
  // Nothing is proxied here. Node would close the connection without a word.
  server.on("connect", (_request, socket: Socket) => {
    if (pipelines.current(socket) === undefined) refuseConnection(socket, 400);
    else socket.destroy();
  });
  server.on("clientError", (error: Error & { code?: string }, socket: Socket) => {
    const current = pipelines.current(socket);
    // A refusal must not follow the bytes of a response that has begun. Nor may it look like the answer to an earlier
    // request that is complete and not answered yet.
    const isTaken = current !== undefined && (current.headersSent || current.req.complete);
    if (!socket.writable || error.code === "ECONNRESET" || isTaken) socket.destroy();
    else refuseConnection(socket, statusOf[error.code ?? ""] ?? 400);
  });
  // Node starts to enforce the timeouts when a server begins to listen, which this one never does.
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

const statusOf: Record<string, number> = {
  ERR_HTTP_REQUEST_TIMEOUT: 408,
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
};

/** Answers what reaches no response of Node's, and closes the connection. */
function refuse(status: number, socket: Socket, headers: HeaderList): void {
  const body = failureBody(status);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    ...headers.map(([name, value]) => `${name}: ${value}`),
    "content-type: application/json; charset=utf-8",
    `content-length: ${Buffer.byteLength(body)}`,
    `${errorReasonHeader}: ${plainFailure(status).reason}`,
    "connection: close",
  ];
  socket.write(`${head.join("\r\n")}\r\n\r\n${body}`);
  socket.destroySoon();
}
