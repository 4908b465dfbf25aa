import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";

/** A file that is served under a fixed path. */
export interface PublishedFile {
  readonly type: string;
  /** The entity tag of the content (RFC 9110, 8.8.3). */
  readonly etag: string;
  readonly content: Buffer;
}

/** Publishes a text that was made here. */
export function publishText(type: string, text: string): PublishedFile {
  return publish(type, Buffer.from(text));
}

/** Publishes a file of the package. Rejects when it cannot be read. */
export async function publishFile(type: string, at: URL): Promise<PublishedFile> {
  return publish(type, await readFile(at));
}

function publish(type: string, content: Buffer): PublishedFile {
  const digest = createHash("sha256").update(content).digest("base64url");
  return { type, etag: `"${digest}"`, content };
}
