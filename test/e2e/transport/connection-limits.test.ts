import { once } from "node:events";
import { constants } from "node:http2";
import { connect, type Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { expect } from "chai";
import type { ListenerLimits } from "../../../src/http/listener-limits.ts";
import { headerBlock, http2Frame, preface } from "../../support/frames.ts";
import { openSession, openTcp } from "../../support/raw-http.ts";
import { startTestServer, type TestServer } from "../../support/transport-server.ts";
import { until } from "../../support/until.ts";

const largeAnswer = Buffer.alloc(16 * 1024 * 1024, "a");

describe("the limits of a listener for all of its connections", () => {
  let server: TestServer;
  let holding: PromiseWithResolvers<void>;
  let held: number;
  let sockets: Socket[];
  beforeEach(() => {
    holding = Promise.withResolvers();
    held = 0;
    sockets = [];
  });
  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    await server.stop();
  });

  async function start(limits: Partial<ListenerLimits>): Promise<void> {
    server = await startTestServer({
      listener: "public",
      limits,
      rest: async (request, response) => {
        if (request.url === "/held" || request.url === "/counted") held += 1;
        if (request.url === "/held") await holding.promise;
        if (request.url === "/soon") await setTimeout(30);
        if (request.method === "POST") request.on("data", () => {}).on("end", () => response.end());
        else response.end(request.url === "/large" ? largeAnswer : "an answer");
      },
    });
  }

  async function connected() {
    const { socket, received } = await openTcp(server.listener.port);
    sockets.push(socket);
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    const ask = async (path = "/x") => {
      const before = received().length;
      socket.write(`GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`);
      while (!received().slice(before).endsWith("an answer")) await once(socket, "data");
    };
    return { socket, received, closed, ask };
  }

  describe("when too many are open", () => {
    it("closes the longest idle connection for a new one", async () => {
      await start({ connections: 3 });
      const [first, second, third] = [await connected(), await connected(), await connected()];
      for (const one of [second, first, third, second]) await one.ask();
      const fourth = await connected();
      await fourth.ask();
      await first.closed;
      for (const one of [second, third, fourth]) await one.ask();
      expect(server.listener.evictedConnections()).to.eql({ idle: 1, memory: 0 });
      expect(server.listener.refusedConnections()).to.equal(0);
      expect(server.listener.connections()).to.equal(3);
    });

    it("counts a connection with an unfinished request head as idle", async () => {
      await start({ connections: 2 });
      const [slow, other] = [await connected(), await connected()];
      slow.socket.write("GET / HTTP/1.1\r\nHost: h\r\n");
      await other.ask();
      const third = await connected();
      await third.ask();
      await slow.closed;
      expect(slow.received()).to.equal("");
      await other.ask();
    });

    it("sends GOAWAY to an HTTP/2 session that it closes", async () => {
      await start({ connections: 1 });
      const session = openSession(server.listener.url);
      const stream = session.request({ ":path": "/x" }).resume();
      await once(stream, "close");
      const away = once(session, "goaway");
      const next = await connected();
      await next.ask();
      expect((await away)[0]).to.equal(constants.NGHTTP2_NO_ERROR);
      await until(() => session.destroyed);
    });

    it("closes the connections of ended HTTP/2 sessions whose clients leave them open", async () => {
      await start({ connections: 2, sweepMs: 20 });
      const settings = http2Frame(4, 0, 0, Buffer.alloc(0));
      const away = http2Frame(7, 0, 0, Buffer.alloc(8));
      for (let i = 0; i < 6; i++) {
        const socket = connect({ port: server.listener.port, host: "127.0.0.1", allowHalfOpen: true });
        sockets.push(socket.on("error", () => {}));
        socket.write(Buffer.concat([preface, settings, away]));
        await once(socket.resume(), "end");
      }
      await until(() => server.listener.connections() <= 2);
      await until(() => server.listener.connections() === 0);
    });

    it("closes no connection with a request in flight, and refuses a new one when all have one", async () => {
      await start({ connections: 2 });
      const [first, second] = [await connected(), await connected()];
      const answers = [first.ask("/held"), second.ask("/held")];
      await until(() => held === 2);
      const refused = await connected();
      await refused.closed;
      expect(refused.received()).to.equal("");
      expect(server.listener.refusedConnections()).to.equal(1);
      holding.resolve();
      await Promise.all(answers);
    });
  });

  describe("when their requests take too much memory", () => {
    const remaining = () => server.listener.connections();

    it("closes connections that do not read their answers, and none that does", async () => {
      // Four times the answer and more, of which the kernel may take a part.
      await start({ requestMemoryBytes: 60 * 1024 * 1024, sweepMs: 20 });
      for (let i = 0; i < 12; i++) {
        const { socket } = await connected();
        socket.pause();
        socket.write("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
      }
      await until(() => server.listener.evictedConnections().memory > 0);
      const { socket } = await connected();
      socket.write("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
      while (socket.bytesRead < largeAnswer.length) await once(socket, "data");
      expect(remaining()).to.be.within(2, 12);
    });

    it("closes HTTP/2 sessions whose flow-control window holds their answers back", async () => {
      await start({ requestMemoryBytes: 4_500_000, sweepMs: 20 });
      await openWindowless();
      await until(() => server.listener.evictedConnections().memory === 3 && remaining() === 3);
    });

    it("closes none without the limit", async () => {
      await start({ requestMemoryBytes: Number.POSITIVE_INFINITY, sweepMs: 20 });
      await openWindowless();
      await until(() => held === 6 * 20);
      const other = await connected();
      for (let turn = 0; turn < 50; turn++) await other.ask();
      expect([server.listener.evictedConnections().memory, remaining()]).to.eql([0, 7]);
    });

    async function openWindowless(): Promise<void> {
      const noWindow = http2Frame(4, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0]));
      const large = Array.from({ length: 100 }, (_, i) => [`x-${i}`, "a".repeat(100)] as const);
      const block = headerBlock([
        [":method", "GET"],
        [":scheme", "http"],
        [":authority", "h"],
        [":path", "/counted"],
        ...large,
      ]);
      // Each stream takes some 70 KB, each session 1.4 MB: three are within the limit.
      const streams = Array.from({ length: 20 }, (_, i) => http2Frame(1, 5, i * 2 + 1, block));
      for (let i = 0; i < 6; i++) {
        const { socket } = await connected();
        socket.write(Buffer.concat([preface, noWindow, ...streams]));
      }
    }

    it("closes connections that send part of a body and stop", async () => {
      await start({ requestMemoryBytes: 240_000, sweepMs: 20 });
      const part = "a".repeat(60_000);
      for (let i = 0; i < 6; i++) {
        const { socket } = await connected();
        socket.write(`POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 65000\r\n\r\n${part}`);
      }
      await until(() => server.listener.evictedConnections().memory === 3 && remaining() === 3);
    });

    it("closes connections with large bodies that trickle, before one that waits for a small answer", async () => {
      await start({ requestMemoryBytes: 240_000, sweepMs: 20 });
      const honest = await connected();
      const askSoon = () => Promise.race([honest.ask("/soon"), honest.closed]);
      await askSoon();
      const timer = setInterval(() => {
        for (const socket of sockets) if (socket !== honest.socket) socket.write("a");
      }, 5);
      try {
        for (let i = 0; i < 6; i++) {
          const { socket } = await connected();
          socket.write(`POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 65000\r\n\r\n${"a".repeat(60_000)}`);
          await askSoon();
        }
        while (server.listener.evictedConnections().memory < 3 && !honest.socket.destroyed) await askSoon();
      } finally {
        clearInterval(timer);
      }
      expect(honest.socket.destroyed).to.equal(false);
    });

    it("closes HTTP/2 sessions that send parts of bodies and stop", async () => {
      await start({ requestMemoryBytes: 240_000, sweepMs: 20 });
      const settings = http2Frame(4, 0, 0, Buffer.alloc(0));
      const block = headerBlock([
        [":method", "POST"],
        [":scheme", "http"],
        [":authority", "h"],
        [":path", "/x"],
      ]);
      const body = Array.from({ length: 4 }, () => http2Frame(0, 0, 1, Buffer.alloc(15_000)));
      for (let i = 0; i < 6; i++) {
        const { socket } = await connected();
        socket.write(Buffer.concat([preface, settings, http2Frame(1, 4, 1, block), ...body]));
      }
      await until(() => server.listener.evictedConnections().memory === 3 && remaining() === 3);
    });
  });
});
