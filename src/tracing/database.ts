import type { Attributes } from "@opentelemetry/api";
import { serverAddress } from "./server-address.ts";

/**
 * What every statement's span says of the database of a URL: its name and server, never its user. Of the embedded
 * database, without a URL, only that it is a PostgreSQL.
 */
export function databaseAttributes(url: string | undefined): Attributes {
  const system = { "db.system.name": "postgresql" };
  const parsed = url === undefined ? null : URL.parse(url);
  if (parsed === null) return system;
  const name = decoded(parsed.pathname.slice(1));
  const socket = parsed.searchParams.get("host");
  const server = socket === null ? serverAddress(parsed.href) : { "server.address": socket };
  return { ...system, ...(name !== "" && { "db.namespace": name }), ...server };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
