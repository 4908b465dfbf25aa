import { type BlockList, isIPv6 } from "node:net";
import { pathPrefixHeader } from "../rest/next-page.ts";
import type { HttpRequest } from "./plain-responses.ts";

/** The path under which clients see the service behind a proxy. */
export interface PathPrefixOptions {
  /** The prefix that is configured: a path without a slash at its end, empty for none. */
  readonly basePath: string;
  /** The proxies whose `X-Forwarded-Prefix` takes precedence over `basePath`. */
  readonly trustedProxies: BlockList;
}

/** Up to 128 characters of plain path segments: a link with this prefix cannot lead to another host. */
const wellFormed = /^(?=.{1,128}$)(?:\/[\w.~-]+)+\/?$/;

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
    const isTaken =
      typeof forwarded === "string" && wellFormed.test(forwarded) && isTrusted(request.socket?.remoteAddress);
    const prefix = isTaken ? forwarded.replace(/\/$/, "") : basePath;
    // Handlers of calls see the headers too: one that nobody sent is not added without need.
    if (prefix === "") delete headers[pathPrefixHeader];
    else headers[pathPrefixHeader] = prefix;
  };
}

/** The prefix of a request, empty for none. */
export function prefixOf({ headers }: HttpRequest): string {
  return String(headers[pathPrefixHeader] ?? "");
}

function isBelow(url: string, basePath: string): boolean {
  const next = url[basePath.length];
  return url.startsWith(basePath) && (next === undefined || next === "/" || next === "?");
}

function withSlash(rest: string): string {
  return rest.startsWith("/") ? rest : `/${rest}`;
}
