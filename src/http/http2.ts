import { createServer, performServerHandshake } from "node:http2";
import type { Socket } from "node:net";
import { deferToNextTurn } from "../call/streams.ts";
import type { Connection, Connections } from "./connections.ts";
import { Http2SessionReaper } from "./http2-session-reaper.ts";
import type { ListenerLimits } from "./listener-limits.ts";
import type { RequestRouter } from "./request-router.ts";

/** The HTTP/2 side of a listener. */
export interface Http2 {
  /** Serves a connection from the first byte of a socket, which may be that of TLS on it. */
  serve(socket: Socket, connection: Connection): void;
  /** Asks every client to open no more streams (GOAWAY); a session ends with its last one. */
  drain(): void;
  /** How many streams are open. */
  unanswered(): number;
}

/** Makes an HTTP/2 server that listens nowhere: connections are handed to it. */
export function createHttp2(router: RequestRouter, limits: ListenerLimits, connections: Connections): Http2 {
  const reaper = new Http2SessionReaper(limits, connections, router.isStreaming);
  const options = {
    maxSessionMemory: limits.sessionMemoryMegabytes,
    streamResetBurst: limits.resetBurst,
    streamResetRate: limits.resetRate,
    settings: {
      maxConcurrentStreams: limits.concurrentStreams,
      maxHeaderListSize: limits.headerBytes,
    },
  };
  // Has no sessions of its own. It makes the request and response of a stream that is passed to it.
  const server = createServer((request, response) => {
    deferToNextTurn(() => {
      if (!request.stream.destroyed) router.handle(request, response);
    });
  });

  return {
    serve: (socket, connection) => {
      const session = performServerHandshake(socket, options);
      session.setLocalWindowSize(limits.windowBytes);
      // The session and its socket close after an error.
      session.on("error", () => {});
      session.on("stream", (stream, headers, flags, rawHeaders) => {
        if (!reaper.follow(stream, headers, rawHeaders)) return;
        if (!router.takeStream(stream, headers)) server.emit("stream", stream, headers, flags, rawHeaders);
      });
      reaper.add(session, socket, connection);
    },
    drain: () => reaper.drain(),
    unanswered: () => reaper.openStreams(),
  };
}
