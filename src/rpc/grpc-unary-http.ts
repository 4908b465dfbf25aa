import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";

/** The headers of an HTTP/2 request without the pseudo-headers. */
export function requestHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const result: Record<string, string> = Object.create(null);
  for (const name in headers) {
    if (name.startsWith(":")) continue;
    const value = headers[name];
    if (value !== undefined) result[name] = typeof value === "string" ? value : value.join(", ");
  }
  return result;
}

/** Makes the URLs of calls as `URL` spells them. Remembers the last authority: a client sends the same every time. */
export function urlMaker(): (headers: IncomingHttpHeaders) => string {
  let lastAuthority: string | undefined;
  let origin = "";
  return ({ ":authority": authority, host, ":path": path }) => {
    const named = authority ?? host ?? "";
    if (named !== lastAuthority) {
      origin = new URL(`http://${named}`).origin;
      lastAuthority = named;
    }
    return `${origin}${path}`;
  };
}

/** Copies the headers that a handler set. */
export function copyHeaders(from: Headers, to: OutgoingHttpHeaders): OutgoingHttpHeaders {
  from.forEach((value, name) => {
    // The one header that may not be joined with commas (RFC 9110, 5.3).
    to[name] = name === "set-cookie" ? from.getSetCookie() : value;
  });
  return to;
}

/** What the handler of a call is told whose stream has closed before its answer. */
export function cancellation(stream: ServerHttp2Stream): ConnectError {
  return new ConnectError(`the stream was closed with HTTP/2 error code ${stream.rstCode}`, Code.Canceled);
}
