import { cors as rpcHeaders } from "@connectrpc/connect";
import type { CorsOrigins } from "../config/security.ts";
import type { HeaderList, HttpRequest, HttpResponse } from "./plain-responses.ts";

/** The CORS headers: they let scripts of other origins use the service. */
export interface Cors {
  /** The headers of an answer that the scripts of its request's origin may read; none for other origins. */
  readonly headersFor: (request: HttpRequest) => HeaderList;
  /**
   * Answers a preflight of an allowed origin and returns true. `methods` are those of the request's path; where there
   * are none a preflight is answered like any other request.
   */
  readonly answerPreflight: (
    request: HttpRequest,
    response: HttpResponse,
    methods: () => readonly string[],
  ) => boolean;
}

/** Allows no other origin, and adds no header. */
export const noCors: Cors = { headersFor: () => [], answerPreflight: () => false };

/** Request headers that common libraries add: for HTTP, RPC, caching, tracing and error reports. */
const allowedHeaders = [
  "authorization",
  "if-none-match",
  ...rpcHeaders.allowedHeaders,
  "cache-control",
  "pragma",
  "x-requested-with",
  "x-request-id",
  "x-correlation-id",
  "idempotency-key",
  "traceparent",
  "tracestate",
  "baggage",
  "sentry-trace",
  "b3",
  "x-b3-traceid",
  "x-b3-spanid",
  "x-b3-parentspanid",
  "x-b3-sampled",
  "x-datadog-trace-id",
  "x-datadog-parent-id",
  "x-datadog-sampling-priority",
  "x-datadog-origin",
  "newrelic",
]
  .join(", ")
  .toLowerCase();
const exposedHeaders = [
  "consistency-token",
  "etag",
  "link",
  "ratelimit",
  "ratelimit-policy",
  "retry-after",
  "x-error-reason",
  "x-request-id",
  ...rpcHeaders.exposedHeaders,
]
  .join(", ")
  .toLowerCase();
/** How long a browser may remember a preflight, in seconds. */
const maxAge = "600";

/** The header of every answer when answers depend on the origin: a cache must not give that of one to another. */
export function varyHeaders(origins: CorsOrigins): HeaderList {
  return origins === "*" || origins.length === 0 ? [] : [["vary", "origin"]];
}

/**
 * The CORS protocol of the Fetch standard. Without an allowed origin there is no header of it. Credentials are never
 * allowed: a token is in a header that scripts set themselves.
 */
export function cors(origins: CorsOrigins): Cors {
  if (origins.length === 0) return noCors;
  const allowed = new Set(origins);
  const isOpen = origins === "*";
  const isAllowed = (origin: string | undefined): origin is string =>
    origin !== undefined && (isOpen || allowed.has(origin));
  const allowOrigin = (origin: string) => ["access-control-allow-origin", isOpen ? "*" : origin] as const;

  return {
    headersFor: ({ headers: { origin } }) =>
      isAllowed(origin)
        ? [allowOrigin(origin), ["access-control-expose-headers", exposedHeaders] as const]
        : [],
    answerPreflight: (request, response, methodsAt) => {
      const { origin, "access-control-request-method": asked } = request.headers;
      if (request.method !== "OPTIONS" || asked === undefined || !isAllowed(origin)) return false;
      const methods = methodsAt();
      if (methods.length === 0) return false;
      response.statusCode = 204;
      for (const [name, value] of [
        allowOrigin(origin),
        ["access-control-allow-methods", methods.join(", ")],
        ["access-control-allow-headers", allowedHeaders],
        ["access-control-max-age", maxAge],
      ] as const)
        response.setHeader(name, value);
      response.end();
      return true;
    },
  };
}
