import { constants } from "node:http2";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createConnectRouter,
  createContextKey,
  createContextValues,
  type HandlerContext,
  type Interceptor,
  type StreamRequest,
  type StreamResponse,
  type UnaryResponse,
} from "@connectrpc/connect";
import type { Compression, UniversalHandler, UniversalServerResponse } from "@connectrpc/connect/protocol";
import {
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type { Logger } from "pino";
import { cutOffKey } from "../call/cut-off.ts";
import { overloadedError, readFailure } from "../call/errors.ts";
import type { ObservedCall } from "../call/observer.ts";
import type { CallPipeline } from "../call/pipeline.ts";
import { peerKey } from "../call/rate-limits/client-address.ts";
import { validate } from "../call/validate.ts";
import { completeStatus, copyHeaders, trailersOnly } from "../grpc/status.ts";
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

/** The call of a request that Connect serves; unset until the call has begun. */
const callKey = createContextKey<ObservedCall | undefined>(undefined, { description: "call" });

/** Builds the handlers that serve Connect, gRPC and gRPC-Web, by their path. */
export function connectHandlers(
  calls: CallPipeline,
  options: RpcOptions,
): ReadonlyMap<string, UniversalHandler> {
  const router = createConnectRouter({
    ...options,
    // Connect drops unknown fields by default. Here they are refused, as over REST.
    jsonOptions: { ignoreUnknownFields: false },
    requestGate: (context) => beforeBody(calls, context),
    interceptors: [afterBody(calls)],
    ...(calls.shutdownSignal === undefined ? {} : { shutdownSignal: calls.shutdownSignal }),
  });
  calls.routes(router);
  return new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
}

/** The steps of the call pipeline that come before the body is read. */
async function beforeBody(calls: CallPipeline, context: HandlerContext): Promise<void> {
  if (!calls.tryAdmit(context.method, context.protocolName)) throw overloadedError();
  const call = calls.begin(context);
  context.values.set(callKey, call);
  failWithSignal(call);
  try {
    await calls.authenticate(call);
  } catch (failure) {
    throw call.fail(failure);
  }
}

/**
 * Fails a call with the failure that aborts its signal. Connect aborts the signal with each failure before it writes
 * that failure, also with those of which no interceptor learns: a malformed body, an unknown compression, a deadline.
 */
function failWithSignal(call: ObservedCall): void {
  const { signal } = call.context;
  const onAbort = () => {
    const { reason } = signal;
    // Connect aborts the signal of a call that went well, too: without a reason, as it does when the client disconnects.
    if (isAbortError(reason)) return;
    const { code, rawMessage, details, metadata } = call.fail(readFailure(reason));
    // Connect writes the very error that it raised.
    if (reason instanceof ConnectError) Object.assign(reason, { code, rawMessage, details, metadata });
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort);
}

function isAbortError(reason: unknown): boolean {
  return reason instanceof DOMException && reason.name === "AbortError";
}

/** The steps of the call pipeline that come after the body was read; of a stream, while it is. */
function afterBody(calls: CallPipeline): Interceptor {
  return (next) => async (request) => {
    const call = request.contextValues.get(callKey);
    if (call === undefined) throw new Error(`${request.method} is served without a call`);
    try {
      if (request.stream) return await runStream(call, next, request);
      const response = await calls.handle(call, request.method.input, request.message, () => next(request));
      // Afterwards Connect would fail the call without aborting the signal once more.
      if (request.signal.aborted) throw request.signal.reason;
      return response;
    } catch (failure) {
      throw call.fail(failure);
    }
  };
}

/** Runs the handler of a stream. It fails while its messages are read, after `next` has returned. */
async function runStream(
  call: ObservedCall,
  next: Parameters<Interceptor>[0],
  request: StreamRequest,
): Promise<UnaryResponse | StreamResponse> {
  const { methodKind, input } = request.method;
  // The messages of a client's stream are for its handler to judge one by one.
  const given = methodKind === "server_streaming" ? validated(request.message, input) : request.message;
  const message = mapErrors(given, readFailure);
  const response = await call.run(() => next({ ...request, message }));
  if (!response.stream) return response;
  return { ...response, message: mapErrors(response.message, (failure) => call.fail(failure)) };
}

/** Messages, of which the first one that breaks the rules of its definition fails the call. */
async function* validated<Desc extends DescMessage>(
  messages: AsyncIterable<MessageShape<Desc>>,
  schema: Desc,
): AsyncIterable<MessageShape<Desc>> {
  for await (const message of messages) {
    validate(schema, message);
    yield message;
  }
}

async function* mapErrors<T>(
  messages: AsyncIterable<T>,
  map: (failure: unknown) => unknown,
): AsyncIterable<T> {
  try {
    yield* messages;
  } catch (failure) {
    throw map(failure);
  }
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
  const values = createContextValues().set(peerKey, () => request.socket?.remoteAddress);
  values.set(cutOffKey, (failure) => {
    values.get(callKey)?.cutOff(failure);
    reset(response);
  });
  try {
    const asked = universalRequestFromNodeRequest(request, response, undefined, values);
    asked.body = untilCancelled(asked.body as AsyncIterable<Uint8Array>, () => values.get(callKey));
    const end = () => endCall(values.get(callKey), asked.signal);
    const isText = isWebText(request.headers["content-type"]);
    const answer = await handler(isText ? toBinaryRequest(asked) : asked);
    if (answer.status >= 400 && answer.body === undefined) {
      calls.countRejected("http", answer.status);
      return refuse(handler, answer.status, response, failures);
    }
    // The reply of a unary call is there before any of it is written.
    if (handler.method.methodKind === "unary") end();
    const { trailer } = answer;
    const observed =
      answer.body === undefined ? answer : { ...answer, body: endWith(answer.body, response, end) };
    const written = isText ? toTextResponse(observed) : observed;
    if (trailer === undefined) await universalResponseToNodeResponse(written, response);
    else await respondGrpc(written, trailer, response);
    end();
  } catch (failure) {
    values.get(callKey)?.fail(readFailure(failure));
    if (ConnectError.from(failure).code === Code.Aborted) return;
    log.error({ err: failure, path: handler.requestPath }, "an RPC could not be answered");
    failures.sendBroken(response);
  } finally {
    values.get(callKey)?.end();
  }
}

/** Ends a response without its rest: with what gRPC takes for `UNAVAILABLE`, where the protocol has such a code. */
function reset(response: HttpResponse): void {
  if ("stream" in response) response.stream.close(constants.NGHTTP2_REFUSED_STREAM);
  else response.destroy();
}

/**
 * The body of a request, which fails at its end once its call is cancelled. Otherwise Connect would parse it, and a failure
 * of that would not abort the signal once more.
 */
function untilCancelled(
  body: AsyncIterable<Uint8Array>,
  callOf: () => ObservedCall | undefined,
): AsyncIterable<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]();
  const next = async () => {
    for (;;) {
      const chunk = await chunks.next();
      const call = callOf();
      if (!call?.context.signal.aborted) return chunk;
      if (chunk.done) throw call.fail(readFailure(call.context.signal.reason));
    }
  };
  return {
    [Symbol.asyncIterator]: () => ({ next, ...(chunks.return && { return: chunks.return.bind(chunks) }) }),
  };
}

/** Ends a call: as cancelled when the client has disconnected before. */
function endCall(call: ObservedCall | undefined, { aborted, reason }: AbortSignal): void {
  if (aborted && call?.hasFailed === false) call.fail(reason);
  call?.end();
}

/**
 * The body of an answer, which ends when its response is closed: Connect waits for ever for a client that has disconnected to
 * take what was written. Passes on `throw` and `return`, by which Connect learns that the client has disconnected.
 */
async function* endWith(
  body: AsyncIterable<Uint8Array>,
  response: HttpResponse,
  end: () => void,
): AsyncIterable<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]();
  // Does nothing when the body has ended.
  const close = () => chunks.return?.().then(end, end);
  response.once("close", close);
  try {
    yield* { [Symbol.asyncIterator]: () => chunks };
  } finally {
    response.off("close", close);
    end();
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
