import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";

/** Makes the URLs of calls as `URL` spells them. Remembers the last origin: a client sends the same every time. */
export function urlMaker(): (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => string {
  let last: string | undefined;
  let origin = "";
  return ({ session }, { ":authority": authority, host, ":path": path }) => {
    // As Connect does: what the client says of the scheme is worth nothing.
    const named = `${session?.encrypted ? "https" : "http"}://${authority ?? host ?? ""}`;
    if (named !== last) {
      origin = new URL(named).origin;
      last = named;
    }
    return `${origin}${path}`;
  };
}

/** Copies the headers that a handler set, if it did. */
export function copyHeaders(from: Headers | undefined, to: OutgoingHttpHeaders): OutgoingHttpHeaders {
  from?.forEach((value, name) => {
    // The one header that may not be joined with commas (RFC 9110, 5.3).
    to[name] = name === "set-cookie" ? from.getSetCookie() : value;
  });
  return to;
}

/** What the handler of a call is told whose stream has closed before its answer. */
export function cancellation(stream: ServerHttp2Stream): ConnectError {
  return new ConnectError(`the stream was closed with HTTP/2 error code ${stream.rstCode}`, Code.Canceled);
}
