import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { expect } from "chai";
import { canMakeCertificates, listenTls, makeAuthority } from "../../support/certificates.ts";
import { openTcp } from "../../support/raw-http.ts";
import { startTestServer, type TestServer } from "../../support/transport-server.ts";

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`;

describe("pipelined requests over HTTP/1.1", () => {
  let server: TestServer;
  let begun: string[];
  let running: number;
  let most: number;
  let holding: PromiseWithResolvers<void>;
  let held: Socket | undefined;
  const rest: NonNullable<Parameters<typeof startTestServer>[0]>["rest"] = async (request, response) => {
    most = Math.max(most, ++running);
    begun.push(request.url ?? "");
    if (request.url === "/held") {
      held = request.socket;
      await holding.promise;
    } else await new Promise(setImmediate);
    running -= 1;
    response.end(request.url ?? "");
  };
  before(async () => {
    server = await startTestServer({ listener: "public", limits: { concurrentStreams: 20 }, rest });
  });
  after(() => server.stop());
  beforeEach(() => {
    begun = [];
    running = most = 0;
    holding = Promise.withResolvers();
  });

  it("are served one after the other, in order", async () => {
    const paths = Array.from({ length: 20 }, (_, i) => `/${i}`);
    const { socket, received } = await openTcp(server.listener.port);
    socket.write(paths.map(get).join(""));
    while (!received().endsWith("/19")) await once(socket, "data");
    expect([begun, most]).to.eql([paths, 1]);
    const answers = [...received().matchAll(/\r\n\r\n(\/\d+)/g)].map(([, path]) => path);
    expect(answers).to.eql(paths);
    socket.destroy();
  });

  it("never get the refusal of a later one as their answer", async () => {
    const { socket, received } = await openTcp(server.listener.port);
    const closed = once(socket, "close");
    socket.write(`${get("/held")}nonsense\r\n\r\n`);
    await closed;
    expect([begun, received()]).to.eql([["/held"], ""]);
    holding.resolve();
  });

  it("end the connection when too many wait, also with an unsupported Expect", async () => {
    const { socket } = await openTcp(server.listener.port);
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.write(get("/held") + "GET /x HTTP/1.1\r\nHost: h\r\nExpect: pigs\r\n\r\n".repeat(20));
    await closed;
    expect(begun).to.eql(["/held"]);
    holding.resolve();
  });

  it("end the connection when too many wait", async () => {
    const { socket } = await openTcp(server.listener.port);
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.write(get("/x").repeat(21));
    await closed;
    expect(begun).to.eql(["/x"]);
  });

  it("are not served after their client has disconnected", async () => {
    const { socket } = await openTcp(server.listener.port);
    socket.write(get("/x").repeat(3));
    socket.resetAndDestroy();
    const { socket: other, received } = await openTcp(server.listener.port);
    other.write(get("/last"));
    while (!received().endsWith("/last")) await once(other, "data");
    expect(begun.filter((path) => path === "/x").length).to.be.below(3);
    other.destroy();
  });

  for (const isSecure of [false, true]) {
    it(`stay unread while an answer is made, and are served after it, ${isSecure ? "TLS" : "plaintext"}`, async function () {
      if (isSecure && !canMakeCertificates) this.skip();
      const authority = isSecure ? makeAuthority("An authority") : undefined;
      const tls = authority && (await listenTls(authority.sign("server")));
      const reading = await startTestServer({ listener: "public", rest, ...(tls && { tls }) });
      const open = async () => {
        const { port } = reading.listener;
        const socket = authority
          ? connectTls({ port, host: "127.0.0.1", ca: authority.cert })
          : connectTcp(port, "127.0.0.1");
        await once(socket, authority ? "secureConnect" : "connect");
        return socket;
      };
      const [socket, other] = [await open(), await open()];
      let received = "";
      socket.on("data", (chunk) => (received += chunk));
      const paths = Array.from({ length: 99 }, (_, i) => `/${i}`);
      const large = `X-Large: ${"a".repeat(15_000)}\r\n`;
      socket.write(get("/held"));
      for (const path of paths) socket.write(`GET ${path} HTTP/1.1\r\nHost: h\r\n${large}\r\n`);
      // An answer on another connection comes after all that could be read of this one in the same turn.
      for (let turn = 0; turn < 50; turn++) {
        other.write(get("/other"));
        await once(other, "data");
      }
      // What one read brings, and the rest of the request at its end.
      expect(held?.bytesRead).to.be.below(3 * 65_536);
      holding.resolve();
      while (!received.endsWith("/98")) await once(socket, "data");
      expect(begun.filter((path) => path !== "/other")).to.eql(["/held", ...paths]);
      socket.destroy();
      other.destroy();
      await reading.stop();
    });
  }
});
