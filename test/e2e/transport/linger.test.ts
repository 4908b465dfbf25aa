import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect } from "chai";
import { talk } from "../../support/raw-http.ts";
import { startTestServer, type TestServer } from "../../support/transport-server.ts";
import { until } from "../../support/until.ts";

describe("the lingering close after an answer that does not wait for the request", () => {
  let server: TestServer;
  let answered: PromiseWithResolvers<void>;
  const seen: (string | undefined)[] = [];
  before(async () => {
    server = await startTestServer({
      listener: "public",
      rest: (request, response) => {
        seen.push(request.url);
        response.once("close", () => setImmediate(answered.resolve));
        response.setHeader("connection", "close");
        response.end("an answer");
      },
    });
  });
  after(() => server.stop());
  beforeEach(() => {
    answered = Promise.withResolvers();
  });

  /** Sends a text, waits until the server has answered and closed, sends another, and only then reads. */
  async function sendOn(head: string, more: string, isAnswered: () => Promise<unknown>): Promise<string> {
    const socket = connect(server.listener.port, "127.0.0.1").pause();
    socket.on("error", () => {});
    await once(socket, "connect");
    socket.write(head);
    await isAnswered();
    await written(socket, more);
    await written(socket, more);
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk)).resume();
    await once(socket, "close");
    return Buffer.concat(chunks).toString();
  }

  const written = (socket: Socket, text: string) => new Promise((resolve) => socket.write(text, resolve));
  const chunked = "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

  it("lets the answer reach a client that continues to send", async () => {
    expect(await sendOn(chunked, "3\r\nabc\r\n", () => answered.promise)).to.match(
      /^HTTP\/1\.1 200 .*an answer/s,
    );
  });

  it("lets the refusal reach a client that continues to send what is not HTTP", async () => {
    const refused = () => new Promise((resolve) => setTimeout(resolve, 50));
    expect(await sendOn("nonsense\r\n\r\n", "more", refused)).to.match(/^HTTP\/1\.1 400 /);
  });

  it("serves no further request of the connection", async () => {
    seen.length = 0;
    await talk(server.listener.port, `${chunked}0\r\n\r\nGET /second HTTP/1.1\r\nHost: h\r\n\r\n`);
    expect(seen).to.eql(["/x"]);
  });

  it("closes a connection whose client never closes it", async () => {
    const socket = connect({ port: server.listener.port, host: "127.0.0.1", allowHalfOpen: true });
    socket.on("error", () => {}).resume();
    socket.write(chunked);
    const timer = setInterval(() => socket.write("1\r\na\r\n"), 20);
    await until(() => socket.closed).finally(() => clearInterval(timer));
  });
});
