import type { IncomingHttpHeaders } from "node:http";

/** The headers of a request as the Fetch standard has them, without HTTP/2's pseudo-headers. */
export function requestHeaders(headers: IncomingHttpHeaders): Headers {
  const result = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name.startsWith(":")) continue;
    for (const one of Array.isArray(value) ? value : [value]) result.append(name, one);
  }
  return result;
}
