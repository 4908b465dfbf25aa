import type { Attributes } from "@opentelemetry/api";

/** The longest name of a host (RFC 1035). */
const maxHostLength = 253;
const defaultPorts: Readonly<Record<string, number>> = {
  "http:": 80,
  "https:": 443,
  "postgres:": 5432,
  "postgresql:": 5432,
};

/** `server.address` and `server.port` of a URL; none when it names no host. */
export function serverAddress(url: string): Attributes {
  const parsed = URL.parse(url);
  if (parsed === null || parsed.hostname === "" || parsed.hostname.length > maxHostLength) return {};
  const port = parsed.port === "" ? defaultPorts[parsed.protocol] : Number(parsed.port);
  const address = parsed.hostname.replace(/^\[(.*)\]$/, "$1");
  return { "server.address": address, ...(port !== undefined && { "server.port": port }) };
}
