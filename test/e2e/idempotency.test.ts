import { randomUUID } from "node:crypto";
import { type CallOptions, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { expect } from "chai";
import { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { reasonOf } from "../../src/call/errors.ts";
import { embedded, postgresql } from "../support/backends.ts";
import { exchange, openSession } from "../support/raw-http.ts";
import { startService, type TestService } from "../support/service.ts";

const control = "/api/v1/e-social/privacy-control";

const transports: Record<string, (baseUrl: string) => Transport> = {
  gRPC: (baseUrl) => createGrpcTransport({ baseUrl }),
  "Connect over HTTP/1.1": (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" }),
  "Connect over HTTP/2": (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2" }),
  "gRPC-Web over HTTP/1.1": (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
  "gRPC-Web over HTTP/2": (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "2" }),
};

/** Keys that the service refuses, and that the client's libraries send. */
const badKeys = ["", "k".repeat(256), "tab\tinside"];

for (const { backend, databaseUrl } of [embedded, postgresql]) {
  describe(`a repeated call on ${backend}`, () => {
    let service: TestService;
    let [ann, bob, carl] = ["", "", ""];
    before(async function () {
      service = await startService(await databaseUrl(this));
    });
    after(() => service?.stop(1_000));
    beforeEach(async () => {
      [ann, bob, carl] = [randomUUID(), randomUUID(), randomUUID()];
      const users = [ann, bob, carl].map((id) => ({
        id,
        userName: "someone",
        firstName: "F",
        lastName: "L",
      }));
      await service.graph.upsertUsers({ users }, await service.acting());
    });

    const failureOf = async (call: Promise<unknown>) => {
      const failure = ConnectError.from(await call.catch((reason: unknown) => reason));
      return [Code[failure.code], reasonOf(failure)];
    };

    for (const [action, undo, list] of [
      ["block", "unblock", "blocked"],
      ["mute", "unmute", "muted"],
    ] as const) {
      const post = (target: string, headers: Record<string, string> = {}, body?: unknown) =>
        service.rest("POST", `${control}/${action}/${target}`, { as: ann, headers, body });
      const withKey = (key: string) => ({ "idempotency-key": key });
      const listed = async () => (await service.rest("GET", `${control}/${list}`, { as: ann })).json.data;

      it(`gets the first answer over REST: ${action}`, async () => {
        const first = await post(bob, withKey("one"));
        expect(first.status).to.equal(200);
        await service.rest("DELETE", `${control}/${undo}/${bob}`, { as: ann });
        const late = await post(bob, withKey("one"));
        // All but the time of the answer.
        expect({ ...late.json, action_time: "" }).to.eql({ ...first.json, action_time: "" });
        expect(late.headers.get("consistency-token")).to.match(/^[\w-]{102}$/);
        expect(await listed()).to.eql([]);
        expect((await post(bob)).status).to.equal(200);
        for (const key of ["another", undefined])
          expect((await post(bob, key === undefined ? {} : withKey(key))).status).to.equal(400);
        expect((await post(bob, withKey("one"))).json.data).to.eql(first.json.data);
      });

      it(`gets the first failure over REST: ${action}`, async () => {
        await post(bob);
        const first = await post(bob, withKey("one"));
        await service.rest("DELETE", `${control}/${undo}/${bob}`, { as: ann });
        const late = await post(bob, withKey("one"));
        expect([late.status, late.json.message]).to.eql([400, `User already ${list}`]);
        expect({ ...late.json, action_time: "" }).to.eql({ ...first.json, action_time: "" });
        expect(await listed()).to.eql([]);
      });

      it(`may be made by terms, which are a part of the request: ${action}`, async () => {
        const inMinutes = (minutes: number) => ({
          expiresAt: new Date(Date.now() + minutes * 60_000).toISOString(),
        });
        const [soon, later] = [inMinutes(60), inMinutes(61)];
        const first = await post(bob, withKey("one"), soon);
        expect((await post(bob, withKey("one"), soon)).json.data).to.eql(first.json.data);
        for (const body of [later, {}, undefined])
          expect((await post(bob, withKey("one"), body)).status).to.equal(422);
      });

      it(`is refused when it asks for something else: ${action}`, async () => {
        await post(bob, withKey("one"));
        const other = await post(carl, withKey("one"));
        expect(other.status).to.equal(422);
        expect(other.headers.get("x-error-reason")).to.equal("IDEMPOTENCY_KEY_REUSED");
        expect(other.json).to.include({
          success: false,
          httpStatus: "UNPROCESSABLE_CONTENT",
          message: "The idempotency key was used for another request",
        });
        expect(await listed()).to.have.length(1);
      });

      it(`needs a good key over REST: ${action}`, async () => {
        for (const key of [...badKeys, "\u00fc"]) {
          const refused = await post(bob, withKey(key));
          expect([refused.status, refused.headers.get("x-error-reason")], key).to.eql([
            400,
            "INVALID_IDEMPOTENCY_KEY",
          ]);
        }
        expect(await listed()).to.eql([]);
        for (const key of ["k".repeat(255), '"quoted"', "a key, with ~ all; of it"])
          expect((await post(bob, withKey(key))).status, key).to.be.oneOf([200, 400]);
      });

      it(`gets one answer when it is made many times at once: ${action}`, async () => {
        const answers = await Promise.all(Array.from({ length: 10 }, () => post(bob, withKey("one"))));
        for (const { status, json } of answers)
          expect([status, json.data]).to.eql([200, answers[0]?.json.data]);
        expect(await listed()).to.have.length(1);
      });

      it(`gets the first answer over REST over HTTP/2: ${action}`, async () => {
        const session = openSession(service.publicUrl);
        const authorization = `Bearer ${await service.userToken(ann)}`;
        const send = async (target: string) => {
          const headers = { ":path": `${control}/${action}/${target}`, authorization, ...withKey("one") };
          const { headers: answered, body } = await exchange(session, { headers });
          return [answered[":status"], JSON.parse(Buffer.from(body, "hex").toString()).data];
        };
        try {
          const first = await send(bob);
          expect(first[0]).to.equal(200);
          await service.rest("DELETE", `${control}/${undo}/${bob}`, { as: ann });
          expect(await send(bob)).to.eql(first);
          expect((await send(carl))[0]).to.equal(422);
        } finally {
          session.close();
        }
      });

      for (const [name, transport] of Object.entries(transports)) {
        for (const port of ["public", "internal"] as const) {
          it(`gets the first answer over ${name} on the ${port} port: ${action}`, async () => {
            const client = createClient(
              PrivacyControlService,
              transport(port === "public" ? service.publicUrl : service.internalUrl),
            );
            const given: CallOptions =
              port === "public"
                ? { headers: { authorization: `Bearer ${await service.userToken(ann)}` } }
                : await service.acting(ann);
            const make = async (userId: string, key: string) => {
              const seen: (string | null)[] = [];
              const options = {
                headers: { ...(given.headers as Record<string, string>), ...withKey(key) },
                onHeader: (headers: Headers) => void seen.push(headers.get("consistency-token")),
              };
              const record =
                action === "block"
                  ? (await client.blockUser({ userId }, options)).block
                  : (await client.muteUser({ userId }, options)).mute;
              expect(seen[0]).to.match(/^[\w-]{102}$/);
              return record;
            };
            const first = await make(bob, "one");
            await service.rest("DELETE", `${control}/${undo}/${bob}`, { as: ann });
            expect(await make(bob, "one")).to.eql(first);
            expect(await listed()).to.eql([]);
            expect(await failureOf(make(carl, "one"))).to.eql([
              "FailedPrecondition",
              "IDEMPOTENCY_KEY_REUSED",
            ]);
            expect(await failureOf(make(bob, "k".repeat(256)))).to.eql([
              "InvalidArgument",
              "INVALID_IDEMPOTENCY_KEY",
            ]);
            // The same key by another way.
            expect((await post(bob, withKey("one"))).json.data.id).to.equal(first?.id);
          });
        }
      }
    }

    it("has no use for a key where a repetition changes nothing anyway", async () => {
      const headers = { "idempotency-key": "" };
      for (const [verb, path] of [
        ["DELETE", `${control}/unblock/${bob}`],
        ["DELETE", `${control}/unmute/${bob}`],
        ["GET", `${control}/blocked`],
      ] as const)
        expect((await service.rest(verb, path, { as: ann, headers })).status).to.equal(200);
    });
  });
}
