import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { afterReads } from "../rpc/after-reads.ts";
import type { Front } from "./front.ts";
import type { Limits } from "./limits.ts";
import { SessionWatch } from "./session-watch.ts";

/** The HTTP/2 side of a listener. */
export interface Http2 {
  /** Serves a connection from its first byte. */
  serve(socket: Socket): void;
  /** Tells every client to open no more streams (GOAWAY); a session ends with its last one. */
  drain(): void;
  /** How many streams are open. */
  unanswered(): number;
}

/** Makes an HTTP/2 server that listens nowhere: connections are handed to it. */
export function createHttp2(front: Front, limits: Limits): Http2 {
  const watch = new SessionWatch(limits, front.mayStayOpen);
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
      afterReads(() => {
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
      if (!watch.follow(stream, headers)) return;
      if (!front.takeStream(stream, headers)) compat.call(server, stream, headers, flags, rawHeaders);
    },
  );
  server.on("session", (session) => {
    session.setLocalWindowSize(limits.windowBytes);
    watch.add(session);
  });

  return {
    serve: (socket) => void server.emit("connection", socket),
    drain: () => watch.drain(),
    unanswered: () => watch.openStreams(),
  };
}
