import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import type { Logger } from "pino";
import type { Certificates } from "./certificates.ts";
import { Connections } from "./connections.ts";
import { detectProtocol, type OnProtocol } from "./detect-protocol.ts";
import { createHttp1 } from "./http1.ts";
import { createHttp2 } from "./http2.ts";
import type { ListenerLimits } from "./listener-limits.ts";
import type { RequestRouter } from "./request-router.ts";
import { createTlsTerminator } from "./tls-terminator.ts";

/** A port that is open. */
export interface Listener {
  readonly port: number;
  readonly url: string;
  /** Connections that are open. */
  connections(): number;
  /** Connections that were refused because too many were open, and none of them idle. */
  refusedConnections(): number;
  /** Connections that were closed to make room for new ones, and for the memory that they took. */
  evictedConnections(): Readonly<{ idle: number; memory: number }>;
  /**
   * Accepts no more connections, ends the idle ones, and lets the calls in flight finish for `graceMs`
   * milliseconds, then destroys what is left. Resolves when every connection is gone. May be called again, with
   * less grace.
   */
  close(graceMs: number): Promise<void>;
  /** How many calls wait for their answers, or for a part of them. */
  unanswered(): number;
}

interface ListenOptions {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly router: RequestRouter;
  readonly limits: ListenerLimits;
  readonly log: Logger;
  /** What TLS is spoken with; undefined for plaintext. */
  readonly tls?: ListenTls | undefined;
}

/** How a listener speaks TLS. */
export interface ListenTls {
  readonly certificates: Certificates;
  /** Only clients whose certificate is signed by the client CA get through. */
  readonly demandsClients: boolean;
}

/** How soon TCP asks a silent peer whether it still lives, in milliseconds. */
const keepAliveProbeMs = 60_000;

/**
 * Opens a port that speaks HTTP/1.1 and HTTP/2; without TLS a connection's first bytes tell which, with TLS its
 * ALPN.
 */
export async function listen({ host, port, router, limits, log, tls }: ListenOptions): Promise<Listener> {
  const connections = new Connections(limits, log);
  const http1 = createHttp1(router, limits, connections);
  const http2 = createHttp2(router, limits, connections);
  const undecided = new Set<Socket>();
  const begin =
    tls === undefined
      ? (socket: Socket, decided: OnProtocol) => detectProtocol(socket, limits, decided)
      : createTlsTerminator({ ...tls, limits });

  const server = createServer(
    { noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveProbeMs },
    (socket) => {
      socket.on("error", () => socket.destroy());
      const connection = connections.add(socket);
      if (connection === undefined) return;
      undecided.add(socket);
      socket.once("close", () => undecided.delete(socket));
      begin(socket, (protocol, spoken) => {
        undecided.delete(socket);
        (protocol === "http2" ? http2 : http1).serve(spoken, connection);
      });
    },
  );
  server.listen(port, host);
  await once(server, "listening");
  // A failing accept, for want of file descriptors say, must not end the process.
  server.on("error", (err) => log.error({ err }, "a connection could not be accepted"));
  const closed = new Promise((resolve) => server.once("close", resolve));
  const address = server.address() as AddressInfo;
  const name = address.family === "IPv6" ? `[${address.address}]` : address.address;

  return {
    port: address.port,
    url: `${tls === undefined ? "http" : "https"}://${name}:${address.port}`,
    connections: () => connections.size,
    refusedConnections: () => connections.refused,
    evictedConnections: () => connections.evicted,
    close: async (graceMs) => {
      if (server.listening) {
        server.close();
        http1.drain();
        http2.drain();
      }
      const linger = setTimeout(
        () => {
          for (const socket of undecided) socket.destroy();
          http1.closeIdle();
        },
        Math.min(limits.drainIdleMs, graceMs),
      );
      const grace = setTimeout(() => {
        for (const socket of connections.sockets) socket.destroy();
      }, graceMs);
      await closed;
      clearTimeout(linger);
      clearTimeout(grace);
      http1.closeIdle();
    },
    unanswered: () => http1.unanswered() + http2.unanswered(),
  };
}
