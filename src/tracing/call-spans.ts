import { AsyncLocalStorage } from "node:async_hooks";
import {
  type Attributes,
  type Link,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
} from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import type { CallSpan, CallTracer, HttpFacts } from "../call/observer.ts";

/** The calls for which a statement is sent. */
export interface Active {
  readonly parent: Span;
  /** The calls other than the parent. */
  readonly links: readonly Link[];
}

/** Carries the active calls to their statements. */
export type ActiveSpans = AsyncLocalStorage<Active | undefined>;

export const newActiveSpans = (): ActiveSpans => new AsyncLocalStorage();

type Call = Parameters<CallTracer["start"]>[0];

const propagator = new W3CTraceContextPropagator();
const headerGetter = {
  get: (headers: Headers, name: string) => headers.get(name) ?? undefined,
  keys: (headers: Headers) => [...headers.keys()],
};

/** The systems of the semantic conventions. */
const systems: Record<string, string> = { grpc: "grpc", "grpc-web": "grpc", connect: "connectrpc" };

/** The codes that are the service's own fault, after the semantic conventions for gRPC servers. */
const faults = new Set([
  "unknown",
  "deadline_exceeded",
  "unimplemented",
  "internal",
  "unavailable",
  "data_loss",
]);

/** Makes a server span for each call. Names and attributes say what was called, never by whom or about whom. */
export class CallSpans implements CallTracer {
  readonly #tracer: Tracer;
  readonly #active: ActiveSpans;

  constructor(tracer: Tracer, active: ActiveSpans) {
    this.#tracer = tracer;
    this.#active = active;
  }

  /** Starts the span of a call, a child of its `traceparent`; a malformed one is ignored. */
  start(call: Call, http?: HttpFacts): CallSpan {
    const { protocolName, requestHeader } = call;
    const { name, attributes } = http === undefined ? rpcSpan(call) : httpSpan(call, http);
    const parent = propagator.extract(ROOT_CONTEXT, requestHeader, headerGetter);
    const span = this.#tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, parent);
    return new ServerSpan(span, protocolName, this.#active);
  }
}

class ServerSpan implements CallSpan {
  readonly #span: Span;
  readonly #protocol: string;
  readonly #active: ActiveSpans;
  readonly traceId: string;

  constructor(span: Span, protocol: string, active: ActiveSpans) {
    this.#span = span;
    this.#protocol = protocol;
    this.#active = active;
    this.traceId = span.spanContext().traceId;
  }

  run<T>(work: () => T): T {
    return this.#active.run({ parent: this.#span, links: [] }, work);
  }

  end(code: string, http?: HttpFacts): void {
    const span = this.#span;
    let fault: string | undefined;
    if (http === undefined) {
      const status = statusCode(this.#protocol, code);
      span.setAttribute("rpc.status_code", status);
      if (faults.has(code)) fault = status;
    } else if (http.status === undefined) {
      // The client has disconnected: there was no answer.
      if (code !== "canceled") fault = code;
    } else {
      span.setAttribute("http.response.status_code", http.status);
      if (http.status >= 500) fault = String(http.status);
      else if (faults.has(code)) fault = code;
    }
    if (fault !== undefined) {
      span.setAttribute("error.type", fault);
      span.setStatus({ code: SpanStatusCode.ERROR });
    }
    span.end();
  }
}

interface SpanStart {
  readonly name: string;
  readonly attributes: Attributes;
}

/** After OpenTelemetry's semantic conventions for servers of gRPC and Connect. */
function rpcSpan({ method, protocolName, url }: Call): SpanStart {
  const name = `${method.parent.typeName}/${method.name}`;
  const attributes = {
    "rpc.system.name": systems[protocolName] ?? protocolName,
    "rpc.method": name,
    ...serverAddress(url),
  };
  return { name, attributes };
}

/**
 * After OpenTelemetry's semantic conventions for HTTP servers. The parameters of a path are users' ids: they are replaced by
 * `REDACTED`. The query, and the address and browser of the client, are left out.
 */
function httpSpan({ requestMethod }: Call, { route, scheme, authority, httpVersion }: HttpFacts): SpanStart {
  const attributes = {
    "http.request.method": requestMethod,
    "http.route": route,
    "url.scheme": scheme,
    "url.path": route.replaceAll(/\{[^}]*\}/g, "REDACTED"),
    "network.protocol.version": httpVersion.replace(/^2\.0$/, "2"),
    ...serverAddress(`${scheme}://${authority ?? ""}`),
  };
  return { name: `${requestMethod} ${route}`, attributes };
}

/** A code as the conventions of its protocol spell it. */
function statusCode(protocol: string, code: string): string {
  if (protocol === "connect") return code;
  return code === "canceled" ? "CANCELLED" : code.toUpperCase();
}

/** The longest name of a host (RFC 1035). */
const maxHostLength = 253;
const defaultPorts: Readonly<Record<string, number>> = {
  "http:": 80,
  "https:": 443,
  "postgres:": 5432,
  "postgresql:": 5432,
};

/** `server.address` and `server.port` of a URL; none when it names no host. */
export function serverAddress(url: string): Attributes {
  const parsed = URL.parse(url);
  if (parsed === null || parsed.hostname === "" || parsed.hostname.length > maxHostLength) return {};
  const port = parsed.port === "" ? defaultPorts[parsed.protocol] : Number(parsed.port);
  const address = parsed.hostname.replace(/^\[(.*)\]$/, "$1");
  return { "server.address": address, ...(port !== undefined && { "server.port": port }) };
}
