import { once } from "node:events";
import { expect } from "chai";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { Audience } from "../../../gen/nexgate/privacy/v1/resources_pb.ts";
import { service } from "../../../src/call/service.ts";
import { matchesTag } from "../../../src/rest/respond.ts";
import { Servers, testGateway } from "./servers.ts";

const settings = "/users/me/privacy";
const good = { authorization: "good" };

describe("entity tags", () => {
  for (const [header, named] of [
    [undefined, false],
    ["", false],
    ["*", true],
    ['W/"a"', true],
    ['"a"', true],
    ['"b", W/"a"', true],
    ['"b",W/"c"', false],
    ["a", false],
    ['"a,b"', false],
    ['W/"*"', false],
  ] as const)
    it(`${named ? "match" : "do not match"} ${header}`, () => {
      expect(matchesTag(header, 'W/"a"')).to.equal(named);
    });
});

describe("a resource that has not changed", () => {
  const servers = new Servers();
  let lastSeen: Audience = Audience.ALL;
  const test = testGateway([
    service(PrivacyControlService, {
      getPrivacySettings: () => ({
        settings: { lastSeen, profilePicture: 2, status: 3, readReceipts: 4, groups: 1 },
      }),
      listBlockedUsers: () => ({ blocks: [{ id: "1" }] }),
    }),
  ]);
  let url: string;
  before(async () => {
    url = `http://127.0.0.1:${await servers.http1(test.gateway)}`;
  });
  beforeEach(() => {
    test.logged.length = 0;
  });
  after(() => servers.close());
  const get = (path: string, headers: Record<string, string> = {}) =>
    fetch(url + path, { headers: { ...good, ...headers } });

  it("is answered 304 without a body, as a call that went well", async () => {
    const first = await get(settings);
    const tag = first.headers.get("etag") ?? "";
    expect(tag).to.match(/^W\/"[\w-]{22}"$/);
    for (const path of [settings, `/api/v1${settings}`]) {
      const again = await get(path, { "if-none-match": tag });
      expect([again.status, await again.text()]).to.eql([304, ""]);
      expect(again.headers.get("etag")).to.equal(tag);
      expect(again.headers.get("content-type")).to.equal(null);
    }
    expect(test.logged.map(({ code }) => code)).to.eql(["ok", "ok", "ok"]);
    const session = await servers.http2(test.gateway);
    const stream = session.request({ ":path": settings, ...good, "if-none-match": tag });
    const [headers] = await once(stream, "response");
    expect(headers).to.include({ ":status": 304, etag: tag });
  });

  it("has another tag once it has changed", async () => {
    const tag = (await get(settings)).headers.get("etag") ?? "";
    lastSeen = Audience.CONTACTS;
    const changed = await get(settings, { "if-none-match": tag });
    expect(changed.status).to.equal(200);
    expect(changed.headers.get("etag")).to.not.equal(tag);
    await changed.json();
  });

  it("is no list, no failure and nothing that was refused", async () => {
    for (const [path, headers, status] of [
      ["/api/v1/e-social/privacy-control/blocked", {}, 200],
      [`${settings}?nope=1`, { "if-none-match": "*" }, 400],
      [settings, { authorization: "bad", "if-none-match": "*" }, 401],
    ] as const) {
      const answer = await get(path, headers);
      expect([answer.status, answer.headers.get("etag")]).to.eql([status, null]);
      await answer.json();
    }
  });
});
