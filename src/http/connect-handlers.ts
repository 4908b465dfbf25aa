import { Code, ConnectError, createConnectRouter, createContextValues } from "@connectrpc/connect";
import type { Compression, UniversalHandler, UniversalServerResponse } from "@connectrpc/connect/protocol";
import {
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type { Logger } from "pino";
import type { CallPipeline } from "../call/pipeline.ts";
import { peerKey } from "../call/rate-limits/client-address.ts";
import { completeStatus, trailersOnly } from "../grpc/status.ts";
import { copyHeaders } from "../grpc/unary-http.ts";
import { isWebText, toBinaryRequest, toTextResponse } from "./grpc-web-text.ts";
import type { HttpRequest, HttpResponse, PlainFailures } from "./plain-responses.ts";

/** How a listener speaks to RPC clients. */
export interface RpcOptions {
  /** The most bytes of a request message, after decompression. */
  readonly readMaxBytes: number;
  /**
   * Compressions that are spoken. A body is decompressed up to `readMaxBytes` once its sender is admitted; where
   * anyone may connect it is not worth the risk.
   */
  readonly acceptCompression: Compression[];
  /** The least bytes of a response message that are compressed. */
  readonly compressMinBytes: number;
}

/** The RPC options of the listener for other services. */
export const internalRpc = { acceptCompression: [compressionGzip], compressMinBytes: 1024 };
/** The RPC options of the listener for everyone. */
export const publicRpc = { acceptCompression: [], compressMinBytes: 1024 };

/** Builds the handlers that serve Connect, gRPC and gRPC-Web, by their path. */
export function connectHandlers(
  calls: CallPipeline,
  options: RpcOptions,
): ReadonlyMap<string, UniversalHandler> {
  const router = createConnectRouter({
    ...options,
    // Connect drops unknown fields unless told. Here they are refused, as over REST.
    jsonOptions: { ignoreUnknownFields: false },
    interceptors: calls.interceptors,
    requestGate: calls.admitUnlessFull,
    ...(calls.shutdownSignal === undefined ? {} : { shutdownSignal: calls.shutdownSignal }),
  });
  calls.routes(router);
  return new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
}

interface ServeOptions {
  readonly calls: CallPipeline;
  readonly failures: PlainFailures;
  readonly log: Logger;
}

/**
 * Serves one request by a handler of Connect; the work of `connectNodeAdapter`, which would throw what goes wrong
 * here out of the process or print it to the console. Never throws or rejects.
 */
export async function serveConnect(
  handler: UniversalHandler,
  request: HttpRequest,
  response: HttpResponse,
  { calls, failures, log }: ServeOptions,
): Promise<void> {
  try {
    const values = createContextValues().set(peerKey, () => request.socket?.remoteAddress);
    const asked = universalRequestFromNodeRequest(request, response, undefined, values);
    const answer = isWebText(request.headers["content-type"])
      ? toTextResponse(await handler(toBinaryRequest(asked)))
      : await handler(asked);
    if (answer.status >= 400 && answer.body === undefined) {
      calls.refused("http", answer.status);
      refuse(handler, answer.status, response, failures);
    } else if (answer.trailer !== undefined) await respondGrpc(answer, answer.trailer, response);
    else await universalResponseToNodeResponse(answer, response);
  } catch (failure) {
    if (ConnectError.from(failure).code === Code.Aborted) return;
    log.error({ err: failure, path: handler.requestPath }, "an RPC could not be answered");
    failures.sendBroken(response);
  }
}

/** Writes an answer of Connect's gRPC handler, with the status as gRPC clients read it best. */
async function respondGrpc(
  answer: UniversalServerResponse,
  trailer: Headers,
  response: HttpResponse,
): Promise<void> {
  // Connect has waited for the first message: a status that is set by now is that of a failure without one.
  if (trailer.get("grpc-status") === "0") {
    return await universalResponseToNodeResponse(
      {
        ...answer,
        // Read after the last message.
        get trailer() {
          completeStatus(trailer);
          return trailer;
        },
      },
      response,
    );
  }
  completeStatus(trailer);
  response.statusCode = answer.status;
  const headers = copyHeaders(trailersOnly(answer.header, trailer), {});
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined) response.setHeader(name, value);
  response.end();
}

/** Answers what Connect refuses before there is a call: a wrong method, media type or HTTP version. */
function refuse(
  handler: UniversalHandler,
  status: number,
  response: HttpResponse,
  failures: PlainFailures,
): void {
  failures.send(response, status, [
    ...(status === 405 ? [["allow", handler.allowedMethods.join(", ")] as const] : []),
    // A client that expects both directions at once of HTTP/1.1 would wait for ever.
    ...(status === 505 ? [["connection", "close"] as const] : []),
  ]);
}
