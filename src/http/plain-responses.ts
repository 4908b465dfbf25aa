import type { IncomingMessage, ServerResponse } from "node:http";
import { constants, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { requestIdHeader } from "../call/request-headers.ts";

/** A request of either version of HTTP. */
export type HttpRequest = IncomingMessage | Http2ServerRequest;
/** A response of either version of HTTP. */
export type HttpResponse = ServerResponse | Http2ServerResponse;

/** Headers in the order in which they go out. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

/**
 * The default headers of the public listener: an answer is data for the client that asked, and for nothing that a
 * browser could be made to do with it (OWASP REST Security). Over TLS browsers must never come back without (RFC 6797).
 */
export function securityHeaders(secure: boolean): HeaderList {
  return [
    ["x-content-type-options", "nosniff"],
    ["cache-control", "no-store"],
    ["content-security-policy", "default-src 'none'; frame-ancestors 'none'"],
    ["cross-origin-resource-policy", "same-origin"],
    ["referrer-policy", "no-referrer"],
    ...(secure ? [["strict-transport-security", "max-age=31536000"] as const] : []),
  ];
}

/** The names of the default headers: an answer that replaces another one keeps them. */
const defaultHeaderNames: ReadonlySet<string> = new Set([
  ...securityHeaders(true).map(([name]) => name),
  "access-control-allow-origin",
  "access-control-expose-headers",
  "vary",
  requestIdHeader,
]);

/** The answer to a request that reaches no method. */
interface FailureReply {
  readonly contentType: string;
  readonly headers: HeaderList;
  readonly body: string;
}

/** Renders a failure by its HTTP status. */
export type RenderFailure = (status: number) => FailureReply;

/** Answers the requests that reach no method, in the format that it is made with. */
export class PlainFailures {
  readonly #render: RenderFailure;

  constructor(render: RenderFailure) {
    this.#render = render;
  }

  /** Answers a failure. Does nothing when the response has begun. */
  send(response: HttpResponse, status: number, headers: HeaderList = []): void {
    if (response.headersSent) return;
    const reply = this.#render(status);
    sendText(response, status, reply.contentType, reply.body, [...reply.headers, ...headers]);
  }

  /** Answers 500 in place of what could not be answered, or breaks the response off when it has begun. */
  sendBroken(response: HttpResponse): void {
    if (response.headersSent) {
      breakOff(response);
      return;
    }
    for (const name of response.getHeaderNames())
      if (!defaultHeaderNames.has(name)) response.removeHeader(name);
    this.send(response, 500);
  }

  /** The last response of an HTTP/1.1 connection as text, for what Node has no response object for. */
  toHttp1(status: number, phrase: string | undefined, headers: HeaderList): string {
    const reply = this.#render(status);
    const lines = [
      ...headers,
      ["content-type", reply.contentType],
      ["content-length", Buffer.byteLength(reply.body)],
      ...reply.headers,
      ["connection", "close"],
    ].map(([name, value]) => `${name}: ${value}`);
    return [`HTTP/1.1 ${status} ${phrase}`, ...lines, "", reply.body].join("\r\n");
  }
}

/** Breaks off a response so that nobody can take it for a whole one. */
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

/** Answers with a text of a media type. */
export function sendText(
  response: HttpResponse,
  status: number,
  contentType: string,
  body: string,
  headers: HeaderList = [],
): void {
  response.statusCode = status;
  response.setHeader("content-type", contentType);
  response.setHeader("content-length", Buffer.byteLength(body));
  for (const [name, value] of headers) response.setHeader(name, value);
  response.end(body);
}

/** Answers a gRPC or gRPC-Web request for a method that does not exist: status 12 without a body. */
export function sendUnimplemented(response: HttpResponse, contentType: string): void {
  const web = contentType.startsWith("application/grpc-web");
  response.statusCode = 200;
  response.setHeader("content-type", web ? "application/grpc-web+proto" : "application/grpc+proto");
  response.setHeader("grpc-status", "12");
  response.setHeader("grpc-message", "no such method");
  response.end();
}
