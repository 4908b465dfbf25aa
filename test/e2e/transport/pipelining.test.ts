import { once } from "node:events";
import { expect } from "chai";
import { openTcp } from "../../support/raw-http.ts";
import { startTestServer, type TestServer } from "../../support/transport-server.ts";

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`;

describe("requests that do not wait for answers, over HTTP/1.1", () => {
  let server: TestServer;
  let begun: string[];
  let running: number;
  let most: number;
  before(async () => {
    server = await startTestServer({
      face: "public",
      limits: { concurrentStreams: 20 },
      rest: async (request, response) => {
        most = Math.max(most, ++running);
        begun.push(request.url ?? "");
        await new Promise(setImmediate);
        running -= 1;
        response.end(request.url ?? "");
      },
    });
  });
  after(() => server.stop());
  beforeEach(() => {
    begun = [];
    running = most = 0;
  });

  it("are served one after the other, in their order", async () => {
    const paths = Array.from({ length: 20 }, (_, i) => `/${i}`);
    const { socket, received } = await openTcp(server.listener.port);
    socket.write(paths.map(get).join(""));
    while (!received().endsWith("/19")) await once(socket, "data");
    expect([begun, most]).to.eql([paths, 1]);
    const answers = [...received().matchAll(/\r\n\r\n(\/\d+)/g)].map(([, path]) => path);
    expect(answers).to.eql(paths);
    socket.destroy();
  });

  it("cost the connection when they are too many", async () => {
    const { socket } = await openTcp(server.listener.port);
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.write(get("/x").repeat(21));
    await closed;
    expect(begun).to.eql(["/x"]);
  });

  it("are not served any more when their client has gone", async () => {
    const { socket } = await openTcp(server.listener.port);
    socket.write(get("/x").repeat(3));
    socket.resetAndDestroy();
    const { socket: other, received } = await openTcp(server.listener.port);
    other.write(get("/last"));
    while (!received().endsWith("/last")) await once(other, "data");
    expect(begun.filter((path) => path === "/x").length).to.be.below(3);
    other.destroy();
  });
});
