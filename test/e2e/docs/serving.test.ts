import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:http2";
import { Validator } from "@seriousme/openapi-schema-validator";
import { expect } from "chai";
import { ErrorReasonSchema } from "../../../gen/nexgate/privacy/v1/error_reason_pb.ts";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { service } from "../../../src/call/service.ts";
import { decisionTable } from "../../../src/domain/access.ts";
import { apiPage } from "../../../src/rest/docs/api-page.ts";
import { startTestServer, type TestServer } from "../../support/transport-server.ts";
import { testGateway } from "../../unit/rest/servers.ts";

const paths = {
  "/openapi.json": "application/json; charset=utf-8",
  "/docs": "text/html; charset=utf-8",
  "/docs/": "text/html; charset=utf-8",
  "/docs/theme.css": "text/css; charset=utf-8",
  "/docs/page.css": "text/css; charset=utf-8",
  "/docs/narrow.css": "text/css; charset=utf-8",
  "/docs/page.js": "text/javascript; charset=utf-8",
  "/docs/presentation.js": "text/javascript; charset=utf-8",
  "/docs/components.js": "text/javascript; charset=utf-8",
  "/docs/swagger-ui.css": "text/css; charset=utf-8",
  "/docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
  "/docs/favicon.png": "image/png",
  "/docs/decisions": "text/html; charset=utf-8",
  "/docs/decisions/": "text/html; charset=utf-8",
  "/docs/decisions/decisions.css": "text/css; charset=utf-8",
  "/docs/decisions/decisions.js": "text/javascript; charset=utf-8",
  "/docs/decisions/cases.js": "text/javascript; charset=utf-8",
  "/docs/decisions/access.ts": "text/javascript; charset=utf-8",
  "/docs/decisions/changes.ts": "text/javascript; charset=utf-8",
  "/docs/decisions/settings.ts": "text/javascript; charset=utf-8",
};

