import { cors as rpcHeaders } from "@connectrpc/connect";
import type { Request, Response } from "./answers.ts";
import type { HeaderList } from "./standing-headers.ts";

/** The origins whose scripts may read answers; `*` for all. */
export type AllowedOrigins = readonly string[] | "*";

/**
 * Tells browsers by response headers which origins' scripts may read an answer. Answers a preflight of such an origin
 * itself and returns true then. `methodsAt` names the HTTP methods of the request's path; where there are none a
 * preflight is answered like any other request.
 */
export type Cors = (request: Request, response: Response, methodsAt: () => readonly string[]) => boolean;

const allowedHeaders = ["authorization", "if-none-match", ...rpcHeaders.allowedHeaders]
  .join(", ")
  .toLowerCase();
const exposedHeaders = [
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

/** What every answer says when answers depend on the origin: a cache must not give one origin's to another. */
export function varyHeaders(origins: AllowedOrigins): HeaderList {
  return origins === "*" || origins.length === 0 ? [] : [["vary", "origin"]];
}

/**
 * The CORS protocol of the Fetch standard, closed when no origin is allowed: no header then tells of it. Credentials
 * are never allowed, tokens travel in a header that scripts set themselves.
 */
export function cors(origins: AllowedOrigins): Cors {
  if (origins.length === 0) return () => false;
  const allowed = new Set(origins);
  const isOpen = origins === "*";

  return (request, response, methodsAt) => {
    const { origin, "access-control-request-method": asked } = request.headers;
    if (origin === undefined || !(isOpen || allowed.has(origin))) return false;
    response.setHeader("access-control-allow-origin", isOpen ? "*" : origin);
    if (request.method !== "OPTIONS" || asked === undefined) {
      response.setHeader("access-control-expose-headers", exposedHeaders);
      return false;
    }
    const methods = methodsAt();
    if (methods.length === 0) return false;
    response.statusCode = 204;
    response.setHeader("access-control-allow-methods", methods.join(", "));
    response.setHeader("access-control-allow-headers", allowedHeaders);
    response.setHeader("access-control-max-age", maxAge);
    response.end();
    return true;
  };
}
