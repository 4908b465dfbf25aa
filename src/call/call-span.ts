import { createContextKey, type HandlerContext, type Interceptor } from "@connectrpc/connect";

type TracedCall = Pick<HandlerContext, "method" | "protocolName" | "requestMethod" | "url" | "requestHeader">;

/** Follows calls across the systems that they pass. */
export interface CallTracer {
  /** Begins the span of a call: a child of the span that the call's headers name, if they name one. */
  start(call: TracedCall, http?: HttpFacts): CallSpan;
}

/** The span of a call under way. */
export interface CallSpan {
  readonly traceId: string;
  /** Runs a part of the call: what it asks of the database becomes part of the trace. */
  run<T>(work: () => T): T;
  /** Ends the span, by a canonical code or `ok`. */
  end(code: string, http?: HttpFacts): void;
}

/** What only REST knows of a call. */
export interface HttpFacts {
  /** The template of the path, never the path. */
  readonly route: string;
  readonly scheme: "http" | "https";
  /** `Host` or `:authority`. */
  readonly authority: string | undefined;
  readonly httpVersion: string;
  /** Of the answer; undefined when there was none. */
  status: number | undefined;
}

/** Set on every call of a service that makes traces. */
export const spanKey = createContextKey<CallSpan | undefined>(undefined, { description: "span" });

/** Set on every REST call. */
export const httpKey = createContextKey<HttpFacts | undefined>(undefined, { description: "http" });

/**
 * Runs the rest of a call as part of its span. A stream of replies is read outside of it, when the handler has
 * returned; none of ours asks the database.
 */
export const inSpan: Interceptor = (next) => (request) => {
  const span = request.contextValues.get(spanKey);
  return span === undefined ? next(request) : span.run(() => next(request));
};
