import { expect } from "chai";
import { postgresUrl } from "../support/cluster.ts";
import { exchange, openSession } from "../support/raw-http.ts";
import { startService, type TestService } from "../support/service.ts";

const ada = "a11ce000-0000-4000-8000-000000000001";
const bob = "b0b00000-0000-4000-8000-000000000002";
const eve = "eee00000-0000-4000-8000-000000000005";
const control = "/api/v1/e-social/privacy-control";

describe("methods of HTTP that no document names", () => {
  let service: TestService;
  let authorization: string;
  before(async () => {
    service = await startService(await postgresUrl());
    const users = [ada, bob, eve].map((id, i) => ({ id, userName: `user${i}` }));
    await service.graph.upsertUsers({ users }, await service.acting());
    authorization = `Bearer ${await service.userToken(ada)}`;
    for (const id of [bob, eve]) await service.rest("POST", `${control}/block/${id}`, { as: ada });
  });
  after(() => service.stop(0));

  /** What differs from one answer to the next, or depends on the body's way. */
  const varying = new Set(["date", "x-request-id", "transfer-encoding", "keep-alive", "connection"]);
  const comparable = (headers: Iterable<[string, unknown]>) =>
    Object.fromEntries([...headers].filter(([name]) => !varying.has(name)));

  for (const [path, status] of [
    ["/users/me/privacy", 200],
    ["/api/v1/users/me/privacy/last_seen/exceptions", 200],
    [`${control}/blocked`, 200],
    [`${control}/muted`, 200],
    [`${control}/blocked?page_size=1`, 200],
    [`${control}/blocked?page_size=none`, 400],
    ["/nowhere", 404],
    ["/healthz", 200],
    ["/readyz", 200],
    ["/docs", 200],
    ["/openapi.json", 200],
    ["/docs/swagger-ui-bundle.js", 200],
    ["/", 302],
  ] as const)
    it(`HEAD ${path} is GET without its body`, async () => {
      const ask = (method: string) =>
        fetch(service.publicUrl + path, {
          method,
          headers: { authorization, "accept-encoding": "identity" },
          redirect: "manual",
        });
      const [get, head] = [await ask("GET"), await ask("HEAD")];
      expect([get.status, head.status, await head.text()]).to.eql([status, status, ""]);
      expect(comparable(head.headers)).to.eql(comparable(get.headers));
      const session = openSession(service.publicUrl);
      const answer = await exchange(session, {
        headers: { ":method": "HEAD", ":path": path, authorization, "accept-encoding": "identity" },
      });
      session.destroy();
      expect(answer).to.include({ body: "", reset: 0 });
      expect(comparable(Object.entries(answer.headers))).to.eql({
        ":status": status,
        ...comparable(get.headers),
      });
    });

  it("HEAD needs a token where GET does", async () => {
    const head = await fetch(`${service.publicUrl}${control}/blocked`, { method: "HEAD" });
    expect([head.status, await head.text()]).to.eql([401, ""]);
  });

  it("OPTIONS lists the methods of a path", async () => {
    for (const [path, allow] of [
      ["/users/me/privacy", "GET, HEAD, PATCH, OPTIONS"],
      [`${control}/blocked`, "GET, HEAD, OPTIONS"],
      [`${control}/block/${bob}`, "POST, PATCH, OPTIONS"],
    ] as const) {
      const answer = await fetch(service.publicUrl + path, { method: "OPTIONS" });
      expect([answer.status, answer.headers.get("allow"), await answer.text()]).to.eql([204, allow, ""]);
    }
    expect((await fetch(`${service.publicUrl}/nowhere`, { method: "OPTIONS" })).status).to.equal(404);
  });

  it("GET of the root leads to the page; other methods are a 404", async () => {
    const answer = await fetch(service.publicUrl);
    expect([answer.status, new URL(answer.url).pathname]).to.eql([200, "/docs"]);
    expect(await answer.text()).to.contain("<title>Privacy Control API</title>");
    expect((await fetch(service.publicUrl, { method: "POST" })).status).to.equal(404);
  });
});
