import { randomUUID } from "node:crypto";
import { expect } from "chai";
import { exchange, openSession } from "../support/raw-http.ts";
import { startService, type TestService } from "../support/service.ts";

const path = "/api/v1/e-social/privacy-control/relationships";

describe("a list in a query", () => {
  let service: TestService;
  const me = randomUUID();
  before(async () => {
    service = await startService();
    const user = { id: me, userName: "alice", firstName: "Alice", lastName: "Mushi" };
    await service.graph.upsertUsers({ users: [user] }, await service.acting());
  });
  after(() => service?.stop(1_000));

  const ids = (count: number) => Array.from({ length: count }, () => randomUUID() as string);
  const queryOf = (users: readonly string[], name = "userIds") =>
    users.map((id) => `${name}=${id}`).join("&");
  const ask = (query: string) => service.rest("GET", `${path}?${query}`, { as: me });
  const strangers = (users: readonly string[]) =>
    users.map((userId) => ({ userId, following: null, blocking: null, muting: null }));

  it("is answered in order, as often as an id is given", async () => {
    const [ann = "", bob = ""] = ids(2);
    const users = [bob, ann, bob];
    for (const name of ["userIds", "user_ids", "user%49ds"]) {
      const { status, json } = await ask(queryOf(users, name));
      expect([status, json.data]).to.eql([200, strangers(users)]);
    }
    expect((await ask("")).json.data).to.eql([]);
  });

  it("may have a hundred ids over HTTP/1.1 and HTTP/2", async () => {
    const users = ids(100);
    const query = queryOf(users);
    expect(query.length).to.be.greaterThan(4_400);
    const { status, json } = await ask(query);
    expect([status, json.data]).to.eql([200, strangers(users)]);
    const session = openSession(service.publicUrl);
    const authorization = `Bearer ${await service.userToken(me)}`;
    const headers = { ":method": "GET", ":path": `${path}?${query}`, authorization };
    const { headers: head, body } = await exchange(session, { headers });
    session.destroy();
    expect(head[":status"]).to.equal(200);
    expect(JSON.parse(Buffer.from(body, "hex").toString()).data).to.eql(strangers(users));
  });

  it("is refused with 101 ids, and with escapes that make it longer", async () => {
    const { status, json } = await ask(queryOf(ids(101)));
    expect([status, json.message]).to.eql([400, "userIds must contain no more than 100 item(s)"]);
    const escaped = queryOf(ids(100)).replaceAll("-", "%2D");
    expect((await ask(escaped)).status).to.equal(200);
  });

  const [ann = "", bob = "", eve = ""] = ids(3);
  const refused: [string, string, string][] = [
    ["a third id that is none", `userIds=${ann}&userIds=${bob}&userIds=x`, "userIds[2] must be a valid UUID"],
    ["an empty id", `userIds=${ann}&userIds=`, "userIds[1] value is empty, which is not a valid UUID"],
    ["ids with commas", `userIds=${ann},${bob}`, "userIds[0] must be a valid UUID"],
    ["an array's brackets", `userIds[]=${ann}`, "Unknown query parameter: userIds[]"],
    ["two spellings", `userIds=${ann}&user_ids=${eve}`, "user_ids must be given once"],
    ["another name", `userId=${ann}`, "Unknown query parameter: userId"],
  ];
  for (const [what, query, message] of refused)
    it(`refuses ${what}`, async () => {
      const { status, json } = await ask(query);
      expect([status, json.message]).to.eql([400, message]);
    });

  it("names every wrong id", async () => {
    const { json } = await ask(`userIds=x&userIds=${ann}&userIds=y`);
    expect(json.message).to.equal("userIds[0] must be a valid UUID; userIds[2] must be a valid UUID");
  });
});
