import type { Socket } from "node:net";
import type { ListenerLimits } from "./listener-limits.ts";

/** What a client speaks. */
export type Protocol = "http1" | "http2";

/** Called once with the protocol of a connection and the socket that speaks it. */
export type OnProtocol = (protocol: Protocol, socket: Socket) => void;

/** How the preface of HTTP/2 begins (RFC 9113, 3.4). No method of HTTP/1.1 does. */
const prefaceStart = Buffer.from("PRI ");

/** Detects a protocol by its first bytes; undefined when there are too few of them. */
export function protocolOf(head: Buffer): Protocol | undefined {
  const seen = Math.min(head.length, prefaceStart.length);
  if (prefaceStart.compare(head, 0, seen, 0, seen) !== 0) return "http1";
  return seen === prefaceStart.length ? "http2" : undefined;
}

/**
 * Waits for the bytes that identify the protocol of a connection, puts them back and calls `onProtocol`. Destroys a connection
 * that sends nothing for `keepAliveMs`, or does not complete them within `handshakeMs` of the first.
 */
export function detectProtocol(
  socket: Socket,
  { keepAliveMs, handshakeMs }: Pick<ListenerLimits, "keepAliveMs" | "handshakeMs">,
  onProtocol: OnProtocol,
): void {
  let head = Buffer.alloc(0);
  let timer = setTimeout(() => socket.destroy(), keepAliveMs);
  const stop = () => {
    clearTimeout(timer);
    socket.off("readable", read);
    socket.off("close", stop);
  };
  const read = () => {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) return;
    if (head.length === 0) {
      clearTimeout(timer);
      timer = setTimeout(() => socket.destroy(), handshakeMs);
    }
    head = Buffer.concat([head, chunk]);
    const protocol = protocolOf(head);
    if (protocol === undefined) return;
    stop();
    socket.unshift(head);
    onProtocol(protocol, socket);
  };
  socket.on("readable", read);
  socket.on("close", stop);
}
