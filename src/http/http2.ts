import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { deferToNextTurn } from "../grpc/defer-to-next-turn.ts";
import type { Connection, Connections } from "./connections.ts";
import { Http2SessionReaper } from "./http2-session-reaper.ts";
import type { ListenerLimits } from "./listener-limits.ts";
import type { RequestRouter } from "./request-router.ts";

/** The HTTP/2 side of a listener. */
export interface Http2 {
  /** Serves a connection from the first byte of a socket, which may be that of TLS on it. */
  serve(socket: Socket, connection: Connection): void;
  /** Tells every client to open no more streams (GOAWAY); a session ends with its last one. */
  drain(): void;
  /** How many streams are open. */
  unanswered(): number;
}

/** Makes an HTTP/2 server that listens nowhere: connections are handed to it. */
export function createHttp2(front: RequestRouter, limits: ListenerLimits, connections: Connections): Http2 {
  const watch = new Http2SessionReaper(limits, connections, front.mayStayOpen);
  const server = createServer(
    {
      maxSessionMemory: limits.sessionMegabytes,
      streamResetBurst: limits.resetBurst,
      streamResetRate: limits.resetRate,
      settings: {
        maxConcurrentStreams: limits.concurrentStreams,
        maxHeaderListSize: limits.headerBytes,
      },
    },
    (request, response) => {
      deferToNextTurn(() => {
        if (!request.stream.destroyed) front.handle(request, response);
      });
    },
  );
  // Node answers each stream by a listener of its own, which makes the request and response objects. Stand before it.
  const [compat] = server.listeners("stream");
  if (compat === undefined) throw new Error("this version of Node serves HTTP/2 requests in another way");
  server.removeAllListeners("stream");
  server.on(
    "stream",
    (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, rawHeaders: string[]) => {
      if (!watch.follow(stream, headers, rawHeaders)) return;
      if (!front.takeStream(stream, headers)) compat.call(server, stream, headers, flags, rawHeaders);
    },
  );

  return {
    serve: (socket, connection) => {
      // Node makes the session of a connection at once.
      server.once("session", (session) => {
        session.setLocalWindowSize(limits.windowBytes);
        watch.add(session, socket, connection);
      });
      server.emit("connection", socket);
    },
    drain: () => watch.drain(),
    unanswered: () => watch.openStreams(),
  };
}
