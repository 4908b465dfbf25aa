import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { gzip } from "node:zlib";

const gzipAsync = promisify(gzip);

/** A content as it is sent, and its entity tag (RFC 9110, 8.8.3). */
interface Representation {
  readonly etag: string;
  readonly content: Buffer;
}

/** A file that is served under a fixed path. */
export interface PublishedFile extends Representation {
  readonly type: string;
  /** The file in gzip, which is made when it is first asked for. Undefined where that would save nothing. */
  readonly compressed: (() => Promise<Representation>) | undefined;
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
  let made: Promise<Representation> | undefined;
  const make = async () => ({ etag: `"${digest}-gzip"`, content: await gzipAsync(content) });
  const compressed = () => {
    made ??= make();
    return made;
  };
  const isImage = type.startsWith("image/");
  return { type, etag: `"${digest}"`, content, compressed: isImage ? undefined : compressed };
}
