import type { IncomingMessage, ServerResponse } from "node:http";
import { constants, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { isoSeconds } from "../rest/codec.ts";
import { globe } from "../rest/envelopes.ts";
import { errorReasonHeader, plainFailure } from "../rest/failure.ts";
import { standingNames } from "./default-headers.ts";

/** A request of either HTTP version. */
export type HttpRequest = IncomingMessage | Http2ServerRequest;
/** A response of either HTTP version. */
export type HttpResponse = ServerResponse | Http2ServerResponse;

/** The body of a failure that no method answers, in the documented envelope. */
export function failureBody(status: number): string {
  return globe.failure(plainFailure(status), undefined, isoSeconds(Date.now()));
}

/** Answers a failure that no method answers. Does nothing when the response has begun. */
export function answerFailure(
  response: HttpResponse,
  status: number,
  headers?: Record<string, string>,
): void {
  if (response.headersSent) return;
  answerJson(response, status, failureBody(status), {
    [errorReasonHeader]: plainFailure(status).reason,
    ...headers,
  });
}

/** Answers 500 in place of what could not be answered, or cuts the response off when it has begun. */
export function answerBroken(response: HttpResponse): void {
  if (!response.headersSent) {
    for (const name of response.getHeaderNames()) if (!standingNames.has(name)) response.removeHeader(name);
    answerFailure(response, 500);
  } else if ("stream" in response) {
    response.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  } else {
    response.destroy();
  }
}

/** Answers that what was asked for is elsewhere, for now. */
export function answerRedirect(response: HttpResponse, location: string): void {
  response.statusCode = 302;
  response.setHeader("location", location);
  response.setHeader("content-length", 0);
  response.end();
}

/** Answers with a JSON text. */
export function answerJson(
  response: HttpResponse,
  status: number,
  body: string,
  headers?: Record<string, string>,
): void {
  answerText(response, status, "application/json; charset=utf-8", body, headers);
}

/** Answers with a text of a media type. */
export function answerText(
  response: HttpResponse,
  status: number,
  contentType: string,
  body: string,
  headers?: Record<string, string>,
): void {
  response.statusCode = status;
  response.setHeader("content-type", contentType);
  response.setHeader("content-length", Buffer.byteLength(body));
  for (const [name, value] of Object.entries(headers ?? {})) response.setHeader(name, value);
  response.end(body);
}

/** Answers a gRPC or gRPC-Web request for a method that is not there: status 12 without a body. */
export function answerUnimplemented(response: HttpResponse, contentType: string): void {
  const web = contentType.startsWith("application/grpc-web");
  response.statusCode = 200;
  response.setHeader("content-type", web ? "application/grpc-web+proto" : "application/grpc+proto");
  response.setHeader("grpc-status", "12");
  response.setHeader("grpc-message", "no such method");
  response.end();
}
