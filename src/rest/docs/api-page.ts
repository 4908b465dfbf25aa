import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { DescEnum } from "@bufbuild/protobuf";
import { isDisconnect } from "../../call/errors.ts";
import { pathPrefixHeader } from "../../call/request-headers.ts";
import type { HttpRequest, HttpResponse } from "../../http/plain-responses.ts";
import { acceptsGzip } from "../compression.ts";
import { describeRoutes } from "../openapi/document.ts";
import { matchesTag, sendNotModified, varyByEncoding } from "../respond.ts";
import type { Route } from "../routes.ts";
import { evaluatorSources, withDecisionTable } from "./decisions-page.ts";

const html = "text/html; charset=utf-8";
const css = "text/css; charset=utf-8";
const javascript = "text/javascript; charset=utf-8";
const json = "application/json; charset=utf-8";
const png = "image/png";

/** The page may show and run what comes from here, and call this service. The renderer has its icons as data. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** Our own files of the pages, by the ends of their addresses. */
const files = [
  ["theme.css", "page/theme.css", css],
  ["page.css", "page/page.css", css],
  ["narrow.css", "page/narrow.css", css],
  ["page.js", "page/page.js", javascript],
  ["presentation.js", "page/presentation.js", javascript],
  ["components.js", "page/components.js", javascript],
  ["decisions/decisions.css", "decisions/decisions.css", css],
  ["decisions/decisions.js", "decisions/decisions.js", javascript],
  ["decisions/cases.js", "decisions/cases.js", javascript],
] as const;

const sliceBytes = 64 * 1024;
const gzipAsync = promisify(gzip);

type Handle = (request: HttpRequest, response: HttpResponse) => unknown;

/**
 * Makes the resources of the pages, by their paths: the description of compiled routes at `/openapi.json`, a page that
 * shows it at `/docs`, where `/` leads to, and one that explains decisions at `/docs/decisions`. `reasons` is the enum
 * that documents the reasons of errors.
 *
 * Rejects when a route cannot be described or a file of the pages is missing.
 */
export async function apiPage(routes: readonly Route[], reasons: DescEnum): Promise<Map<string, Handle>> {
  const own = files.map(async ([name, path, type]) => {
    return [`/docs/${name}`, publish(type, await readFile(ours(path)))] as const;
  });
  const evaluator = [...(await evaluatorSources())].map(
    ([name, source]) => [`/docs/decisions/${name}`, publish(javascript, source)] as const,
  );
  return new Map<string, Handle>([
    ["/", redirectToPage],
    ["/openapi.json", publish(json, await describe(routes, reasons))],
    ...publishPage("/docs", await readFile(ours("page/index.html"), "utf8")),
    ...publishPage(
      "/docs/decisions",
      withDecisionTable(await readFile(ours("decisions/index.html"), "utf8")),
    ),
    ...(await Promise.all(own)),
    ...evaluator,
    ["/docs/favicon.png", publish(png, await readFile(theirs("favicon-32x32.png")))],
    ["/docs/swagger-ui.css", publish(css, await readFile(theirs("swagger-ui.css")))],
    ["/docs/swagger-ui-bundle.js", publish(javascript, await readFile(theirs("swagger-ui-bundle.js")))],
  ]);
}

/** Publishes a page with and without a slash at the end. Its addresses are relative, so that it works below any path. */
function publishPage(path: string, page: string): [string, Handle][] {
  return [
    [path, publish(html, page)],
    [`${path}/`, publish(html, page.replaceAll(/(?<=(?:href|src)=")/g, "../"))],
  ];
}

async function describe(routes: readonly Route[], reasons: DescEnum): Promise<string> {
  const { version, license } = JSON.parse(await readFile(ours("../../../package.json"), "utf8"));
  const description = await readFile(ours("about.md"), "utf8");
  const info = { title: "Privacy Control API", version, license, description };
  return JSON.stringify(describeRoutes(routes, info, reasons));
}

function ours(path: string): URL {
  return new URL(path, import.meta.url);
}

function theirs(file: string): URL {
  return new URL(file, import.meta.resolve("swagger-ui-dist/package.json"));
}

function redirectToPage({ headers }: HttpRequest, response: HttpResponse): void {
  response.statusCode = 302;
  response.setHeader("location", `${headers[pathPrefixHeader] ?? ""}/docs`);
  response.setHeader("content-length", 0);
  response.end();
}

/** A content as it is sent, and its entity tag (RFC 9110, 8.8.3). */
interface Representation {
  readonly etag: string;
  readonly content: Buffer;
  readonly encoding?: "gzip";
}

/** Serves a content, compressed for clients that accept gzip. It is compressed when it is first asked for. */
function publish(type: string, body: string | Buffer): Handle {
  const content = Buffer.from(body);
  const digest = createHash("sha256").update(content).digest("base64url");
  const plain: Representation = { etag: `"${digest}"`, content };
  let compressing: Promise<Buffer> | undefined;
  const compressed = async (): Promise<Representation> => {
    compressing ??= gzipAsync(content);
    return { etag: `"${digest}-gzip"`, content: await compressing, encoding: "gzip" };
  };
  return async (request, response) => {
    // An image is compressed already.
    if (type !== png) varyByEncoding(response);
    const isPlain = type === png || !acceptsGzip(request.headers["accept-encoding"]?.toString());
    await send(request, response, type, isPlain ? plain : await compressed());
  };
}

async function send(
  request: HttpRequest,
  response: HttpResponse,
  type: string,
  { etag, content, encoding }: Representation,
): Promise<void> {
  response.setHeader("content-security-policy", contentSecurityPolicy);
  response.setHeader("etag", etag);
  // Kept by browsers, but asked for each time: nobody sees the page of an older version.
  response.setHeader("cache-control", "no-cache");
  if (matchesTag(request.headers["if-none-match"], etag)) return sendNotModified(response, []);
  response.setHeader("content-type", type);
  if (encoding !== undefined) response.setHeader("content-encoding", encoding);
  response.setHeader("content-length", content.length);
  if (request.method === "HEAD") response.end();
  else await sendInSlices(content, response);
}

/** Sends a content as fast as the client reads: TLS would encrypt a whole content at once, into memory. */
async function sendInSlices(content: Buffer, response: HttpResponse): Promise<void> {
  try {
    await pipeline(Readable.from(slicesOf(content)), response);
  } catch (failure) {
    if (!isDisconnect(failure)) throw failure;
  }
}

function* slicesOf(content: Buffer): Iterable<Buffer> {
  for (let at = 0; at < content.length; at += sliceBytes) yield content.subarray(at, at + sliceBytes);
}
