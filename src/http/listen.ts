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
  /** Connections that were refused because too many were open, none of them idle. */
  refusedConnections(): number;
  /** Connections that were closed to make room for new ones, and for the memory of their requests. */
  evictedConnections(): Readonly<{ idle: number; memory: number }>;
  /**
   * Accepts no more connections, ends the idle ones, and lets calls in flight finish for `graceMs` milliseconds, then
   * destroys the remaining connections. Resolves when every connection is closed. May be called again with a shorter
   * time.
   */
  close(graceMs: number): Promise<void>;
  /** How many calls are not answered to their end. */
  unanswered(): number;
}

interface ListenOptions {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly router: RequestRouter;
  readonly limits: ListenerLimits;
  readonly log: Logger;
  /** Undefined for plaintext. */
  readonly tls?: ListenTls | undefined;
}

/** The TLS settings of a listener. */
export interface ListenTls {
  readonly certificates: Certificates;
  /** Whether clients must present a certificate that is signed by the client CA. */
  readonly demandsClients: boolean;
}

/** After how much silence TCP probes a peer, in milliseconds. */
const keepAliveProbeMs = 60_000;

/**
 * Opens a port that speaks HTTP/1.1 and HTTP/2. The first bytes of a connection tell which, with TLS its ALPN.
 */
export async function listen({ host, port, router, limits, log, tls }: ListenOptions): Promise<Listener> {
  const connections = new Connections(limits, log);
  const http1 = createHttp1(router, limits, connections);
  const http2 = createHttp2(router, limits, connections);
  const undetected = new Set<Socket>();
  const begin =
    tls === undefined
      ? (socket: Socket, onProtocol: OnProtocol) => detectProtocol(socket, limits, onProtocol)
      : createTlsTerminator({ ...tls, limits });

  const server = createServer(
    { noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveProbeMs },
    (socket) => {
      socket.on("error", () => socket.destroy());
      const connection = connections.add(socket);
      if (connection === undefined) return;
      undetected.add(socket);
      socket.once("close", () => undetected.delete(socket));
      begin(socket, (protocol, spoken) => {
        undetected.delete(socket);
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
      const idleTimer = setTimeout(
        () => {
          for (const socket of undetected) socket.destroy();
          http1.closeIdle();
        },
        Math.min(limits.drainIdleMs, graceMs),
      );
      const graceTimer = setTimeout(() => {
        for (const socket of connections.sockets) socket.destroy();
      }, graceMs);
      await closed;
      clearTimeout(idleTimer);
      clearTimeout(graceTimer);
      http1.closeIdle();
    },
    unanswered: () => http1.unanswered() + http2.unanswered(),
  };
}
