import http2 from "node:http2";
import { connect, type Socket } from "node:net";
import type { HandlerContext } from "@connectrpc/connect";
import { expect } from "chai";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { service } from "../../../src/call/service.ts";
import { PrivacyError } from "../../../src/domain/errors.ts";
import { define, Envelope, Type } from "./protos.ts";
import { fetch2, raw, Servers, type TestGateway, testGateway, testTime } from "./servers.ts";

const blocked = "/api/v1/e-social/privacy-control/blocked";
const good = { authorization: "good" };
const httpRequest = `GET ${blocked} HTTP/1.1\r\nhost: x\r\nauthorization: good\r\nconnection: close\r\n\r\n`;

interface Asked {
  readonly pageSize: number;
  readonly pageToken: string;
}
type Page = { blocks?: { id: string }[]; nextPageToken?: string };

/** A gateway whose list has these pages, by token; and what it was asked for. */
function listGateway(
  pageOf: (token: string, context: HandlerContext) => Page | Promise<Page>,
  pageDeadlineMs = 60_000,
): TestGateway & { asked: Asked[] } {
  const asked: Asked[] = [];
  const test = testGateway(
    [
      service(PrivacyControlService, {
        listBlockedUsers: ({ pageSize, pageToken }, context) => {
          asked.push({ pageSize, pageToken });
          return pageOf(pageToken, context);
        },
      }),
    ],
    { pageDeadlineMs },
  );
  return { ...test, asked };
}

const rows = (...ids: string[]) => ids.map((id) => ({ id }));
const rowText = (id: string) => `{"id":"${id}","user":null,"createdAt":null}`;
const before = `{"success":true,"httpStatus":"OK","message":"Blocked users retrieved successfully","action_time":"${testTime}","data":`;
const listText = (...ids: string[]) => `${before}[${ids.map(rowText).join(",")}]}`;

const pages =
  (table: Record<string, Page>) =>
  (token: string): Page =>
    table[token] ?? {};

