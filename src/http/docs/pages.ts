import { readFile } from "node:fs/promises";
import type { DescEnum } from "@bufbuild/protobuf";
import { describeRoutes } from "../../rest/openapi/document.ts";
import type { Route } from "../../rest/routes.ts";
import { prefixOf } from "../path-prefix.ts";
import { answerRedirect } from "../plain-responses.ts";
import { type Handle, pathOf } from "../request-router.ts";
import { type PublishedFile, publishFile, publishText } from "./files.ts";
import { serveFiles } from "./serve.ts";

const html = "text/html; charset=utf-8";
const css = "text/css; charset=utf-8";
const javascript = "text/javascript; charset=utf-8";

/**
 * Serves the description of compiled routes at `/openapi.json`, a page that shows it at `/docs`, where `/` leads to, and
 * leaves the rest to `otherwise`. `reasons` is the enum that documents the reasons of errors.
 *
 * Rejects when a route cannot be described or a file of the page is missing.
 */
export async function apiPages(
  routes: readonly Route[],
  reasons: DescEnum,
  otherwise: Handle,
): Promise<Handle> {
  const page = await readFile(ours("page/index.html"), "utf8");
  const files = new Map<string, PublishedFile>([
    ["/openapi.json", await describe(routes, reasons)],
    ["/docs", publishText(html, page)],
    // Addresses in the page are relative, so that it works below any path.
    ["/docs/", publishText(html, page.replaceAll(/(?<=(?:href|src)=")/g, "../"))],
    ["/docs/page.css", await publishFile(css, ours("page/page.css"))],
    ["/docs/page.js", await publishFile(javascript, ours("page/page.js"))],
    ["/docs/favicon.png", await publishFile("image/png", theirs("favicon-32x32.png"))],
    ["/docs/swagger-ui.css", await publishFile(css, theirs("swagger-ui.css"))],
    ["/docs/swagger-ui-bundle.js", await publishFile(javascript, theirs("swagger-ui-bundle.js"))],
  ]);
  const serve = serveFiles(files, otherwise);
  return (request, response) => {
    const isRoot = pathOf(request) === "/" && (request.method === "GET" || request.method === "HEAD");
    return isRoot ? answerRedirect(response, `${prefixOf(request)}/docs`) : serve(request, response);
  };
}

async function describe(routes: readonly Route[], reasons: DescEnum): Promise<PublishedFile> {
  const { version, license } = JSON.parse(await readFile(ours("../../../package.json"), "utf8"));
  const description = await readFile(ours("about.md"), "utf8");
  const info = { title: "Privacy Control API", version, license, description };
  const document = describeRoutes(routes, info, reasons);
  return publishText("application/json; charset=utf-8", JSON.stringify(document));
}

function ours(path: string): URL {
  return new URL(path, import.meta.url);
}

function theirs(file: string): URL {
  return new URL(file, import.meta.resolve("swagger-ui-dist/package.json"));
}
