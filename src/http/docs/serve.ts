import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { acceptsGzip } from "../../rest/compression.ts";
import { namesTag } from "../../rest/entity-tag.ts";
import { varyByEncoding } from "../../rest/respond.ts";
import { answerFailure, type HttpRequest, type HttpResponse } from "../plain-responses.ts";
import { type Handle, pathOf } from "../request-router.ts";
import type { PublishedFile } from "./files.ts";

/** A page may show and run what comes from here, and call this service. The renderer has its icons as data. */
const securityHeaders = {
  "content-security-policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; "),
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

const sliceBytes = 64 * 1024;

/** Serves files by their paths, for GET and HEAD, and leaves every other path to `otherwise`. */
export function serveFiles(files: ReadonlyMap<string, PublishedFile>, otherwise: Handle): Handle {
  return (request, response) => {
    const file = files.get(pathOf(request));
    if (file === undefined) return otherwise(request, response);
    if (request.method !== "GET" && request.method !== "HEAD")
      return answerFailure(response, 405, { allow: "GET, HEAD" });
    return serve(file, request, response);
  };
}

async function serve(file: PublishedFile, request: HttpRequest, response: HttpResponse): Promise<void> {
  for (const [name, value] of Object.entries(securityHeaders)) response.setHeader(name, value);
  const { etag, content } = await negotiate(file, request, response);
  response.setHeader("etag", etag);
  // Kept by browsers, but asked for each time: nobody sees the page of an older version.
  response.setHeader("cache-control", "no-cache");
  if (namesTag(request.headers["if-none-match"], etag)) {
    response.statusCode = 304;
    response.end();
    return;
  }
  response.setHeader("content-type", file.type);
  if (content !== file.content) response.setHeader("content-encoding", "gzip");
  response.setHeader("content-length", content.length);
  if (request.method === "HEAD") response.end();
  else await send(content, response);
}

/** The representation of a file that its client prefers. */
async function negotiate(
  file: PublishedFile,
  request: HttpRequest,
  response: HttpResponse,
): Promise<Pick<PublishedFile, "etag" | "content">> {
  if (file.compressed === undefined) return file;
  varyByEncoding(response);
  return acceptsGzip(request.headers["accept-encoding"]?.toString()) ? await file.compressed() : file;
}

/** Sends a content in slices, as fast as the client reads: TLS would encrypt a whole content at once, into memory. */
async function send(content: Buffer, response: HttpResponse): Promise<void> {
  try {
    await pipeline(Readable.from(slicesOf(content)), response);
  } catch (failure) {
    if (!isDisconnect(failure)) throw failure;
  }
}

function* slicesOf(content: Buffer): Iterable<Buffer> {
  for (let at = 0; at < content.length; at += sliceBytes) yield content.subarray(at, at + sliceBytes);
}

function isDisconnect(failure: unknown): boolean {
  return failure instanceof Error && "code" in failure && failure.code === "ERR_STREAM_PREMATURE_CLOSE";
}
