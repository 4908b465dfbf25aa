import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { type BlockList, isIPv6 } from "node:net";
import { pathPrefixHeader } from "../call/request-headers.ts";
import type { HttpRequest } from "./plain-responses.ts";

/**
 * Request smuggling guard: whether a proxy before us may read the framing or the host of a request in another way. Node's
 * parser lets these pass: more than one `Host` (RFC 9112, 3.2), a transfer coding that nobody decodes or in HTTP/1.0
 * (6.1), and a version of HTTP that is not spoken on this connection.
 */
export function isAmbiguous({ httpVersion, headers, rawHeaders }: IncomingMessage): boolean {
  const coding = headers["transfer-encoding"];
  if (coding !== undefined && (coding.toLowerCase() !== "chunked" || httpVersion !== "1.1")) return true;
  if (httpVersion !== "1.1" && httpVersion !== "1.0") return true;
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i]?.toLowerCase() === "host") hosts++;
  return hosts > 1;
}

const absoluteForm = /^https?:\/\/([^/?#]*)(.*)$/is;

/**
 * Turns a target in absolute form into origin form. A server must accept the absolute form, whose authority overrides
 * `Host` (RFC 9112, 3.2.2).
 */
export function toOriginForm(request: IncomingMessage): void {
  const [, authority, rest] = absoluteForm.exec(request.url ?? "") ?? [];
  if (authority === undefined || rest === undefined) return;
  request.url = withSlash(rest);
  request.headers.host = authority;
}

/** The path of a request, without its query. */
export function pathOf(request: HttpRequest): string {
  const url = request.url ?? "";
  const end = url.indexOf("?");
  return end < 0 ? url : url.slice(0, end);
}

/** The host that a request is for: `:authority`, or `Host`. */
export function authorityOf(request: HttpRequest): string | undefined {
  return "authority" in request ? request.authority : request.headers.host;
}

/**
 * Replaces an `:authority` that is not valid in a URL. Nothing depends on its value. gRPC clients derive it from their
 * targets: an encoded path or list of addresses (`unix:`, `ipv4:`), a port alone, an IPv6 address without brackets.
 * nghttp2 refuses those whose characters RFC 9113, 8.3.1 forbids.
 */
export const anyAuthority = "localhost";

/** Tells whether an authority names a host and nothing else. */
export type IsAuthority = (authority: string | undefined) => boolean;

/**
 * Makes a check that remembers the last valid authority, since a client sends the same one again and again.
 *
 * Connect builds a `URL` from it outside of any `catch`: with `[` or `x:99999` one request would end the process.
 */
export function authorityCheck(): IsAuthority {
  let lastValid: string | undefined;
  return (authority) => {
    if (authority === undefined) return false;
    if (authority === lastValid) return true;
    if (!isHost(authority)) return false;
    lastValid = authority;
    return true;
  };
}

function isHost(authority: string): boolean {
  const url = URL.parse(`http://${authority}`);
  return (
    url !== null &&
    url.pathname === "/" &&
    url.search === "" &&
    url.hash === "" &&
    url.username === "" &&
    url.password === ""
  );
}

/** The longest timeout of a call, in milliseconds: no call of ours lasts longer. */
const maxTimeoutMs = 24 * 3_600_000;

/** Milliseconds of the units in which a gRPC timeout can be too long. */
const msOfUnit: Record<string, number> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1 };

/**
 * Clamps the timeout of a call to one day. Node fires a timer of more than 2^31 - 1 ms at once, so Connect would
 * answer a client that is willing to wait for a month with "deadline exceeded".
 */
export function clampTimeout(headers: IncomingHttpHeaders): void {
  const grpc = headers["grpc-timeout"];
  if (typeof grpc === "string" && isTooLong(grpc)) headers["grpc-timeout"] = "24H";
  const connect = headers["connect-timeout-ms"];
  if (typeof connect === "string" && /^\d{1,10}$/.test(connect) && Number(connect) > maxTimeoutMs) {
    headers["connect-timeout-ms"] = String(maxTimeoutMs);
  }
}

function isTooLong(grpcTimeout: string): boolean {
  const [, amount, unit] = /^(\d{1,8})([HMSm])$/.exec(grpcTimeout) ?? [];
  return amount !== undefined && unit !== undefined && Number(amount) * (msOfUnit[unit] ?? 0) > maxTimeoutMs;
}

/** The path under which clients see the service behind a proxy. */
export interface PathPrefixOptions {
  /** The configured prefix: a path without a slash at its end, empty for none. */
  readonly basePath: string;
  /** The proxies whose `X-Forwarded-Prefix` takes precedence over `basePath`. */
  readonly trustedProxies: BlockList;
}

/** Up to 128 characters of plain path segments: a link with this prefix cannot lead to another host. */
const wellFormedPrefix = /^(?=.{1,128}$)(?:\/[\w.~-]+)+\/?$/;

/**
 * Returns the function that sets a request's path prefix: it removes the prefix from the target when the proxy has not,
 * and overwrites `X-Forwarded-Prefix` with it, for the code that makes links.
 */
export function pathPrefix({ basePath, trustedProxies }: PathPrefixOptions): (request: HttpRequest) => void {
  const isTrusted = (address = "") => trustedProxies.check(address, isIPv6(address) ? "ipv6" : "ipv4");
  return (request) => {
    const { headers, url = "" } = request;
    if (basePath !== "" && isBelow(url, basePath)) request.url = withSlash(url.slice(basePath.length));
    const forwarded = headers[pathPrefixHeader];
    const isAccepted =
      typeof forwarded === "string" &&
      wellFormedPrefix.test(forwarded) &&
      isTrusted(request.socket?.remoteAddress);
    const prefix = isAccepted ? forwarded.replace(/\/$/, "") : basePath;
    // Handlers of calls see the headers too: one that nobody sent is not added without need.
    if (prefix === "") delete headers[pathPrefixHeader];
    else headers[pathPrefixHeader] = prefix;
  };
}

function isBelow(url: string, basePath: string): boolean {
  const next = url[basePath.length];
  return url.startsWith(basePath) && (next === undefined || next === "/" || next === "?");
}

function withSlash(rest: string): string {
  return rest.startsWith("/") ? rest : `/${rest}`;
}
