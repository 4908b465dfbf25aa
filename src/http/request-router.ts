import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import type { Logger } from "pino";
import type { CallPipeline } from "../call/pipeline.ts";
import { requestIdHeader, requestIdOf } from "../call/request-headers.ts";
import { grpcUnary } from "../grpc/unary.ts";
import { connectHandlers, type RpcOptions, serveConnect } from "./connect-handlers.ts";
import { type Cors, noCors } from "./cors.ts";
import { anyAuthority, authorityCheck, authorityOf, clampTimeout, pathOf } from "./normalize-request.ts";
import {
  type HeaderList,
  type HttpRequest,
  type HttpResponse,
  type PlainFailures,
  sendUnimplemented,
} from "./plain-responses.ts";

/** Answers one request, now or later. */
export type Handle = (request: HttpRequest, response: HttpResponse) => unknown;

/** What is served for GET and HEAD, by its path. */
export type Resources = ReadonlyMap<string, Handle>;

/** What a listener does with what arrives. */
export interface RequestRouter {
  /** Answers a request. Never throws or rejects. */
  readonly handle: (request: HttpRequest, response: HttpResponse) => void;
  /** Takes an HTTP/2 stream that needs no request and response objects, or leaves it and returns false. */
  readonly takeStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean;
  /** Counts a request that HTTP itself refuses, by the status of its answer. */
  readonly countRefusal: (status: number) => void;
  /** Whether a path is that of a streaming method: its request may take as long as its client likes to be complete. */
  readonly isStreaming: (path: string) => boolean;
  /** The headers of every answer to a request; without one, of an answer to bytes that are no request. */
  readonly headersFor: (request?: HttpRequest) => HeaderList;
  /** Answers what HTTP itself refuses. */
  readonly failures: PlainFailures;
}

/** How much is logged of a header or a path that is refused. */
const loggedLength = 100;

interface RequestRouterOptions {
  readonly calls: CallPipeline;
  readonly rpc: RpcOptions;
  readonly resources?: Resources;
  /** Answers whatever is neither an RPC nor a resource. */
  readonly fallback: Handle;
  /** The HTTP methods that `fallback` serves at a path. */
  readonly methodsAt?: (path: string) => readonly string[];
  readonly failures: PlainFailures;
  readonly log: Logger;
  /** Serves unary gRPC without Connect's pipeline: with the same answers, several times faster. */
  readonly fastPath: boolean;
  /** The headers of every answer, unless it has other values for them. */
  readonly headers?: HeaderList;
  readonly cors?: Cors;
  /** Sets the path prefix of a request. */
  readonly setPrefix?: (request: HttpRequest) => void;
}

