import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import { GetUserRequestSchema } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { byGrpcio, byGrpcJs, type MakeCalls } from "../../resilience/fuzz/peers.ts";
import { lengthPrefixed } from "../../support/frames.ts";
import { isNeeded } from "../../support/programs.ts";
import { exchange, openSession, talk } from "../../support/raw-http.ts";
import { aUserId, startTestServer, type TestServer } from "../../support/transport-server.ts";

const path = "/nexgate.privacy.v1.GraphService/GetUser";
const message = Buffer.from(
  toBinary(GetUserRequestSchema, create(GetUserRequestSchema, { userId: aUserId })),
);
const call = { path, metadata: { authorization: "t" }, message, timeout: 20_000 };

for (const fastPath of [true, false]) {
  describe(`the authority of a client, on ${fastPath ? "the fast path" : "Connect's adapter"}`, () => {
    let server: TestServer;
    before(async () => {
      server = await startTestServer({ fastPath });
    });
    after(() => server.stop());

    for (const authority of [
      "localhost",
      // Of targets of gRPC's C core: `unix:` with a path, several addresses, and a port alone.
      "%2Ftmp%2Fservice.sock",
      "127.0.0.1:50051%2C127.0.0.1:50052",
      ":50051",
      // Node's client of HTTP/2 leaves the brackets out.
      "::1:50051",
      // Invalid in a URL: Connect would end the process for it.
      "[",
      "x:99999",
    ]) {
      for (const type of ["application/grpc", "application/proto"]) {
        it(`may be ${authority} over HTTP/2, for ${type}`, async () => {
          const session = openSession(server.listener.url);
          const headers = {
            ":path": path,
            ":authority": authority,
            "content-type": type,
            authorization: "t",
          };
          const chunks = [type === "application/grpc" ? lengthPrefixed(message) : message];
          const answer = await exchange(session, { headers, chunks });
          expect([answer.headers[":status"], answer.reset]).to.eql([200, 0]);
          if (type === "application/grpc") expect(answer.trailers["grpc-status"]).to.equal("0");
          session.destroy();
        });
      }
    }

    it("is logged when it is refused over HTTP/1.1", async () => {
      server.lines.length = 0;
      const head = `POST ${path} HTTP/1.1\r\nHost: [${"a".repeat(500)}\r\nContent-Type: application/json\r\n`;
      const answer = await talk(
        server.listener.port,
        `${head}Content-Length: 2\r\nConnection: close\r\n\r\n{}`,
      );
      expect(answer).to.match(/^HTTP\/1\.1 400 /);
      const [line] = server.lines;
      expect(line?.msg).to.equal("a request was refused for its Host header");
      expect(line?.host).to.equal(`[${"a".repeat(99)}`);
    });
  });
}

describe("the targets of gRPC clients", () => {
  let server: TestServer;
  let proxy: Server;
  let folder: string;
  let targets: string[];
  before(async () => {
    server = await startTestServer();
    const { port } = server.listener;
    folder = mkdtempSync(join(tmpdir(), "privacy-control-"));
    const socketPath = join(folder, "socket");
    proxy = createServer((client) => {
      const upstream = connect(port, "127.0.0.1");
      for (const socket of [client, upstream]) socket.on("error", () => {});
      client.pipe(upstream).pipe(client);
    });
    proxy.listen(socketPath);
    await once(proxy, "listening");
    targets = [
      `unix:${socketPath}`,
      `ipv4:127.0.0.1:${port},127.0.0.1:${port}`,
      `dns:///127.0.0.1:${port}`,
      `127.0.0.1:${port}`,
    ];
  });
  after(async () => {
    proxy.close();
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  async function codesOf(makeCalls: MakeCalls): Promise<string[]> {
    const codes: string[] = [];
    for (const target of targets) codes.push(...(await makeCalls(target, [call])));
    return codes;
  }

  it("of the C core are served", async function () {
    const grpcio = isNeeded("python3-grpcio", await byGrpcio());
    if (grpcio === undefined) return this.skip();
    expect(await codesOf(grpcio)).to.eql(targets.map(() => "OK"));
  });

  it("of grpc-js are served", async () => {
    expect(await codesOf(byGrpcJs)).to.eql(targets.map(() => "OK"));
  });
});
