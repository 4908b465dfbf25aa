import { once } from "node:events";
import http2, { type ClientHttp2Stream } from "node:http2";
import { connect, type Socket } from "node:net";
import { createGunzip, gunzipSync } from "node:zlib";
import type { HandlerContext } from "@connectrpc/connect";
import { expect } from "chai";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { service } from "../../../src/call/service.ts";
import { acceptsGzip, compress } from "../../../src/rest/compression.ts";
import { raw, Servers, type TestGateway, testGateway } from "./servers.ts";

const blocked = "/api/v1/e-social/privacy-control/blocked";
const asking = { authorization: "good", "accept-encoding": "gzip" };
const httpRequest = (encoding: string, query = "") =>
  `GET ${blocked}${query} HTTP/1.1\r\nhost: x\r\nauthorization: good\r\naccept-encoding: ${encoding}\r\n` +
  "connection: close\r\n\r\n";

/** A list of blocks with so many pages of rows that are hard to compress. */
function listGateway(
  pageCount: number,
  rowsOfPage: number,
  pageOf?: (page: number, context: HandlerContext) => unknown,
) {
  const asked: number[] = [];
  const random = () => Math.random().toString(36).slice(2);
  const test = testGateway([
    service(PrivacyControlService, {
      listBlockedUsers: async ({ pageToken }, context) => {
        const page = Number(pageToken);
        asked.push(page);
        await pageOf?.(page, context);
        const blocks = Array.from({ length: rowsOfPage }, () => ({ id: random() + random() + random() }));
        return { blocks, nextPageToken: page + 1 < pageCount ? String(page + 1) : "" };
      },
      getPrivacySettings: () => ({
        settings: { lastSeen: 1, profilePicture: 2, status: 3, readReceipts: 4, groups: 1 },
      }),
    }),
  ]);
  return { ...test, asked };
}

describe("negotiation of gzip", () => {
  for (const [header, accepted] of [
    [undefined, false],
    ["", false],
    ["gzip", true],
    ["GZIP", true],
    ["x-gzip", true],
    ["gzip, deflate, br, zstd", true],
    ["br;q=1.0, gzip;q=0.8, *;q=0.1", true],
    ["gzip;q=0", false],
    ["gzip; q=0.000", false],
    ["gzip;q=nonsense", false],
    ["identity", false],
    ["br", false],
    ["*", true],
    ["*;q=0", false],
    ["gzip;q=0, *", false],
    ["identity;q=0.5, gzip;q=0.4", false],
    ["identity;q=0.5, gzip;q=0.5", true],
    ["identity;q=0, gzip", true],
    ["gzipped", false],
  ] as const)
    it(`${accepted ? "takes" : "leaves"} it for ${JSON.stringify(header)}`, () => {
      expect(acceptsGzip(header)).to.equal(accepted);
    });
});

describe("a compressed body", () => {
  it("has a length that discloses little of its content", async () => {
    const text = "a name ".repeat(1_000);
    const all = await Promise.all(Array.from({ length: 200 }, () => compress(text)));
    for (const compressed of all) expect(gunzipSync(compressed).toString()).to.equal(text);
    const lengths = all.map(({ length }) => length);
    expect(new Set(lengths).size).to.be.above(20);
    expect(Math.max(...lengths) - Math.min(...lengths)).to.be.below(100);
  });
});

