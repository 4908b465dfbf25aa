import { expect } from "chai";
import { talk } from "../../support/raw-http.ts";
import { startTestServer, type TestServer } from "../../support/transport-server.ts";

const path = "/nexgate.privacy.v1.PrivacyControlService/GetPrivacySettings";
const long = `x-long: ${"a".repeat(20_000)}\r\n`;

describe("a request that reaches no method", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({
      listener: "public",
      limits: { headersMs: 50, sweepMs: 20 },
      rest: () => {
        throw new Error("broken");
      },
    });
  });
  after(() => server.stop());

  for (const [text, status, reason] of [
    ["nonsense\r\n\r\n", 400, "INVALID_REQUEST"],
    ["GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400, "INVALID_REQUEST"],
    ["CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 400, "INVALID_REQUEST"],
    ["GET / HTTP/1.1\r\nHost: h\r\n", 408, "DEADLINE_EXCEEDED"],
    [`GET / HTTP/1.1\r\nHost: h\r\n${long}\r\n`, 431, "REQUEST_TOO_LARGE"],
    [`GET / HTTP/1.1\r\nHost: h\r\n${"X: y\r\n".repeat(200)}`, 431, "REQUEST_TOO_LARGE"],
    ["POST / HTTP/1.1\r\nHost: h\r\nExpect: pigs\r\nConnection: close\r\n\r\n", 417, "UNSUPPORTED"],
    [`PUT ${path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`, 405, "UNSUPPORTED"],
    [
      `POST ${path} HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n`,
      415,
      "UNSUPPORTED",
    ],
    ["GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 500, "INTERNAL"],
  ] as const) {
    it(`has the reason ${reason} in its ${status}: ${JSON.stringify(text.slice(0, 60))}`, async () => {
      const answer = await talk(server.listener.port, text);
      expect(answer).to.match(new RegExp(`^HTTP/1\\.1 ${status} `));
      expect(answer).to.match(new RegExp(`\r\nx-error-reason: ${reason}\r\n`, "i"));
    });
  }
});
