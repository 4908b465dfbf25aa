import { ChunkBuffer } from "../call/streams.ts";
import { PrivacyError } from "../domain/errors.ts";
import type { HttpRequest } from "../http/plain-responses.ts";
import { BadRequestError } from "./failure.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Reads the JSON body of a request; undefined when it has none, or white space only. Throws REQUEST_TOO_LARGE without
 * reading on, a `BadRequestError` for a body that is not JSON, and the reason of `signal`, which aborts the wait.
 */
export async function readJsonBody(
  request: HttpRequest,
  maxBytes: number,
  signal: AbortSignal,
): Promise<unknown> {
  if (hasNoBody(request)) return undefined;
  if (Number(request.headers["content-length"] ?? 0) > maxBytes) throw new PrivacyError("REQUEST_TOO_LARGE");
  // The body of a small request follows its headers in the same turn of the event loop.
  await undefined;
  const bytes = arrivedBytes(request) ?? (await readBytes(request, maxBytes, signal));
  if (bytes.length === 0) return undefined;
  checkMediaType(request);
  return parseBody(bytes);
}

/** Whether the headers already say that no body follows. */
export function hasNoBody(request: HttpRequest): boolean {
  const length = request.headers["content-length"];
  if (length !== undefined) return Number(length) === 0;
  return "stream" in request
    ? request.stream.endAfterHeaders
    : request.headers["transfer-encoding"] === undefined;
}

/**
 * The body of an HTTP/1.1 request, if all of it is there already, as that of a small one is: then listeners and
 * promises to wait for it are needless.
 */
function arrivedBytes(request: HttpRequest): Buffer | undefined {
  if ("stream" in request || request.readableLength !== Number(request.headers["content-length"]))
    return undefined;
  const bytes: Buffer = request.read();
  // Node waits for the end of a request, which nobody else would read.
  request.resume();
  return bytes;
}

/** Leaving a `for await` over the request would destroy the socket that the answer needs: hence the events. */
function readBytes(request: HttpRequest, maxBytes: number, signal: AbortSignal): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks = new ChunkBuffer();
  const onData = (chunk: Buffer) => {
    if (chunks.bytes + chunk.length > maxBytes) reject(new PrivacyError("REQUEST_TOO_LARGE"));
    else chunks.push(chunk);
  };
  const onEnd = () => resolve(chunks.concat());
  const onError = (cause: Error) => reject(new PrivacyError("CANCELLED", { cause }));
  const onAbort = () => reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort);
  request.on("error", onError).on("end", onEnd).on("data", onData);
  return promise.finally(() => {
    signal.removeEventListener("abort", onAbort);
    request.off("error", onError).off("end", onEnd).off("data", onData).pause();
  });
}

/**
 * Throws a `BadRequestError` unless the headers announce plain JSON in UTF-8. Parameters that say nothing of the charset are
 * ignored: JSON has none (RFC 8259, 11).
 */
export function checkMediaType({ headers }: Pick<HttpRequest, "headers">): void {
  const [type, ...parameters] = (headers["content-type"] ?? "").toLowerCase().split(";");
  const isUtf8 = parameters
    .map((parameter) => parameter.trim())
    .every((parameter) => !parameter.startsWith("charset") || /^charset=("?)utf-?8\1$/.test(parameter));
  if (type?.trim() !== "application/json" || !isUtf8)
    throw new BadRequestError("media_type", "The body must be application/json in UTF-8");
  if ((headers["content-encoding"] ?? "identity").toLowerCase() !== "identity")
    throw new BadRequestError("media_type", "The body must not be compressed");
}

/** Parses the bytes of a body; undefined for white space. Throws a `BadRequestError` for what is no JSON in UTF-8. */
export function parseBody(bytes: Uint8Array): unknown {
  try {
    const text = utf8.decode(bytes);
    return text.trim() === "" ? undefined : parseStrictJson(text);
  } catch {
    throw new BadRequestError("malformed", "Malformed JSON body");
  }
}

/** A string in JSON. */
const strings = /"(?:[^"\\]|\\.)*"/g;

/**
 * Parses JSON whose objects have no name twice (RFC 7493, 2.3). `JSON.parse` takes the last of two values; a proxy
 * before us may have looked at the first. Throws a `SyntaxError`.
 */
export function parseStrictJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (membersInText(text) > membersIn(value)) throw new SyntaxError("an object has a name twice");
  return value;
}

/** The members of all objects in a text: outside of strings, each has one colon. */
function membersInText(text: string): number {
  return text.replaceAll(strings, "").split(":").length - 1;
}

/** The members of all objects in a value, without recursion: a value may be nested as deep as its text is long. */
function membersIn(value: unknown): number {
  let members = 0;
  const values = [value];
  for (const one of values) {
    if (typeof one !== "object" || one === null) continue;
    const parts = Object.values(one);
    if (!Array.isArray(one)) members += parts.length;
    for (const part of parts) values.push(part);
  }
  return members;
}
