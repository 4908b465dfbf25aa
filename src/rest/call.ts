import type { Writable } from "node:stream";
import type { TLSSocket } from "node:tls";
import { create, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type HttpFacts, httpKey } from "../call/call-span.ts";
import type { CallContext } from "../call/context.ts";
import { toConnectError } from "../call/errors.ts";
import { finished } from "../call/observe.ts";
import type { CallPipeline } from "../call/pipeline.ts";
import { pathPrefixHeader } from "../call/request-headers.ts";
import type { UnaryEndpoint } from "../call/service.ts";
import { breakOff, type HttpRequest, type HttpResponse } from "../http/plain-responses.ts";
import { overloaded } from "../overload/adaptive-concurrency-limiter.ts";
import { readJsonBody } from "./body.ts";
import { entityTag, namesTag } from "./entity-tag.ts";
import { errorReasonHeader, failureOf } from "./failure.ts";
import { allPages, completePageSize, type ListShape, nextTokenOf, setField } from "./list.ts";
import { nextPageLink } from "./next-page.ts";
import { begin, encode, send, sendHead, sendNotModified, write } from "./respond.ts";
import type { Match } from "./route-table.ts";

/** What all calls of a gateway share. */
interface CallSettings {
  readonly calls: CallPipeline;
  readonly maxBodyBytes: number;
  readonly pageDeadlineMs: number;
  /** The time of an answer, as its `action_time` has it. */
  readonly time: () => string;
}

/** A request that has found its route, and its answer. */
export interface Exchange extends CallSettings, Match {
  readonly query: string;
  readonly request: HttpRequest;
  readonly response: HttpResponse;
}

/** The statuses that ask the client to try again soon (RFC 9110, 10.2.3). */
export const retryable: ReadonlySet<number> = new Set([429, 503]);

const busyError = toConnectError(overloaded());
const busy = failureOf(undefined, busyError);
const busyHeaders = [...busyError.metadata, [errorReasonHeader, busy.reason] as const];

/** Makes the call of a request and answers it. Nothing of the body is read before the call is admitted. */
export async function answerCall(exchange: Exchange): Promise<void> {
  const { calls, route, request, response } = exchange;
  if (calls.refuseIfOverloaded(route.endpoint.method, "rest")) return refuse(exchange);
  const context = calls.start(route.endpoint.method, {
    protocolName: "rest",
    requestMethod: request.method ?? "",
    url: request.url ?? "",
    requestHeader: request.headers,
    peer: () => request.socket?.remoteAddress,
  });
  response.once("close", () => {
    if (!response.writableEnded) context.cancel(new ConnectError("the client went away", Code.Canceled));
  });
  const http: HttpFacts = {
    route: route.rule.template,
    scheme: (request.socket as TLSSocket | undefined)?.encrypted ? "https" : "http",
    authority: request.headers[":authority"]?.toString() ?? request.headers.host,
    httpVersion: request.httpVersion,
    status: 200,
  };
  context.values.set(httpKey, http);
  try {
    await calls.admit(context);
    await run(exchange, context, http);
  } catch (thrown) {
    fail(exchange, context, thrown, http);
  }
}

