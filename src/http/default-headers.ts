import { requestIdHeader } from "../call/request-id.ts";

/** Headers in the order in which they go out. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

/**
 * What every answer of the public listener says, unless whoever answers says otherwise: it is data for the client
 * that asked, and for nothing that a browser could be talked into (OWASP REST Security). Over TLS browsers are told
 * never to come back without (RFC 6797).
 */
export function securityHeaders(secure: boolean): HeaderList {
  return [
    ["x-content-type-options", "nosniff"],
    ["cache-control", "no-store"],
    ["content-security-policy", "default-src 'none'; frame-ancestors 'none'"],
    ["cross-origin-resource-policy", "same-origin"],
    ["referrer-policy", "no-referrer"],
    ...(secure ? [["strict-transport-security", "max-age=31536000"] as const] : []),
  ];
}

/** The names of headers that hold whatever is answered: an answer that replaces another one keeps them. */
export const standingNames: ReadonlySet<string> = new Set([
  ...securityHeaders(true).map(([name]) => name),
  "access-control-allow-origin",
  "access-control-expose-headers",
  "vary",
  requestIdHeader,
]);
