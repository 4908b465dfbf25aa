import { expect } from "chai";
import { exchange, openSession, talk } from "../support/raw-http.ts";
import { startTestServer, type TestServer } from "../support/transport-server.ts";

const path = "/nexgate.privacy.v1.PrivacyControlService/GetPrivacySettings";
const newId = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/;

describe("the id of a request", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ listener: "public" });
  });
  after(() => server.stop());
  beforeEach(() => {
    server.lines.length = 0;
  });

  async function ask(headers: Record<string, string>, type = "application/json", body = "{}") {
    const response = await fetch(server.listener.url + path, {
      method: "POST",
      headers: { authorization: "t", "content-type": type, ...headers },
      body,
    });
    await response.arrayBuffer();
    return response;
  }

  it("is new when the client has none, on every answer and in the log", async () => {
    const good = await ask({});
    const bad = await ask({ authorization: "expired" });
    expect([good.status, bad.status]).to.eql([200, 401]);
    const ids = [good, bad].map(({ headers }) => headers.get("x-request-id"));
    for (const id of ids) expect(id).to.match(newId);
    expect(server.lines.map(({ requestId }) => requestId)).to.eql(ids);
    for (const other of ["/healthz", "/nope"])
      expect((await fetch(server.listener.url + other)).headers.get("x-request-id")).to.match(newId);
    for (const text of ["nonsense\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"])
      expect(await talk(server.listener.port, text)).to.match(/\r\nx-request-id: [\da-f-]{36}\r\n/i);
  });

  it("is the client's own when it is well-formed", async () => {
    for (const id of [
      "0",
      "0af7651916cd43dd8448eb211c80319c",
      "Root=1-67891233-abcdef",
      "a/b:c@d.e_f-g+h",
      "x".repeat(128),
    ]) {
      const answer = await ask({ "x-request-id": id });
      expect(answer.headers.get("x-request-id")).to.equal(id);
      expect(server.lines.at(-1)?.requestId).to.equal(id);
      const failure = await ask({ "x-request-id": id, authorization: "expired" });
      expect([failure.status, failure.headers.get("x-request-id")]).to.eql([401, id]);
      expect(server.lines.at(-1)?.requestId).to.equal(id);
    }
  });

  it("replaces a malformed one", async () => {
    for (const id of ["", "a b", "a,b", '"', "{}", "\u00e9", "x".repeat(129), "<script>", "$(id)"]) {
      const answer = await ask({ "x-request-id": id });
      expect(answer.headers.get("x-request-id"), id).to.match(newId);
      expect(server.lines.at(-1)?.requestId).to.equal(answer.headers.get("x-request-id"));
    }
  });

  it("is in the log for gRPC, and on its failures", async () => {
    const session = openSession(server.listener.url);
    const headers = {
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      "x-request-id": "own",
    };
    for (const authorization of ["t", "expired"]) {
      await exchange(session, { headers: { ...headers, authorization }, chunks: [Buffer.alloc(5)] });
      expect(server.lines.at(-1)?.requestId).to.equal("own");
    }
    session.destroy();
  });
});
