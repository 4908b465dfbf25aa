import {
  type Attributes,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
} from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import type { ActiveSpans } from "./active.ts";

/** What is told of a call when it begins. */
interface Call {
  readonly method: { readonly parent: { readonly typeName: string }; readonly name: string };
  readonly protocolName: string;
  readonly requestMethod: string;
  readonly requestHeader: Headers;
}

interface HttpFacts {
  readonly route: string;
  readonly status: number;
}

const propagator = new W3CTraceContextPropagator();
const headerGetter = {
  get: (headers: Headers, name: string) => headers.get(name) ?? undefined,
  keys: (headers: Headers) => [...headers.keys()],
};

/** The systems of the semantic conventions; REST is plain HTTP. */
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
export class CallSpans {
  readonly #tracer: Tracer;
  readonly #active: ActiveSpans;

  constructor(tracer: Tracer, active: ActiveSpans) {
    this.#tracer = tracer;
    this.#active = active;
  }

  /** Begins the span of a call, a child of its `traceparent`; one that is malformed counts for none. */
  start({ method, protocolName, requestMethod, requestHeader }: Call): CallSpan {
    const name = `${method.parent.typeName}/${method.name}`;
    const system = systems[protocolName];
    const attributes: Attributes = {
      "rpc.method": name,
      ...(system === undefined ? { "http.request.method": requestMethod } : { "rpc.system.name": system }),
    };
    const parent = propagator.extract(ROOT_CONTEXT, requestHeader, headerGetter);
    const span = this.#tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, parent);
    return new CallSpan(span, protocolName, this.#active);
  }
}

class CallSpan {
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
    if (http === undefined) span.setAttribute("rpc.status_code", statusCode(this.#protocol, code));
    else span.setAttributes({ "http.route": http.route, "http.response.status_code": http.status });
    if (faults.has(code)) {
      span.setAttribute("error.type", code);
      span.setStatus({ code: SpanStatusCode.ERROR });
    }
    span.end();
  }
}

/** A code as the conventions of its protocol spell it. */
function statusCode(protocol: string, code: string): string {
  if (protocol === "connect") return code;
  return code === "canceled" ? "CANCELLED" : code.toUpperCase();
}
