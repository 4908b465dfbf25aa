import type { Writable } from "node:stream";
import type { TLSSocket } from "node:tls";
import { create, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { CallContext, CallStart } from "../call/context.ts";
import { overloadedError } from "../call/errors.ts";
import { type HttpFacts, httpKey } from "../call/observer.ts";
import type { CallPipeline, Transport, Write } from "../call/pipeline.ts";
import { pathPrefixHeader } from "../call/request-headers.ts";
import type { UnaryEndpoint } from "../call/service.ts";
import { breakOff, type HttpRequest, type HttpResponse } from "../http/plain-responses.ts";
import { errorReasonHeader, failureOf, retryableStatuses } from "./failure.ts";
import { allPages, completePageSize, nextPageLink, nextTokenOf, setField } from "./list.ts";
import { readJsonBody } from "./request-body.ts";
import { begin, encode, entityTag, matchesTag, send, sendHead, sendNotModified, write } from "./respond.ts";
import type { Match } from "./routes.ts";

/** What all calls of a gateway share. */
interface CallSettings {
  readonly calls: CallPipeline;
  readonly maxBodyBytes: number;
  readonly pageDeadlineMs: number;
  /** The time of an answer, as its `action_time` has it. */
  readonly time: () => string;
}

/** A request that has found its route, and its answer. */
export interface RestCall extends CallSettings, Match {
  readonly query: string;
  readonly request: HttpRequest;
  readonly response: HttpResponse;
}

const busyError = overloadedError();
const busy = failureOf(undefined, busyError);
const busyHeaders = [...busyError.metadata, [errorReasonHeader, busy.reason] as const];

/** Runs the call of a request, and answers it. */
export async function answerCall(call: RestCall): Promise<void> {
  await call.calls.run(call.route.endpoint, new RestTransport(call));
}

class RestTransport implements Transport {
  readonly protocol = "rest";
  readonly #call: RestCall;
  readonly #http: HttpFacts;
  #path: Parameters<typeof nextPageLink>[1]["parameters"] = [];
  /** Whether the request asks for one page of a list. */
  #isPaged = false;
  /** Whether the answer is a whole list, page after page. HEAD has no body: one page is enough to know the headers. */
  #isComplete = false;
  /** The body of an answer that has begun before its last page. */
  #streamed: Writable | undefined;

  constructor(call: RestCall) {
    const { route, request } = call;
    this.#call = call;
    this.#http = {
      route: route.rule.template,
      scheme: (request.socket as TLSSocket | undefined)?.encrypted ? "https" : "http",
      authority: request.headers[":authority"]?.toString() ?? request.headers.host,
      httpVersion: request.httpVersion,
      status: 200,
    };
  }

  rejectOverloaded(): void {
    const { route, request, response, time, maxBodyBytes } = this.#call;
    const body = route.format.failure(busy, route.reply, time());
    send(request, response, { status: busy.status, headers: busyHeaders }, body, maxBodyBytes);
  }

  start(): CallStart {
    const { request } = this.#call;
    return {
      requestMethod: request.method ?? "",
      url: request.url ?? "",
      requestHeader: request.headers,
      peer: () => request.socket?.remoteAddress,
    };
  }

  begin(context: CallContext): void {
    const { response } = this.#call;
    context.values.set(httpKey, this.#http);
    response.once("close", () => {
      if (!response.writableEnded) context.cancel(new ConnectError("the client went away", Code.Canceled));
    });
  }

  async read(context: CallContext): Promise<Message> {
    const { route, request, maxBodyBytes, parameters, query } = this.#call;
    const { endpoint, reader, list } = route;
    const message = create(endpoint.method.input) as Message;
    this.#path = reader.readPath(parameters, message);
    const asked = reader.readQuery(query, message);
    reader.readBody(await readJsonBody(request, maxBodyBytes, context.signal), message);
    if (list === undefined) return message;
    this.#isPaged = asked.has(list.pageSize) || asked.has(list.pageToken);
    this.#isComplete = !this.#isPaged;
    if (this.#isComplete) setField(message, list.pageSize, completePageSize);
    return message;
  }

  /** Streams a list of more than one page: see `allPages`. */
  handler(context: CallContext): UnaryEndpoint["impl"] | undefined {
    const { calls, route, request, response, time, pageDeadlineMs } = this.#call;
    const { endpoint, format, reply, writeData, list } = route;
    if (!this.#isComplete || list === undefined || request.method === "HEAD") return undefined;
    let separator = "";
    return allPages(endpoint, list, pageDeadlineMs, async (page) => {
      const rows = writeData?.(page).slice(1, -1) ?? "";
      let text = rows === "" ? "" : separator + rows;
      if (this.#streamed === undefined) {
        this.#streamed = begin(request, response, { status: 200, headers: context.response.header ?? [] });
        text = `${format.beforeData(reply.successMessage, time())}[${text}`;
      }
      const body = this.#streamed;
      if (rows !== "") separator = ",";
      await calls.limiter.yieldSlot(() => write(body, text, context.signal));
    });
  }

  async reply(context: CallContext, message: Message): Promise<Write> {
    const { route, query, request, response, maxBodyBytes } = this.#call;
    const { list } = route;
    const streamed = this.#streamed;
    if (streamed !== undefined) return () => streamed.end("]}");
    const headers: (readonly [string, string])[] = [...(context.response.header ?? [])];
    if (this.#isComplete && request.method === "HEAD" && list && nextTokenOf(list, message) !== "")
      return () => sendHead(response, { status: 200, headers });
    const data = route.writeData?.(message);
    if (route.hasTag && data !== undefined) {
      const tag = entityTag(data);
      headers.push(["etag", tag]);
      if (matchesTag(request.headers["if-none-match"], tag)) {
        this.#http.status = 304;
        return () => sendNotModified(response, headers);
      }
    }
    const { body, headers: encoding } = await encode(request, response, render(this.#call, data));
    headers.push(...encoding);
    const nextToken = this.#isPaged && list ? nextTokenOf(list, message) : "";
    if (list !== undefined && nextToken !== "") {
      const prefix = String(request.headers[pathPrefixHeader] ?? "");
      const page = { prefix, segments: route.segments, parameters: this.#path, query };
      headers.push(["link", nextPageLink(list, page, nextToken)]);
    }
    return () => send(request, response, { status: 200, headers }, body, maxBodyBytes);
  }

  fail(_context: CallContext, error: ConnectError, thrown: unknown): Write {
    const { route, request, response, time, maxBodyBytes } = this.#call;
    const failure = failureOf(thrown, error);
    if (response.headersSent) return () => breakOff(response);
    this.#http.status = error.code === Code.Canceled ? undefined : failure.status;
    return () => {
      const headers = new Headers(error.metadata);
      headers.set(errorReasonHeader, failure.reason);
      if (retryableStatuses.has(failure.status) && !headers.has("retry-after"))
        headers.set("retry-after", "1");
      const body = route.format.failure(failure, route.reply, time());
      send(request, response, { status: failure.status, headers }, body, maxBodyBytes);
    };
  }
}

function render({ route: { format, reply }, time }: RestCall, data: string | undefined): string {
  if (data === undefined) return format.withoutData(reply.successMessage, time());
  return `${format.beforeData(reply.successMessage, time()) + data}}`;
}
