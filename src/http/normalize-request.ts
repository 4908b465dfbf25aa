import type { IncomingMessage } from "node:http";

/**
 * Whether a proxy before us may have read an HTTP/1.1 request in another way than Node's parser does, which lets these
 * pass: more than one `Host` (RFC 9112, 3.2), a transfer coding that nobody decodes or in HTTP/1.0 (6.1), and a
 * version of HTTP that is not spoken on this connection.
 */
export function isAmbiguous({ httpVersion, headers, rawHeaders }: IncomingMessage): boolean {
  const coding = headers["transfer-encoding"];
  if (coding !== undefined && (coding.toLowerCase() !== "chunked" || httpVersion !== "1.1")) return true;
  if (httpVersion !== "1.1" && httpVersion !== "1.0") return true;
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i]?.toLowerCase() === "host") hosts++;
  return hosts > 1;
}