describe("complete lists over REST", () => {
  const servers = new Servers();
  afterEach(() => servers.close());
  const get = async ({ gateway }: TestGateway, path = blocked) =>
    fetch(`http://127.0.0.1:${await servers.http1(gateway)}${path}`, { headers: good });

  const shapes: [string, Record<string, Page>, string[]][] = [
    ["no page", { "": {} }, []],
    ["one page", { "": { blocks: rows("a", "b") } }, ["a", "b"]],
    [
      "three pages",
      {
        "": { blocks: rows("a", "b"), nextPageToken: "p1" },
        p1: { blocks: rows("c", "d"), nextPageToken: "p2" },
        p2: { blocks: rows("e") },
      },
      ["a", "b", "c", "d", "e"],
    ],
    [
      "empty pages among them",
      {
        "": { nextPageToken: "p1" },
        p1: { blocks: rows("a"), nextPageToken: "p2" },
        p2: { nextPageToken: "p3" },
        p3: { blocks: rows("b"), nextPageToken: "p4" },
        p4: {},
      },
      ["a", "b"],
    ],
    ["nothing but empty pages", { "": { nextPageToken: "p1" }, p1: {} }, []],
  ];
  for (const [what, table, ids] of shapes)
    it(`have the same bytes from ${what}`, async () => {
      const list = listGateway(pages(table));
      const answer = await get(list);
      expect(await answer.text()).to.equal(listText(...ids));
      expect(answer.status).to.equal(200);
      expect(answer.headers.get("content-type")).to.equal("application/json; charset=utf-8");
      expect(answer.headers.get("link")).to.equal(null);
      expect(list.asked).to.deep.equal(
        Object.keys(table).map((pageToken) => ({ pageSize: 1000, pageToken })),
      );
      expect(list.logged.map(({ code }) => code)).to.deep.equal(["ok"]);

      // Its headers are known from the first page.
      list.asked.length = 0;
      const url = `http://127.0.0.1:${await servers.http1(list.gateway)}${blocked}`;
      const head = await fetch(url, { method: "HEAD", headers: good });
      expect([head.status, await head.text()]).to.eql([200, ""]);
      for (const name of ["content-length", "content-type", "link", "vary"])
        expect(head.headers.get(name), name).to.equal(answer.headers.get(name));
      expect(list.asked).to.deep.equal([{ pageSize: 1000, pageToken: "" }]);

      const session = await servers.http2(list.gateway);
      expect((await fetch2(session, { ":path": blocked, ...good })).text).to.equal(listText(...ids));
    });

  it("fail like any call before the first page", async () => {
    const list = listGateway(() => {
      throw new PrivacyError("UNAVAILABLE");
    });
    const answer = await get(list);
    expect(answer.status).to.equal(503);
    expect(await answer.json()).to.include({ httpStatus: "SERVICE_UNAVAILABLE" });
  });

  it("are broken off when a later page fails, and never closed", async () => {
    const list = listGateway((token) => {
      if (token !== "") throw new Error("the database is unavailable");
      return { blocks: rows("a"), nextPageToken: "p1" };
    });
    const answer = await raw(await servers.http1(list.gateway), httpRequest);
    expect(answer.ended).to.equal("reset");
    expect(answer.text).to.match(/^(?:HTTP\/1\.1 200 |$)/);
    expect(answer.text).to.not.include("]");
    expect(answer.text).to.not.match(/\r\n0\r\n/);

    const session = await servers.http2(list.gateway);
    const { text, code } = await fetch2(session, { ":path": blocked, ...good });
    expect(text).to.not.include("]");
    expect(code).to.equal(http2.constants.NGHTTP2_INTERNAL_ERROR);
    expect(list.logged.map((line) => line.code)).to.deep.equal(["internal", "internal"]);
    expect(JSON.stringify(list.logged)).to.include("the database is unavailable");
  });

  it("give every page its own deadline", async () => {
    const untilAborted = (context: HandlerContext) =>
      new Promise<Page>((_, reject) => {
        expect(context.timeoutMs()).to.be.within(0, 10);
        context.signal.addEventListener("abort", () => reject(context.signal.reason));
      });
    const first = await get(listGateway((_, context) => untilAborted(context), 10));
    expect(first.status).to.equal(504);
    const second = listGateway(
      (token, context) => (token === "" ? { blocks: rows("a"), nextPageToken: "p1" } : untilAborted(context)),
      10,
    );
    const answer = await raw(await servers.http1(second.gateway), httpRequest);
    expect(answer.ended).to.equal("reset");
    expect(second.logged.map(({ code }) => code)).to.deep.equal(["deadline_exceeded"]);
  });

  it("stop when the process does", async () => {
    const list = listGateway((token, { signal }) => {
      if (token === "") return { blocks: rows("a"), nextPageToken: "p1" };
      list.shutdown.abort(new PrivacyError("UNAVAILABLE"));
      return Promise.reject(signal.reason);
    });
    const answer = await raw(await servers.http1(list.gateway), httpRequest);
    expect(answer.ended).to.equal("reset");
    expect(list.asked.length).to.equal(2);
  });

  for (const version of ["HTTP/1.1", "HTTP/2"])
    it(`stop when the client of ${version} disconnects`, async () => {
      const { promise: aborted, resolve } = Promise.withResolvers<unknown>();
      let leave = () => {};
      const list = listGateway(async (token, { signal }) => {
        if (token === "") return { blocks: rows("a"), nextPageToken: "p1" };
        signal.addEventListener("abort", () => resolve(signal.reason));
        leave();
        await aborted;
        return { blocks: rows("b"), nextPageToken: "p2" };
      });
      if (version === "HTTP/2") {
        const stream = (await servers.http2(list.gateway)).request({ ":path": blocked, ...good });
        stream.on("error", () => {});
        leave = () => stream.close(http2.constants.NGHTTP2_CANCEL);
      } else {
        const socket = connect(await servers.http1(list.gateway), "127.0.0.1");
        socket.write(httpRequest);
        leave = () => socket.destroy();
      }
      expect(await aborted).to.have.property("rawMessage", "the client went away");
      await settled(() => list.logged.length > 0);
      expect(list.asked.length).to.equal(2);
      expect(list.logged.map(({ code }) => code)).to.deep.equal(["canceled"]);
    });

  describe("wait for the client", () => {
    // Each page is more than the buffers between the two ends can hold.
    const page = { blocks: rows("x".repeat(16 << 20)) };
    const threePages = pages({
      "": { ...page, nextPageToken: "p1" },
      p1: { ...page, nextPageToken: "p2" },
      p2: page,
    });

    it("of HTTP/1.1", async () => {
      const list = listGateway(threePages);
      const socket: Socket = connect(await servers.http1(list.gateway), "127.0.0.1");
      socket.pause();
      socket.write(httpRequest);
      await settled(() => list.asked.length > 0);
      await turns(200);
      expect(list.asked.length).to.equal(1);
      let length = 0;
      socket.on("data", (chunk) => {
        length += chunk.length;
      });
      socket.resume();
      await new Promise((resolve) => socket.once("end", resolve));
      expect(length).to.be.greaterThan(3 * (16 << 20));
      expect(list.asked.length).to.equal(3);
    });

    it("of HTTP/2", async () => {
      const list = listGateway(threePages);
      const session = await servers.http2(list.gateway, { settings: { initialWindowSize: 65_535 } });
      const stream = session.request({ ":path": blocked, ...good });
      stream.pause();
      await settled(() => list.asked.length > 0);
      await turns(200);
      expect(list.asked.length).to.equal(1);
      stream.close(http2.constants.NGHTTP2_CANCEL);
      await settled(() => list.logged.length > 0);
      expect(list.asked.length).to.equal(1);
      expect(list.logged[0]).to.include({ code: "canceled" });
    });
  });
});

