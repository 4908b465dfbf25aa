import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";

/** A file that is served under a fixed path. */
export interface PublishedFile {
  readonly type: string;
  readonly size: number;
  /** The entity tag of the content (RFC 9110, 8.8.3). */
  readonly etag: string;
  /** The content itself, or where it is read from each time. */
  readonly content: Buffer | URL;
}

/** Files above this size, in bytes, are not kept in memory. */
const keptBytes = 64 * 1024;

/** Publishes a text that was made here. */
export function publishText(type: string, text: string): PublishedFile {
  const content = Buffer.from(text);
  return { ...facts(type, content), content };
}

/** Publishes a file of the package. Rejects when it cannot be read. */
export async function publishFile(type: string, at: URL): Promise<PublishedFile> {
  const content = await readFile(at);
  return { ...facts(type, content), content: content.length > keptBytes ? at : content };
}

function facts(type: string, content: Buffer): Omit<PublishedFile, "content"> {
  const digest = createHash("sha256").update(content).digest("base64url");
  return { type, size: content.length, etag: `"${digest}"` };
}
