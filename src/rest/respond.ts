import type { ServerResponse } from "node:http";
import { constants, type Http2ServerResponse, type ServerHttp2Stream } from "node:http2";
import { type HttpRequest, hasNoBody } from "./body.ts";

/** A response of either version of HTTP. */
export type HttpResponse = ServerResponse | Http2ServerResponse;

/** What an answer says beside its body. */
export interface Head {
  readonly status: number;
  readonly headers: Iterable<readonly [name: string, value: string]>;
}

/**
 * Answers. When more of a body may still come than `maxUnread` bytes, it stays unread: HTTP/1.1 then closes the
 * connection (RFC 9112, 9.3), HTTP/2 resets the stream without an error (RFC 9113, 8.1).
 */
export function send(
  request: HttpRequest,
  response: HttpResponse,
  head: Head,
  body: string,
  maxUnread: number,
): void {
  if (mayExceed(request, maxUnread)) {
    if ("stream" in request) closeWhenSent(request.stream);
    else response.setHeader("connection", "close");
  }
  writeHead(response, head);
  response.setHeader("content-length", Buffer.byteLength(body));
  (response as ServerResponse).end(body);
}

/** Sets status and headers; the listener has set those of every answer. */
export function writeHead(response: HttpResponse, { status, headers }: Head): void {
  response.statusCode = status;
  for (const [name, value] of headers) response.setHeader(name, value);
  response.setHeader("content-type", "application/json; charset=utf-8");
}

/** Writes a part of a body, and waits until the client has taken enough of it. Throws the reason of `signal`. */
export async function write(response: HttpResponse, text: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if ((response as ServerResponse).write(text)) return;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = () => reject(signal.reason);
  response.once("drain", resolve);
  signal.addEventListener("abort", onAbort);
  await promise.finally(() => {
    response.off("drain", resolve);
    signal.removeEventListener("abort", onAbort);
  });
}

/** Breaks off an answer so that nobody can take it for a whole one. */
export function breakOff(response: HttpResponse): void {
  if ("stream" in response) {
    response.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    return;
  }
  const { socket } = response;
  // TLS sockets cannot be reset: there the missing last chunk tells (RFC 9112, 8).
  if (socket === null || "encrypted" in socket) response.destroy();
  else socket.resetAndDestroy();
}

/** The response of node's compatibility API finishes only when its stream has closed: hence the stream itself. */
function closeWhenSent(stream: ServerHttp2Stream): void {
  stream.once("finish", () => stream.close(constants.NGHTTP2_NO_ERROR));
}

function mayExceed(request: HttpRequest, maxUnread: number): boolean {
  if (request.complete || hasNoBody(request)) return false;
  const length = request.headers["content-length"];
  return length === undefined || Number(length) > maxUnread;
}
