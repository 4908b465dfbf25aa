import { hash } from "node:crypto";

/**
 * The entity tag of a reply, made of its data alone. It is weak (RFC 9110, 8.8.1): the envelope around the same data
 * may have another time.
 */
export function entityTag(data: string): string {
  return `W/"${hash("sha256", data, "base64url").slice(0, 22)}"`;
}

/** Whether an `If-None-Match` header names a tag, by weak comparison (RFC 9110, 13.1.2). */
export function namesTag(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  const opaque = tag.replace(/^W\//, "");
  return header.trim() === "*" || (header.match(/"[^"]*"/g)?.includes(opaque) ?? false);
}