describe("the files of the API page", () => {
  let server: TestServer;
  let url: string;
  before(async () => {
    const { routes, handle } = testGateway([service(PrivacyControlService, {})]).gateway;
    server = await startTestServer({
      listener: "public",
      rest: handle,
      resources: await apiPage(routes, ErrorReasonSchema),
    });
    url = server.listener.url;
  });
  after(() => server?.stop());

  for (const [path, type] of Object.entries(paths)) {
    it(`${path} is the same over both versions of HTTP, and kept until it changes`, async () => {
      const get = (headers = {}, method = "GET") => fetch(url + path, { headers, method });
      const answer = await get();
      const body = Buffer.from(await answer.arrayBuffer());
      const etag = answer.headers.get("etag") ?? "";
      expect(answer.status).to.equal(200);
      expect(answer.headers.get("content-type")).to.equal(type);
      expect(answer.headers.get("cache-control")).to.equal("no-cache");
      expect(answer.headers.get("x-content-type-options")).to.equal("nosniff");
      const isCompressed = !type.startsWith("image/");
      expect(answer.headers.get("content-encoding")).to.equal(isCompressed ? "gzip" : null);
      expect(answer.headers.get("vary")).to.match(isCompressed ? /\baccept-encoding\b/ : /^origin$/);
      const digest = createHash("sha256").update(body).digest("base64url");
      expect(etag).to.equal(isCompressed ? `"${digest}-gzip"` : `"${digest}"`);
      const plain = await get({ "accept-encoding": "identity" });
      expect(plain.headers.get("content-encoding")).to.equal(null);
      expect(plain.headers.get("content-length")).to.equal(String(body.length));
      expect(plain.headers.get("etag")).to.equal(`"${digest}"`);
      expect(Buffer.from(await plain.arrayBuffer()).equals(body)).to.equal(true);

      const second = await overHttp2(path);
      expect(second.status).to.equal(200);
      expect(second.body.equals(body)).to.equal(true);

      for (const tags of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
        const kept = await get({ "if-none-match": tags });
        expect([kept.status, await kept.text(), kept.headers.get("etag")]).to.eql([304, "", etag]);
      }
      expect((await get({ "if-none-match": '"other"' })).status).to.equal(200);

      for (const [encoding, whole] of [
        ["identity", plain],
        ["gzip", answer],
      ] as const) {
        const head = await get({ "accept-encoding": encoding }, "HEAD");
        expect([head.status, await head.text()]).to.eql([200, ""]);
        expect(head.headers.get("content-length")).to.equal(whole.headers.get("content-length"));
      }
    });
  }

  it("lets a browser load and run nothing but files from here", async () => {
    for (const path of Object.keys(paths)) {
      const policy = (await fetch(url + path)).headers.get("content-security-policy");
      expect(policy?.split("; ")).to.have.members([
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
      ]);
    }
    for (const path of ["/docs", "/docs/", "/docs/decisions", "/docs/decisions/"]) {
      const page = await (await fetch(url + path)).text();
      const addresses = [...page.matchAll(/\b(?:src|href)="([^"]*)"/g)].map(([, address]) => address);
      expect(addresses).to.have.length.above(5);
      for (const address of addresses) expect(address).to.match(/^(?!\w+:|\/)/);
      expect(page).to.not.match(/<script>|<style|\sstyle=|\son\w+=|javascript:/);
    }
  });

  it("are the evaluator's own source files without their types", async () => {
    for (const name of ["access", "changes", "settings"]) {
      const served = await (await fetch(`${url}/docs/decisions/${name}.ts`)).text();
      const source = readFileSync(`src/domain/${name}.ts`, "utf8");
      // Types became spaces: what is left is where it was.
      expect(served).to.have.length(source.length);
      for (const [index, character] of [...served].entries())
        if (character !== " " && character !== ";") expect(source[index]).to.equal(character);
    }
  });

  it("have the decision table for readers without JavaScript", async () => {
    const page = await (await fetch(`${url}/docs/decisions`)).text();
    const [, table = ""] = /<noscript>(.*)<\/noscript>/s.exec(page) ?? [];
    const rows = [...table.matchAll(/<tr><th scope="row">(\w+)<\/th>(.*?)<\/tr>/g)].map(
      ([, name, cells = ""]) => [name, ...[...cells.matchAll(/<td>(.*?)<\/td>/g)].map(([, text]) => text)],
    );
    const expected = Object.entries(decisionTable).map(([name, { block, audience, mute, signedOut }]) => [
      name,
      block,
      audience === null ? "–" : `DENY by ${audience}`,
      mute,
      signedOut,
    ]);
    expect(rows).to.eql(expected);
  });

  it("are for GET and HEAD", async () => {
    for (const path of Object.keys(paths)) {
      const answer = await fetch(url + path, { method: "POST", body: "x" });
      expect([answer.status, answer.headers.get("allow")]).to.eql([405, "GET, HEAD"]);
    }
  });

  it("are named exactly: what is near them is a 404, and no path leads out of them", async () => {
    for (const path of [
      "/docs/index.html",
      "/docs/nope.js",
      "/docs/%2e%2e/package.json",
      "/Docs",
      "/openapi.json/",
    ])
      expect((await fetch(url + path)).status, path).to.equal(404);
  });

  it("have a valid document with the version of the package", async () => {
    const answer = await fetch(`${url}/openapi.json`);
    const document = (await answer.json()) as { info: { title: string; version: string } };
    expect(await new Validator().validate({ ...document })).to.eql({ valid: true });
    expect(document.info.title).to.equal("Privacy Control API");
    expect(document.info.version).to.equal(JSON.parse(readFileSync("package.json", "utf8")).version);
  });

  it("survive a client that disconnects during a response", async () => {
    for (let i = 0; i < 5; i++) {
      const controller = new AbortController();
      const answer = await fetch(`${url}/docs/swagger-ui-bundle.js`, {
        signal: controller.signal,
      });
      await answer.body?.getReader().read();
      controller.abort();
    }
    expect((await fetch(`${url}/docs`)).status).to.equal(200);
    expect(server.lines.map(({ msg }) => msg)).to.not.include("a request could not be answered");
  });

  async function overHttp2(path: string): Promise<{ status: unknown; body: Buffer }> {
    const session = connect(url);
    try {
      const stream = session.request({ ":path": path });
      const [headers] = await once(stream, "response");
      const chunks: Buffer[] = [];
      for await (const chunk of stream) chunks.push(chunk);
      return { status: headers[":status"], body: Buffer.concat(chunks) };
    } finally {
      session.close();
    }
  }
});
