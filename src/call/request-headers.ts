import { randomUUID } from "node:crypto";

export { requestIdHeader } from "../domain/wire-names.ts";

/** The header in which a listener leaves the path prefix under which the client sees the service. */
export const pathPrefixHeader = "x-forwarded-prefix";

/** Up to 128 characters that need no care in a log, a URL or a header. */
const wellFormed = /^[\w.:/+=@-]{1,128}$/;

/** The id of a request: the caller's own when it is well-formed, else a new one. */
export function requestIdOf(given: unknown): string {
  return typeof given === "string" && wellFormed.test(given) ? given : randomUUID();
}
