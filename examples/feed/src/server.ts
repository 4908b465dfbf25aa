import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { Code } from "@connectrpc/connect";
import { callFailure } from "@nexgate/privacy-control-client";
import { ReplicaStaleError } from "@nexgate/privacy-control-client/replica";
import type { Feed } from "./feed.ts";
import { InvalidTokenError, KeysUnavailableError } from "./viewers.ts";

interface ServerOptions {
  readonly feed: Feed;
  /** Reads the user of a request; null when it has no token. */
  readonly viewerOf: (authorization: string | undefined) => Promise<string | null>;
  /** Whether decisions can be made. */
  readonly isReady: () => boolean;
  readonly logFailure: (failure: unknown) => void;
}

/** An answer that is no success. */
class HttpError extends Error {
  readonly status: number;
  readonly reason: string;
  readonly headers: Record<string, string>;

  constructor(status: number, reason: string, message: string, headers: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.headers = headers;
  }
}

interface Reply {
  readonly status: number;
  readonly body: unknown;
}

const maxBodyBytes = 16_384;
const maxTextLength = 1_000;
const maxLimit = 100;
/** How long a reader waits for the change that the answer must have, and for everything else. */
const requestTimeoutMs = 5_000;
const comments = /^\/posts\/(\d{1,15})\/comments$/;

/** The HTTP API: `GET /feed`, `POST /posts`, `POST /posts/ID/comments`, `GET /readyz`. */
export function feedServer({ feed, viewerOf, isReady, logFailure }: ServerOptions): Server {
  async function answer(request: IncomingMessage, signal: AbortSignal): Promise<Reply> {
    const url = URL.parse(request.url ?? "/", "http://feed");
    if (url === null) throw new HttpError(404, "NOT_FOUND", "there is nothing at this address");
    const [, post] = comments.exec(url.pathname) ?? [];
    if (url.pathname === "/readyz") {
      assertMethod(request, "GET");
      return { status: isReady() ? 200 : 503, body: { ready: isReady() } };
    }
    if (url.pathname === "/feed") {
      assertMethod(request, "GET");
      return {
        status: 200,
        body: await readFeed(url.searchParams, await viewerOf(authorizationOf(request)), signal),
      };
    }
    if (url.pathname === "/posts") {
      assertMethod(request, "POST");
      const author = await signedIn(request);
      return { status: 201, body: feed.publish(author, await readText(request)) };
    }
    if (post !== undefined) {
      assertMethod(request, "POST");
      const author = await signedIn(request);
      const comment = await feed.comment(author, Number(post), await readText(request), signal);
      if (comment === undefined) throw new HttpError(404, "NOT_FOUND", "there is no such post");
      return { status: 201, body: comment };
    }
    throw new HttpError(404, "NOT_FOUND", "there is nothing at this address");
  }

  function readFeed(query: URLSearchParams, viewer: string | null, signal: AbortSignal) {
    const before = readNumber(query, "before", Number.MAX_SAFE_INTEGER);
    const limit = readNumber(query, "limit", maxLimit);
    return feed.read(viewer, { before, limit, after: query.get("after") ?? undefined, signal });
  }

  async function signedIn(request: IncomingMessage): Promise<string> {
    const user = await viewerOf(authorizationOf(request));
    if (user === null) throw new InvalidTokenError("a bearer token is missing");
    return user;
  }

  return createServer(async (request, response) => {
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const signal = AbortSignal.any([gone.signal, AbortSignal.timeout(requestTimeoutMs)]);
    try {
      const { status, body } = await answer(request, signal);
      send(response, status, body);
    } catch (failure) {
      if (gone.signal.aborted) return;
      const error = toHttpError(failure);
      if (error.status >= 500) logFailure(failure);
      // The rest of a body that was not read would be taken for the next request.
      if (!request.complete) response.setHeader("connection", "close");
      send(
        response,
        error.status,
        { error: { reason: error.reason, message: error.message } },
        error.headers,
      );
    }
  });
}

function send(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}) {
  response.writeHead(status, {
    "content-type": "application/json",
    // What one user may see is not for the next one, nor for later.
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...headers,
  });
  response.end(JSON.stringify(body));
}

/** An error as a caller gets it. It never has the cause of a decision. */
function toHttpError(failure: unknown): HttpError {
  if (failure instanceof HttpError) return failure;
  if (failure instanceof InvalidTokenError)
    return new HttpError(401, "UNAUTHENTICATED", failure.message, { "www-authenticate": "Bearer" });
  const ofCall = callFailure(failure);
  if (ofCall?.code === Code.InvalidArgument)
    return new HttpError(400, "INVALID_AFTER", "after is no consistency token");
  const isTimeout = failure instanceof Error && failure.name === "TimeoutError";
  const isTemporary =
    isTimeout || failure instanceof ReplicaStaleError || failure instanceof KeysUnavailableError;
  if (ofCall === undefined && !isTemporary) return new HttpError(500, "INTERNAL", "an internal error");
  const retryAfter = String(Math.max(1, Math.ceil((ofCall?.retryAfterMs ?? 0) / 1_000)));
  return new HttpError(503, "UNAVAILABLE", "who may see what is not known at present", {
    "retry-after": retryAfter,
  });
}

function authorizationOf({ headers }: IncomingMessage): string | undefined {
  return headers.authorization;
}

function assertMethod({ method }: IncomingMessage, allowed: string): void {
  if (method !== allowed)
    throw new HttpError(405, "METHOD_NOT_ALLOWED", `only ${allowed} is allowed`, { allow: allowed });
}

function readNumber(query: URLSearchParams, name: string, max: number): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= max) return value;
  throw new HttpError(400, "INVALID_REQUEST", `${name} must be a number from 1 to ${max}`);
}

async function readText(request: IncomingMessage): Promise<string> {
  if (!/^application\/json *(;|$)/i.test(request.headers["content-type"] ?? ""))
    throw new HttpError(415, "UNSUPPORTED", "the body must be application/json");
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > maxBodyBytes)
      throw new HttpError(413, "TOO_LARGE", `the body is longer than ${maxBodyBytes} bytes`);
    chunks.push(chunk);
  }
  const text = textOf(Buffer.concat(chunks).toString());
  if (text === undefined)
    throw new HttpError(400, "INVALID_REQUEST", `text must have 1 to ${maxTextLength} characters`);
  return text;
}

/** The field `text` of a JSON object; undefined when there is none of a sensible length. */
function textOf(body: string): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    throw new HttpError(400, "INVALID_REQUEST", "the body is no JSON");
  }
  const text = typeof value === "object" && value !== null && "text" in value ? value.text : undefined;
  return typeof text === "string" && text.trim() !== "" && text.length <= maxTextLength ? text : undefined;
}