describe("compressed answers", () => {
  const servers = new Servers();
  afterEach(() => servers.close());
  const get = async (test: TestGateway, path: string, encoding: string) => {
    const port = await servers.http1(test.gateway);
    return fetch(`http://127.0.0.1:${port}${path}`, {
      headers: { authorization: "good", "accept-encoding": encoding },
    });
  };

  for (const [what, path, pages] of [
    ["a page", `${blocked}?page_size=1000`, 1],
    ["a complete list", blocked, 3],
  ] as const) {
    it(`are ${what} of many rows, where the client accepts gzip`, async () => {
      const answer = await get(listGateway(pages, 1_000), path, "br, gzip");
      expect(answer.headers.get("content-encoding")).to.equal("gzip");
      expect(answer.headers.get("vary")).to.equal("accept-encoding");
      // Decompressed by fetch.
      const { data } = (await answer.json()) as { data: unknown[] };
      expect(data).to.have.length(pages * 1_000);
    });

    it(`are not ${what} where it does not`, async () => {
      const answer = await get(listGateway(pages, 1_000), path, "identity");
      expect(answer.headers.get("content-encoding")).to.equal(null);
      expect(answer.headers.get("vary")).to.equal("accept-encoding");
      expect(((await answer.json()) as { data: unknown[] }).data).to.have.length(pages * 1_000);
    });
  }

  it("are not used for small bodies", async () => {
    for (const path of [`${blocked}?page_size=3`, "/users/me/privacy", "/nowhere"]) {
      const answer = await get(listGateway(1, 3), path, "gzip");
      expect(answer.headers.get("content-encoding")).to.equal(null);
      expect(answer.headers.get("vary")).to.equal(null);
      await answer.json();
    }
  });

  it("have their length, unless they are streamed", async () => {
    const port = await servers.http1(listGateway(1, 1_000).gateway);
    const { text } = await raw(port, httpRequest("gzip", "?page_size=1000"));
    const [, length] = /content-length: (\d+)\r\n/i.exec(text) ?? [];
    expect(Number(length)).to.be.within(10_000, 40_000);
  });

  it("come over HTTP/2 too", async () => {
    const session = await servers.http2(listGateway(3, 1_000).gateway);
    const stream = session.request({ ":path": blocked, ...asking });
    const [headers] = await once(stream, "response");
    expect(headers).to.include({ "content-encoding": "gzip", vary: "accept-encoding" });
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(JSON.parse(gunzipSync(Buffer.concat(chunks)).toString()).data).to.have.length(3_000);
  });

  it("contain each page before the next one is read", async () => {
    const first = Promise.withResolvers<void>();
    const list = listGateway(2, 10, (page) => (page === 0 ? undefined : first.promise));
    const session = await servers.http2(list.gateway);
    const stream = session.request({ ":path": blocked, ...asking });
    const text = stream.pipe(createGunzip()).setEncoding("utf8");
    const rows = (json: string) => json.split('"createdAt"').length - 1;
    let received = "";
    for await (const chunk of text) {
      received += chunk;
      if (rows(received) === 10) first.resolve();
    }
    expect(rows(received)).to.equal(20);
    expect(JSON.parse(received).data).to.have.length(20);
  });

  it("are broken off when a later page fails, and never closed", async () => {
    const list = listGateway(3, 1_000, (page) => {
      if (page === 2) throw new Error("the database is unavailable");
    });
    const answer = await raw(await servers.http1(list.gateway), httpRequest("gzip"));
    expect(answer.ended).to.equal("reset");
    const session = await servers.http2(list.gateway);
    const stream: ClientHttp2Stream = session.request({ ":path": blocked, ...asking });
    stream.on("error", () => {}).resume();
    await new Promise((resolve) => stream.once("close", resolve));
    expect(stream.rstCode).to.equal(http2.constants.NGHTTP2_INTERNAL_ERROR);
    expect(list.logged.map(({ code }) => code)).to.eql(["internal", "internal"]);
  });

  it("are produced no faster than the client reads them", async () => {
    const pageCount = 200;
    const list = listGateway(pageCount, 1_000);
    const socket: Socket = connect(await servers.http1(list.gateway), "127.0.0.1");
    socket.pause();
    socket.write(httpRequest("gzip"));
    let before = -1;
    while (list.asked.length !== before) {
      before = list.asked.length;
      for (let turn = 0; turn < 2_000; turn++) await new Promise(setImmediate);
    }
    expect(list.asked.length).to.be.within(1, pageCount - 1);
    socket.destroy();
    while (list.logged.length === 0) await new Promise(setImmediate);
    expect(list.logged[0]).to.include({ code: "canceled" });
  });

  it("end when the client disconnects", async () => {
    const list = listGateway(3, 1_000, (page, { signal }) => (page === 1 ? aborted(signal) : undefined));
    const session = await servers.http2(list.gateway);
    const stream = session.request({ ":path": blocked, ...asking });
    stream.on("error", () => {});
    await once(stream, "response");
    stream.close(http2.constants.NGHTTP2_CANCEL);
    while (list.logged.length === 0) await new Promise(setImmediate);
    expect(list.logged.map(({ code }) => code)).to.eql(["canceled"]);
  });
});

function aborted(signal: AbortSignal): Promise<unknown> {
  return signal.aborted ? Promise.resolve() : once(signal, "abort");
}
