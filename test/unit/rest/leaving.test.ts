import type { ServerResponse } from "node:http";
import http2 from "node:http2";
import { connect, type Socket } from "node:net";
import { expect } from "chai";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { service } from "../../../src/call/service.ts";
import { PrivacyError } from "../../../src/domain/errors.ts";
import { fetch2, raw, Servers, type TestGateway, testGateway } from "./servers.ts";

const settings = "/users/me/privacy";
const good = { authorization: "good" };
const get = `GET ${settings} HTTP/1.1\r\nhost: x\r\nauthorization: good\r\n\r\n`;
const patch =
  `PATCH ${settings} HTTP/1.1\r\nhost: x\r\nauthorization: good\r\n` +
  "content-type: application/json\r\ncontent-length: 100\r\n\r\n";

describe("a client that disconnects", () => {
  const servers = new Servers();
  afterEach(() => servers.close());

  /** A gateway whose handler reports when it runs and when its call is aborted, and answers only then. */
  function waitingGateway() {
    const called = Promise.withResolvers<void>();
    const aborted = Promise.withResolvers<unknown>();
    const test = testGateway([
      service(PrivacyControlService, {
        getPrivacySettings: async (_, { signal }) => {
          signal.addEventListener("abort", () => aborted.resolve(signal.reason));
          called.resolve();
          await aborted.promise;
          return { settings: { lastSeen: 1, profilePicture: 1, status: 1, readReceipts: 1, groups: 1 } };
        },
      }),
    ]);
    const logged = async () => {
      while (test.logged.length === 0) await new Promise(setImmediate);
      return test.logged.map(({ code, method }) => ({ code, method }));
    };
    return { ...test, called: called.promise, aborted: aborted.promise, codes: logged };
  }

  it("aborts its call over HTTP/1.1, also when the handler then succeeds", async () => {
    const test = waitingGateway();
    const socket = connect(await servers.http1(test.gateway), "127.0.0.1");
    socket.write(get);
    await test.called;
    socket.destroy();
    expect(await test.aborted).to.have.property("rawMessage", "the client went away");
    expect(await test.codes()).to.deep.equal([
      { code: "canceled", method: "nexgate.privacy.v1.PrivacyControlService/GetPrivacySettings" },
    ]);
  });

  it("aborts its call over HTTP/2", async () => {
    const test = waitingGateway();
    const session = await servers.http2(test.gateway);
    const stream = session.request({ ":path": settings, ...good });
    stream.on("error", () => {});
    await test.called;
    stream.close(http2.constants.NGHTTP2_CANCEL);
    expect(await test.aborted).to.have.property("rawMessage", "the client went away");
    expect((await test.codes()).map(({ code }) => code)).to.deep.equal(["canceled"]);
    expect((await fetch2(session, { ":path": "/nope" })).headers[":status"]).to.equal(404);
  });

  for (const version of ["HTTP/1.1", "HTTP/2"])
    it(`ends the wait for its body over ${version}, even when the part received is complete JSON`, async () => {
      const body = '{"setting":"last_seen","value":"all"}';
      const admitted = Promise.withResolvers<void>();
      const handled: unknown[] = [];
      const test = testGateway(
        [
          service(PrivacyControlService, {
            updatePrivacySetting: (request) => {
              handled.push(request);
              return {};
            },
          }),
        ],
        { onAdmitted: admitted.resolve },
      );
      if (version === "HTTP/2") {
        let socket: Socket | undefined;
        const session = await servers.http2(test.gateway, (port) => ({
          createConnection: () => {
            socket = connect(port, "127.0.0.1");
            return socket;
          },
        }));
        const stream = session.request(
          { ":method": "PATCH", ":path": settings, ...good, "content-type": "application/json" },
          { endStream: false },
        );
        stream.on("error", () => {});
        stream.write(body);
        await admitted.promise;
        // RST_STREAM by hand: node's own client ends the body before it resets a stream.
        socket?.write(Buffer.from([0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, http2.constants.NGHTTP2_CANCEL]));
      } else {
        const socket = connect(await servers.http1(test.gateway), "127.0.0.1");
        socket.write(patch + body);
        await admitted.promise;
        socket.destroy();
      }
      while (test.logged.length === 0) await new Promise(setImmediate);
      expect(test.logged.map(({ code }) => code)).to.deep.equal(["canceled"]);
      expect(handled).to.deep.equal([]);
    });

  it("is no error when its connection ends just before a page is written", async () => {
    let response: ServerResponse | undefined;
    const test = testGateway([
      service(PrivacyControlService, {
        listBlockedUsers: async ({ pageToken }) => {
          if (pageToken !== "") response?.destroy();
          return { blocks: [{ id: "a" }], nextPageToken: "more" };
        },
      }),
    ]);
    const handle: TestGateway["gateway"]["handle"] = (request, answer) => {
      response = answer as ServerResponse;
      test.gateway.handle(request, answer);
    };
    const answer = await raw(
      await servers.http1({ ...test.gateway, handle }),
      get.replace(settings, "/api/v1/e-social/privacy-control/blocked"),
    );
    expect(answer.text).to.not.include("]");
    expect(test.logged.map(({ code }) => code)).to.deep.equal(["canceled"]);
  });

  it("does not disturb a call that is over", async () => {
    const test = testGateway([
      service(PrivacyControlService, {
        getPrivacySettings: () => ({
          settings: { lastSeen: 1, profilePicture: 1, status: 1, readReceipts: 1, groups: 1 },
        }),
      }),
    ]);
    const answer = await raw(
      await servers.http1(test.gateway),
      get.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"),
    );
    expect(answer.text).to.match(/^HTTP\/1\.1 200 /);
    expect(test.logged.map(({ code }) => code)).to.deep.equal(["ok"]);
  });
});

describe("the end of the process", () => {
  const servers = new Servers();
  afterEach(() => servers.close());

  it("ends the wait for a body with the reason of the shutdown", async () => {
    const admitted = Promise.withResolvers<void>();
    const test = testGateway([service(PrivacyControlService, {})], { onAdmitted: admitted.resolve });
    const answer = raw(
      await servers.http1(test.gateway),
      patch.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"),
    );
    await admitted.promise;
    test.shutdown.abort(new PrivacyError("UNAVAILABLE"));
    expect((await answer).text).to.match(/^HTTP\/1\.1 503 /);
  });
});
