import { hash } from "node:crypto";
import type { ServerResponse } from "node:http";
import { constants, type ServerHttp2Stream } from "node:http2";
import type { Writable } from "node:stream";
import { breakOff, type HttpRequest, type HttpResponse } from "../http/plain-responses.ts";
import { acceptsGzip, compress, compressInto, compressMinLength } from "./compression.ts";
import { hasNoBody } from "./request-body.ts";

/** What an answer says besides its body. */
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
  body: string | Buffer,
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

/** Answers 304: the client's copy is current (RFC 9110, 15.4.5). */
export function sendNotModified(response: HttpResponse, headers: Head["headers"]): void {
  response.statusCode = 304;
  for (const [name, value] of headers) response.setHeader(name, value);
  response.end();
}

/** Answers 204: there is no body. */
export function sendNoContent(response: HttpResponse, headers: Head["headers"]): void {
  response.statusCode = 204;
  for (const [name, value] of headers) response.setHeader(name, value);
  response.end();
}

/** Answers HEAD for a body whose length is not known before all of it is made (RFC 9110, 9.3.2). */
export function sendHead(response: HttpResponse, head: Head): void {
  varyByEncoding(response);
  writeHead(response, head);
  response.end();
}

/** A whole body in the encoding that its client prefers, and the headers that name the encoding. */
interface Encoded {
  readonly body: string | Buffer;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** Encodes a whole body: compresses a long one for clients that accept gzip. */
export async function encode(request: HttpRequest, response: HttpResponse, body: string): Promise<Encoded> {
  if (body.length < compressMinLength) return { body, headers: [] };
  varyByEncoding(response);
  if (!acceptsGzip(encodingsOf(request))) return { body, headers: [] };
  return { body: await compress(body), headers: [["content-encoding", "gzip"]] };
}

/** Begins an answer whose body is streamed through the returned stream: compressed for clients that accept gzip. */
export function begin(request: HttpRequest, response: HttpResponse, head: Head): Writable {
  const body = response as Writable;
  varyByEncoding(response);
  writeHead(response, head);
  if (!acceptsGzip(encodingsOf(request))) return body;
  response.setHeader("content-encoding", "gzip");
  (response as ServerResponse).flushHeaders();
  return compressInto(body, () => breakOff(response));
}

/** Sets status and headers; the listener has set those of every answer. */
function writeHead(response: HttpResponse, { status, headers }: Head): void {
  response.statusCode = status;
  for (const [name, value] of headers) response.setHeader(name, value);
  response.setHeader("content-type", "application/json; charset=utf-8");
}

/** Writes a part of a body, and waits until the client has taken enough of it. Throws the reason of `signal`. */
export async function write(body: Writable, text: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (body.write(text)) return;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = () => reject(signal.reason);
  body.once("drain", resolve);
  signal.addEventListener("abort", onAbort);
  await promise.finally(() => {
    body.off("drain", resolve);
    signal.removeEventListener("abort", onAbort);
  });
}

/** Adds `Vary`: the answer depends on the `Accept-Encoding` of its request. */
export function varyByEncoding(response: HttpResponse): void {
  (response as ServerResponse).appendHeader("vary", "accept-encoding");
}

function encodingsOf({ headers }: HttpRequest): string | undefined {
  return headers["accept-encoding"]?.toString();
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

/**
 * The entity tag of a reply, made of its data alone. It is weak (RFC 9110, 8.8.1): the envelope around the same data
 * may have another time.
 */
export function entityTag(data: string): string {
  return `W/"${hash("sha256", data, "base64url").slice(0, 22)}"`;
}

/** Whether an `If-None-Match` header names a tag, by weak comparison (RFC 9110, 13.1.2). */
export function matchesTag(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  const opaque = tag.replace(/^W\//, "");
  return header.trim() === "*" || (header.match(/"[^"]*"/g)?.includes(opaque) ?? false);
}
