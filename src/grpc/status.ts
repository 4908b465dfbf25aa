import type { OutgoingHttpHeaders } from "node:http2";
import type { ConnectError } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";

/** Printable ASCII characters other than `%` that Connect has percent-encoded, and gRPC leaves as they are. */
const needlesslyEncoded = /%(?!25)([2-6][0-9A-F]|7[0-9A-E])/g;

/** Sets the status of a failed call in its trailers. */
export function setFailure(trailers: Headers, error: ConnectError): void {
  setTrailerStatus(trailers, error);
  completeStatus(trailers);
}

/**
 * Adapts the status that Connect has set to gRPC clients. `grpc-message` stays percent-encoded only where gRPC over
 * HTTP/2 demands it, since some clients decode nothing else. `grpc-retry-pushback-ms` repeats `retry-after` for clients
 * that retry by a service config (gRFC A6). Idempotent.
 */
export function completeStatus(trailers: Headers): void {
  const message = trailers.get("grpc-message");
  if (message?.includes("%")) trailers.set("grpc-message", message.replace(needlesslyEncoded, decodeOne));
  const seconds = trailers.get("retry-after");
  if (seconds !== null) trailers.set("grpc-retry-pushback-ms", String(Number(seconds) * 1000));
}

/**
 * The one header block of a call that fails before its first message: Trailers-Only. Headers before the trailers would
 * commit the call, and no client would retry it (gRFC A6).
 */
export function trailersOnly(header: Headers | undefined, trailer: Headers): Headers {
  const all = new Headers(header);
  // Says how messages are compressed; there are none.
  all.delete("grpc-encoding");
  for (const name of new Set(trailer.keys())) all.delete(name);
  for (const [name, value] of trailer) all.append(name, value);
  return all;
}

function decodeOne(_encoded: string, hex: string): string {
  return String.fromCharCode(Number.parseInt(hex, 16));
}

/** Copies the headers that a handler set, if it did. */
export function copyHeaders(from: Headers | undefined, to: OutgoingHttpHeaders): OutgoingHttpHeaders {
  from?.forEach((value, name) => {
    // The one header that may not be joined with commas (RFC 9110, 5.3).
    to[name] = name === "set-cookie" ? from.getSetCookie() : value;
  });
  return to;
}