describe("pages of lists over REST", () => {
  const servers = new Servers();
  afterEach(() => servers.close());

  const next = (query: string) => `<${blocked}?${query}>; rel="next"`;
  const table: [string, Asked, string, string | null][] = [
    ["?page_size=2", { pageSize: 2, pageToken: "" }, "n", next("page_size=2&page_token=n")],
    ["?pageSize=2", { pageSize: 2, pageToken: "" }, "n", next("pageSize=2&page_token=n")],
    ["?page_size=0", { pageSize: 0, pageToken: "" }, "n", next("page_size=0&page_token=n")],
    ["?page_token=t", { pageSize: 0, pageToken: "t" }, "n", next("page_token=n")],
    ["?page_token=", { pageSize: 0, pageToken: "" }, "n", next("page_token=n")],
    ["?page_token=t&page_size=3", { pageSize: 3, pageToken: "t" }, "n", next("page_size=3&page_token=n")],
    ["?pageToken=t&page_size=3", { pageSize: 3, pageToken: "t" }, "n", next("page_size=3&page_token=n")],
    [
      "?page_size=2",
      { pageSize: 2, pageToken: "" },
      "a+/=>\n",
      next("page_size=2&page_token=a%2B%2F%3D%3E%0A"),
    ],
    ["?page_size=2", { pageSize: 2, pageToken: "" }, "", null],
  ];
  for (const [query, asked, nextPageToken, link] of table)
    it(`answer ${query} with the link ${link}`, async () => {
      const list = listGateway(() => ({ blocks: rows("a"), nextPageToken }));
      const port = await servers.http1(list.gateway);
      const answer = await fetch(`http://127.0.0.1:${port}${blocked}${query}`, { headers: good });
      const text = await answer.text();
      expect(text).to.equal(listText("a"));
      expect(answer.headers.get("link")).to.equal(link);
      expect(answer.headers.get("content-length")).to.equal(String(text.length));
      expect(list.asked).to.deep.equal([asked]);
    });

  const refused: [string, string][] = [
    ["?page_size=-1", "pageSize must be greater than or equal to 0"],
    ["?page_size=2147483648", "page_size must be a 32-bit integer"],
    ["?page_size=1&page_size=1", "page_size must be given once"],
    ["?page_size=1&pageSize=1", "pageSize must be given once"],
    ["?limit=1", "Unknown query parameter: limit"],
  ];
  for (const [query, message] of refused)
    it(`refuse ${query}`, async () => {
      const list = listGateway(() => ({}));
      const port = await servers.http1(list.gateway);
      const answer = await fetch(`http://127.0.0.1:${port}${blocked}${query}`, { headers: good });
      expect([answer.status, ((await answer.json()) as { message: string }).message]).to.deep.equal([
        400,
        message,
      ]);
      expect(list.asked).to.deep.equal([]);
    });

  it("keep the path and the other parameters in the link", async () => {
    const { service: desc } = define({
      messages: {
        Request: [
          ["shelf", Type.STRING],
          ["tag", Type.STRING],
          ["page_size", Type.INT32],
          ["page_token", Type.STRING],
        ],
        Item: [["name", Type.STRING]],
        Page: [
          ["items", "message:Item", { repeated: true }],
          ["next_page_token", Type.STRING],
        ],
      },
      methods: [
        {
          name: "ListItems",
          input: "Request",
          output: "Page",
          rules: [{ get: "/shelves/{shelf}/items", responseBody: "items" }],
          reply: { envelope: Envelope.STATUS, successMessage: "Listed" },
        },
      ],
    });
    const impl = {
      listItems: ({ pageToken }: { pageToken: string }) => ({
        items: [{ name: `after ${pageToken}` }],
        nextPageToken: pageToken === "" ? "1" : "",
      }),
    };
    const { gateway } = testGateway([service(desc, impl as never)]);
    const url = `http://127.0.0.1:${await servers.http1(gateway)}/shelves/a%3E%20b/items?tag=x%26y`;
    const page = await fetch(`${url}&page_size=1`, { headers: good });
    expect(page.headers.get("link")).to.equal(
      '</shelves/a%3E%20b/items?tag=x%26y&page_size=1&page_token=1>; rel="next"',
    );
    const complete = await fetch(url, { headers: good });
    expect(await complete.text()).to.equal(
      '{"status":true,"code":200,"message":"Listed","data":[{"name":"after "},{"name":"after 1"}]}',
    );
  });
});

/** Waits, turn by turn of the event loop, until something has come true. */
async function settled(condition: () => boolean): Promise<void> {
  while (!condition()) await turns(1);
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate);
}
