import type { Socket } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import type { Certificates, TlsMaterial } from "./certificates.ts";
import { detectProtocol, type OnProtocol } from "./detect-protocol.ts";
import type { ListenerLimits } from "./listener-limits.ts";

interface TlsTerminatorOptions {
  readonly certificates: Certificates;
  /** Whether clients must present a certificate that is signed by the client CA. */
  readonly demandsClients: boolean;
  readonly limits: ListenerLimits;
}

/**
 * Returns the function that makes the TLS handshake of an accepted connection and detects its protocol by ALPN
 * (RFC 7301); a client without ALPN speaks HTTP/1.1. A connection whose handshake fails is destroyed. After a change of
 * the certificate new handshakes use the new one; open connections stay as they are.
 */
export function createTlsTerminator({ certificates, demandsClients, limits }: TlsTerminatorOptions) {
  const pending = new Map<string, OnProtocol>();
  const context = ({ cert, key, clientCa }: TlsMaterial) => ({
    cert,
    key,
    minVersion: "TLSv1.2" as const,
    ...(demandsClients && clientCa !== undefined ? { ca: clientCa } : {}),
  });
  // It has no port of its own: connections are passed to it.
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
    const onProtocol = pending.get(endsOf(socket));
    if (onProtocol === undefined) socket.destroy();
    else if (socket.alpnProtocol === "h2") onProtocol("http2", socket);
    else detectProtocol(socket, limits, () => onProtocol("http1", socket));
  });

  return (socket: Socket, onProtocol: OnProtocol): void => {
    const ends = endsOf(socket);
    pending.set(ends, onProtocol);
    socket.once("close", () => {
      if (pending.get(ends) === onProtocol) pending.delete(ends);
    });
    server.emit("connection", socket);
  };
}

/** Identifies a connection by both of its ends, which are the same for its raw and its TLS socket. */
function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
