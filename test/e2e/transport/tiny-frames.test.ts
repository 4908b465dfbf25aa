import { once } from "node:events";
import { queryObjects } from "node:v8";
import { expect } from "chai";
import { readJsonBody } from "../../../src/rest/body.ts";
import { frame, headerBlock, http2Frame, openTcp, preface } from "../../support/raw-http.ts";
import { startTestServer, type TestServer } from "../../support/transport-server.ts";

const pieces = 20_000;
/** The client takes its time: to count buffers, all of them are looked for. */
const patient = { firstRequestMs: 3_600_000, requestMs: 3_600_000 };

/** The buffers that somebody still refers to. */
const buffers = () => queryObjects(Buffer, { format: "count" });

describe("a body that comes byte by byte", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({
      face: "public",
      limits: patient,
      rest: (request) => {
        readJsonBody(request, 2 * pieces, new AbortController().signal).catch(() => {});
      },
    });
  });
  after(() => server.stop());

  for (const [what, path, type, head] of [
    [
      "a unary gRPC call",
      "/nexgate.privacy.v1.PrivacyControlService/GetPrivacySettings",
      "application/grpc",
      frame(Buffer.alloc(0), { length: 2 * pieces }),
    ],
    ["REST", "/x", "application/json", "{"],
  ] as const)
    it(`is not held in a buffer for each, over ${what}`, async () => {
      const { socket, received } = await openTcp(server.listener.port);
      const block = headerBlock([
        [":method", "POST"],
        [":scheme", "http"],
        [":authority", "h"],
        [":path", path],
        ["content-type", type],
        ["authorization", "t"],
      ]);
      const settings = http2Frame(4, 0, 0, Buffer.alloc(0));
      socket.write(
        Buffer.concat([
          preface,
          settings,
          http2Frame(1, 4, 1, block),
          http2Frame(0, 0, 1, Buffer.from(head)),
        ]),
      );
      const before = buffers();
      const piece = http2Frame(0, 0, 1, Buffer.from(" "));
      const ping = http2Frame(6, 0, 0, Buffer.from("received"));
      socket.write(Buffer.concat([...Array.from({ length: pieces }, () => piece), ping]));
      while (!received().includes("received")) await once(socket, "data");
      expect(buffers() - before).to.be.below(pieces / 20);
      socket.destroy();
    });
});