async function run(exchange: Exchange, context: CallContext, http: HttpFacts): Promise<void> {
  const { calls, route, request, response, maxBodyBytes } = exchange;
  const { endpoint, binding, list } = route;
  const message = create(endpoint.method.input) as Message;
  const path = binding.readPath(exchange.parameters, message);
  const asked = binding.readQuery(exchange.query, message);
  binding.readBody(await readJsonBody(request, maxBodyBytes, context.signal), message);
  const paged = list !== undefined && (asked.has(list.pageSize) || asked.has(list.pageToken));
  const streamed: Streamed = { body: undefined };
  const isComplete = list !== undefined && !paged;
  const isHead = request.method === "HEAD";
  // HEAD has no body: one page is enough to know the headers.
  if (isComplete && isHead) setField(message, list.pageSize, completePageSize);
  const standIn =
    isComplete && !isHead ? completeList(exchange, context, list, message, streamed) : undefined;
  const reply = (await calls.invoke(endpoint, context, message, standIn)) as Message;
  if (streamed.body !== undefined) {
    context.abort(finished);
    streamed.body.end("]}");
    return;
  }
  if (isComplete && isHead && nextTokenOf(list, reply) !== "") {
    context.abort(finished);
    return sendHead(response, { status: 200, headers: context.response.header ?? [] });
  }
  const data = route.writeData?.(reply);
  const headers: (readonly [string, string])[] = [...(context.response.header ?? [])];
  if (route.hasTag && data !== undefined) {
    const tag = entityTag(data);
    headers.push(["etag", tag]);
    if (namesTag(request.headers["if-none-match"], tag)) {
      http.status = 304;
      context.abort(finished);
      return sendNotModified(response, headers);
    }
  }
  const { body, headers: encoding } = await encode(request, response, render(exchange, data));
  headers.push(...encoding);
  const nextToken = paged ? nextTokenOf(list, reply) : "";
  if (list !== undefined && nextToken !== "") {
    const prefix = String(request.headers[pathPrefixHeader] ?? "");
    const page = { prefix, segments: route.segments, parameters: path, query: exchange.query };
    headers.push(["link", nextPageLink(list, page, nextToken)]);
  }
  context.abort(finished);
  send(request, response, { status: 200, headers }, body, maxBodyBytes);
}

/** The body of an answer that has begun before its last page; undefined until then. */
interface Streamed {
  body: Writable | undefined;
}

/** Asks for a list in its largest pages, and for what stands in for its handler: see `allPages`. */
function completeList(
  { calls, route, request, response, time, pageDeadlineMs }: Exchange,
  context: CallContext,
  list: ListShape,
  message: Message,
  streamed: Streamed,
): UnaryEndpoint["impl"] {
  const { endpoint, format, reply, writeData } = route;
  setField(message, list.pageSize, completePageSize);
  let separator = "";
  return allPages(endpoint, list, pageDeadlineMs, async (page) => {
    const rows = writeData?.(page).slice(1, -1) ?? "";
    let text = rows === "" ? "" : separator + rows;
    if (streamed.body === undefined) {
      streamed.body = begin(request, response, { status: 200, headers: context.response.header ?? [] });
      text = `${format.beforeData(reply.successMessage, time())}[${text}`;
    }
    const { body } = streamed;
    if (rows !== "") separator = ",";
    await calls.limiter.yieldSlot(() => write(body, text, context.signal));
  });
}

function render({ route: { format, reply }, time }: Exchange, data: string | undefined): string {
  if (data === undefined) return format.withoutData(reply.successMessage, time());
  return `${format.beforeData(reply.successMessage, time()) + data}}`;
}

function fail(
  { route, request, response, time, maxBodyBytes }: Exchange,
  context: CallContext,
  thrown: unknown,
  http: HttpFacts,
) {
  const error = toConnectError(thrown);
  const failure = failureOf(thrown, error);
  if (!response.headersSent) http.status = error.code === Code.Canceled ? undefined : failure.status;
  // The end of the call gives the error its request id.
  context.abort(error);
  if (response.headersSent) return breakOff(response);
  const headers = new Headers(error.metadata);
  headers.set(errorReasonHeader, failure.reason);
  if (retryable.has(failure.status) && !headers.has("retry-after")) headers.set("retry-after", "1");
  const body = route.format.failure(failure, route.reply, time());
  send(request, response, { status: failure.status, headers }, body, maxBodyBytes);
}

/** Refuses a call for which there is no room, with as little work as can be. */
function refuse({ route, request, response, time, maxBodyBytes }: Exchange): void {
  const body = route.format.failure(busy, route.reply, time());
  send(request, response, { status: busy.status, headers: busyHeaders }, body, maxBodyBytes);
}
