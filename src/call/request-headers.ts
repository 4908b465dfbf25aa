import { randomUUID } from "node:crypto";

/** The header that names a request, and the failed call in the log. */
export const requestIdHeader = "x-request-id";

/** The header by which a caller may repeat a call without a second effect: see `makeOnce`. */
export const idempotencyKeyHeader = "idempotency-key";

/** The header in which a listener leaves the path prefix under which the client sees the service. */
export const pathPrefixHeader = "x-forwarded-prefix";

/** Up to 128 characters that need no care in a log, a URL or a header. */
const wellFormed = /^[\w.:/+=@-]{1,128}$/;

/** The id of a request: the caller's own when it is well-formed, else a new one. */
export function requestIdOf(given: unknown): string {
  return typeof given === "string" && wellFormed.test(given) ? given : randomUUID();
}
