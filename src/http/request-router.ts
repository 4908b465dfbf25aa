import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Logger } from "pino";
import type { CallPipeline } from "../call/pipeline.ts";
import { requestIdHeader, requestIdOf } from "../call/request-id.ts";
import { grpcUnary } from "../grpc/unary.ts";
import { anyAuthority, authorityCheck } from "./authority.ts";
import { connectHandlers, type RpcOptions, serveConnect } from "./connect-handlers.ts";
import { type Cors, noCors } from "./cors.ts";
import { clampTimeout } from "./deadlines.ts";
import type { HeaderList } from "./default-headers.ts";
import {
  answerBroken,
  answerFailure,
  answerUnimplemented,
  type HttpRequest,
  type HttpResponse,
} from "./plain-responses.ts";

/** Answers one request, now or later. */
export type Handle = (request: HttpRequest, response: HttpResponse) => unknown;

/** What a listener does with what arrives. */
export interface RequestRouter {
  /** Answers a request. Never throws or rejects. */
  readonly handle: (request: HttpRequest, response: HttpResponse) => void;
  /** Takes an HTTP/2 stream that needs no request and response objects, or leaves it and returns false. */
  readonly takeStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean;
  /** Counts a request that HTTP itself refuses, by the status of its answer. */
  readonly refused: (status: number) => void;
  /** Whether a request to a path may take as long as its client likes to be complete. */
  readonly mayStayOpen: (path: string) => boolean;
  /** The headers of every answer to a request; without one, of an answer to bytes that are no request. */
  readonly headersFor: (request?: HttpRequest) => HeaderList;
}

/** How much is logged of a header or a path that is refused. */
const loggedLength = 100;

interface FrontOptions {
  readonly calls: CallPipeline;
  readonly rpc: RpcOptions;
  /** Answers whatever is no RPC. */
  readonly otherwise: Handle;
  readonly log: Logger;
  /** Serves unary gRPC without Connect's pipeline; with the same answers, several times faster. */
  readonly fastPath: boolean;
  /** What every answer says, unless it has another value for it. */
  readonly headers?: HeaderList;
  /** What browsers are told of other origins. */
  readonly cors?: Cors;
  /** The HTTP methods that `otherwise` serves at a path. */
  readonly methodsAt?: (path: string) => readonly string[];
  /** Sets the path prefix of a request. */
  readonly setPrefix?: (request: HttpRequest) => void;
}

/** Puts the calls over Connect, gRPC-Web and gRPC before everything else that a listener answers. */
export function createRequestRouter({
  calls,
  rpc,
  otherwise,
  log,
  fastPath,
  headers = [],
  cors = noCors,
  methodsAt = () => [],
  setPrefix = () => {},
}: FrontOptions): RequestRouter {
  const handlers = connectHandlers(calls, rpc);
  const unary = { ...rpc, responseHeaders: Object.fromEntries(headers) };
  const serveUnary = fastPath ? grpcUnary(calls, unary, log) : () => false;
  const isAuthority = authorityCheck();

  const standing = (request: HttpRequest): HeaderList => {
    // gRPC answers carry the id only when they fail: every header of an answer costs time.
    if (request.headers["content-type"]?.startsWith("application/grpc")) return headers;
    const id = requestIdOf(request.headers[requestIdHeader]);
    // For the log.
    request.headers[requestIdHeader] = id;
    return [...headers, [requestIdHeader, id]];
  };

  const refuse = (response: HttpResponse, status: number): void => {
    calls.refused("http", status);
    answerFailure(response, status);
  };

  const refuseHost = (request: HttpRequest, response: HttpResponse): void => {
    const host = authorityOf(request)?.slice(0, loggedLength);
    const path = request.url?.slice(0, loggedLength);
    log.info({ host, path }, "a request was refused for its Host header");
    refuse(response, 400);
  };

  const answer = async (request: HttpRequest, response: HttpResponse): Promise<void> => {
    setPrefix(request);
    const path = pathOf(request);
    const handler = handlers.get(path);
    for (const [name, value] of standing(request)) response.setHeader(name, value);
    if (cors.answerPreflight(request, response, () => handler?.allowedMethods ?? methodsAt(path))) return;
    for (const [name, value] of cors.headersFor(request)) response.setHeader(name, value);
    if (handler !== undefined) {
      if (!isAuthority(authorityOf(request))) return refuseHost(request, response);
      clampTimeout(request.headers);
      return serveConnect(handler, request, response, { calls, log });
    }
    const contentType = request.headers["content-type"] ?? "";
    if (contentType.startsWith("application/grpc")) {
      calls.refused(contentType.startsWith("application/grpc-web") ? "grpc-web" : "grpc", 501);
      return answerUnimplemented(response, contentType);
    }
    // RFC 9112, 3.2. HTTP/1.0 knows no Host.
    if (authorityOf(request) === undefined && request.httpVersion !== "1.0")
      return refuseHost(request, response);
    await otherwise(request, response);
  };

  return {
    handle: (request, response) => {
      answer(request, response).catch((failure) => {
        log.error({ err: failure }, "a request could not be answered");
        answerBroken(response);
      });
    },
    takeStream: (stream, headers) => {
      if (!isAuthority(headers[":authority"] ?? headers.host)) headers[":authority"] = anyAuthority;
      // Browsers cannot read gRPC's trailers. What one sends nevertheless is a matter of CORS.
      if (headers.origin !== undefined) return false;
      clampTimeout(headers);
      return serveUnary(stream, headers);
    },
    refused: (status) => calls.refused("http", status),
    mayStayOpen: (path) => {
      const kind = handlers.get(path)?.method.methodKind;
      return kind === "client_streaming" || kind === "bidi_streaming" || kind === "server_streaming";
    },
    headersFor: (request) =>
      request === undefined
        ? [...headers, [requestIdHeader, requestIdOf(undefined)]]
        : [...standing(request), ...cors.headersFor(request)],
  };
}

/** The path of a request, without its query. */
export function pathOf(request: HttpRequest): string {
  const url = request.url ?? "";
  const end = url.indexOf("?");
  return end < 0 ? url : url.slice(0, end);
}

function authorityOf(request: HttpRequest): string | undefined {
  return "authority" in request ? request.authority : request.headers.host;
}
