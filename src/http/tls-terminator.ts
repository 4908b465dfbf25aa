import type { Socket } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import type { Certificates, TlsMaterial } from "./certificates.ts";
import { detectProtocol, type OnProtocol } from "./detect-protocol.ts";
import type { ListenerLimits } from "./listener-limits.ts";

interface HandshakeOptions {
  readonly certificates: Certificates;
  /** Only clients whose certificate is signed by the client CA get through. */
  readonly demandsClients: boolean;
  readonly limits: ListenerLimits;
}

/**
 * Makes what begins TLS on an accepted connection and tells its protocol by ALPN (RFC 7301); a client without ALPN
 * speaks HTTP/1.1. A connection whose handshake fails is destroyed. Later handshakes use the certificate of their
 * time; connections stay as they are.
 */
export function createTlsTerminator({ certificates, demandsClients, limits }: HandshakeOptions) {
  const pending = new Map<string, OnProtocol>();
  const context = ({ cert, key, clientCa }: TlsMaterial) => ({
    cert,
    key,
    minVersion: "TLSv1.2" as const,
    ...(demandsClients && clientCa !== undefined ? { ca: clientCa } : {}),
  });
  // It listens nowhere: connections are handed to it.
  const server = createServer({
    ...context(certificates.material),
    ALPNProtocols: ["h2", "http/1.1"],
    handshakeTimeout: limits.handshakeMs,
    requestCert: demandsClients,
    rejectUnauthorized: demandsClients,
  });
  certificates.onChange((material) => server.setSecureContext(context(material)));

  server.on("tlsClientError", (_error, socket) => socket.destroy());
  server.on("secureConnection", (socket: TLSSocket) => {
    socket.on("error", () => socket.destroy());
    const decided = pending.get(endsOf(socket));
    if (decided === undefined) socket.destroy();
    else if (socket.alpnProtocol === "h2") decided("http2", socket);
    else detectProtocol(socket, limits, () => decided("http1", socket));
  });

  return (socket: Socket, decided: OnProtocol): void => {
    const ends = endsOf(socket);
    pending.set(ends, decided);
    socket.once("close", () => {
      if (pending.get(ends) === decided) pending.delete(ends);
    });
    server.emit("connection", socket);
  };
}

/** Names a connection by both of its ends, which its TLS socket has in common with it. */
function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