/** Makes the router of a listener that serves calls: by the path of a request, to Connect, a resource or `fallback`. */
export function createRequestRouter({
  calls,
  rpc,
  resources = new Map(),
  fallback,
  methodsAt = () => [],
  failures,
  log,
  fastPath,
  headers = [],
  cors = noCors,
  setPrefix = () => {},
}: RequestRouterOptions): RequestRouter {
  const handlers = connectHandlers(calls, rpc);
  const unary = { ...rpc, responseHeaders: Object.fromEntries(headers) };
  const serveUnary = fastPath ? grpcUnary(calls, unary, log) : () => false;
  const isAuthority = authorityCheck();
  const services = { calls, failures, log };

  const defaultHeaders = (request: HttpRequest): HeaderList => {
    // gRPC answers carry the id only when they fail: every header of an answer costs time.
    if (request.headers["content-type"]?.startsWith("application/grpc")) return headers;
    const id = requestIdOf(request.headers[requestIdHeader]);
    // For the log.
    request.headers[requestIdHeader] = id;
    return [...headers, [requestIdHeader, id]];
  };

  const refuseHost = (request: HttpRequest, response: HttpResponse): void => {
    const host = authorityOf(request)?.slice(0, loggedLength);
    const path = request.url?.slice(0, loggedLength);
    log.info({ host, path }, "a request was refused for its Host header");
    calls.countRejected("http", 400);
    failures.send(response, 400);
  };

  const handleRpc = (handler: UniversalHandler, request: HttpRequest, response: HttpResponse) => {
    if (!isAuthority(authorityOf(request))) return refuseHost(request, response);
    clampTimeout(request.headers);
    return serveConnect(handler, request, response, services);
  };

  const handlePlain = (path: string, request: HttpRequest, response: HttpResponse) => {
    const contentType = request.headers["content-type"] ?? "";
    if (contentType.startsWith("application/grpc")) {
      calls.countRejected(contentType.startsWith("application/grpc-web") ? "grpc-web" : "grpc", 501);
      return sendUnimplemented(response, contentType);
    }
    // RFC 9112, 3.2. HTTP/1.0 knows no Host.
    if (authorityOf(request) === undefined && request.httpVersion !== "1.0")
      return refuseHost(request, response);
    // The root has no content of its own: it only leads to the page.
    const resource = path === "/" && !isRead(request) ? undefined : resources.get(path);
    return resource === undefined
      ? fallback(request, response)
      : handleResource(resource, failures, request, response);
  };

  const route = async (request: HttpRequest, response: HttpResponse): Promise<void> => {
    setPrefix(request);
    const path = pathOf(request);
    const handler = handlers.get(path);
    for (const [name, value] of defaultHeaders(request)) response.setHeader(name, value);
    if (cors.answerPreflight(request, response, () => handler?.allowedMethods ?? methodsAt(path))) return;
    for (const [name, value] of cors.headersFor(request)) response.setHeader(name, value);
    await (handler === undefined
      ? handlePlain(path, request, response)
      : handleRpc(handler, request, response));
  };

  return {
    handle: caught(route, failures, log),
    takeStream: (stream, headers) => {
      if (!isAuthority(headers[":authority"] ?? headers.host)) headers[":authority"] = anyAuthority;
      // Browsers cannot read gRPC's trailers. What one sends nevertheless is a matter of CORS.
      if (headers.origin !== undefined) return false;
      clampTimeout(headers);
      return serveUnary(stream, headers);
    },
    countRefusal: (status) => calls.countRejected("http", status),
    isStreaming: (path) => {
      const kind = handlers.get(path)?.method.methodKind;
      return kind === "client_streaming" || kind === "bidi_streaming" || kind === "server_streaming";
    },
    headersFor: (request) =>
      request === undefined
        ? [...headers, [requestIdHeader, requestIdOf(undefined)]]
        : [...defaultHeaders(request), ...cors.headersFor(request)],
    failures,
  };
}

/** Makes the router of a listener that serves resources alone. Nothing of it may be cached. */
export function createResourceRouter(
  resources: Resources,
  failures: PlainFailures,
  log: Logger,
): RequestRouter {
  const route: Handle = async (request, response) => {
    response.setHeader("cache-control", "no-store");
    const resource = resources.get(pathOf(request));
    if (resource === undefined) failures.send(response, 404);
    else await handleResource(resource, failures, request, response);
  };
  return {
    handle: caught(route, failures, log),
    takeStream: () => false,
    countRefusal: () => {},
    isStreaming: () => false,
    headersFor: () => [],
    failures,
  };
}

/** Serves a resource, for GET and HEAD. */
function handleResource(
  resource: Handle,
  failures: PlainFailures,
  request: HttpRequest,
  response: HttpResponse,
): unknown {
  if (isRead(request)) return resource(request, response);
  return failures.send(response, 405, [["allow", "GET, HEAD"]]);
}

function isRead({ method }: HttpRequest): boolean {
  return method === "GET" || method === "HEAD";
}

function caught(route: Handle, failures: PlainFailures, log: Logger): RequestRouter["handle"] {
  return async (request, response) => {
    try {
      await route(request, response);
    } catch (err) {
      log.error({ err }, "a request could not be answered");
      failures.sendBroken(response);
    }
  };
}
