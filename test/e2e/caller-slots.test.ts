import { setTimeout as sleep } from "node:timers/promises";
import { type CallOptions, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { expect } from "chai";
import { pino } from "pino";
import { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { actorKey } from "../../src/call/auth/authenticator.ts";
import { callerSlots } from "../../src/call/caller-slots.ts";
import { reasonOf } from "../../src/call/errors.ts";
import { CallPipeline } from "../../src/call/pipeline.ts";
import { service } from "../../src/call/service.ts";
import type { UserId } from "../../src/domain/users.ts";
import type { Listener } from "../../src/http/listen.ts";
import { openPublicListener } from "../../src/http/listeners.ts";
import { renderFailure } from "../../src/rest/envelopes.ts";
import { createRestGateway } from "../../src/rest/gateway.ts";

const settings = "/users/me/privacy";
const blocked = "/api/v1/e-social/privacy-control/blocked";
const perUser = 2;

interface GetOptions {
  readonly user?: string;
  readonly at?: Listener;
  readonly signal?: AbortSignal;
}

const transports: [string, (baseUrl: string) => Transport][] = [
  ["gRPC", (baseUrl) => createGrpcTransport({ baseUrl })],
  ["gRPC-Web", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })],
  ["Connect", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2" })],
];

for (const fastPath of [true, false])
  describe(`the calls in flight of one user, ${fastPath ? "with" : "without"} the fast path`, () => {
    /** Listeners on which calls wait for a slot without a limit of time, and on which they do not wait. */
    let waiting: Listener;
    let notWaiting: Listener;
    let atWork: number;
    let mostAtWork: number;
    let held: PromiseWithResolvers<void>;

    /** Waits until the test releases the call, or the call is cancelled. */
    async function work(signal: AbortSignal): Promise<void> {
      mostAtWork = Math.max(mostAtWork, ++atWork);
      const cancelled = new Promise<never>((_, reject) => {
        if (signal.aborted) reject(signal.reason);
        signal.addEventListener("abort", () => reject(signal.reason));
      });
      await Promise.race([held.promise, cancelled]).finally(() => atWork--);
    }

    const open = async (waitMs: number) => {
      const log = pino({ level: "silent" });
      const calls = new CallPipeline({
        services: [
          service(PrivacyControlService, {
            getPrivacySettings: async (_, { signal }) => {
              await work(signal);
              return { settings: {} };
            },
            // An endless list.
            listBlockedUsers: async ({ pageToken }, { signal }) => {
              if (pageToken !== "") await work(signal);
              return { blocks: [{ id: "1" }], nextPageToken: "more" };
            },
          }),
        ],
        authenticate: async ({ requestHeader, values }) => {
          await undefined;
          const id = (requestHeader.get("authorization") ?? "") as UserId;
          values.set(actorKey, { id, whenUnknown: "TOKEN_INVALID" });
        },
        takeSlots: callerSlots({ perUser, perService: 0 }, waitMs),
        log,
      });
      const rest = createRestGateway({ calls, log, maxBodyBytes: 1_024 });
      return openPublicListener({
        ...{
          host: "127.0.0.1",
          port: 0,
          calls,
          renderFailure,
          log,
          fastPath,
          rest: rest.handle,
          ready: () => true,
        },
      });
    };
    before(async () => {
      waiting = await open(60_000);
      notWaiting = await open(0);
    });
    after(() => Promise.all([waiting.close(0), notWaiting.close(0)]));

    beforeEach(() => {
      held = Promise.withResolvers();
      held.promise.catch(() => {});
      atWork = mostAtWork = 0;
    });
    afterEach(() => held.resolve());

    const untilAtWork = async (count: number) => {
      while (atWork !== count) await sleep(1);
    };
    const get = (path: string, { user = "one", at = waiting, signal }: GetOptions = {}) =>
      fetch(at.url + path, { headers: { authorization: user }, ...(signal && { signal }) });
    /** Starts as many calls as the user may have in flight. Returns their results. */
    const fill = async (call: () => Promise<unknown>) => {
      const outcomes = Array.from({ length: perUser }, () => call().catch((reason: unknown) => reason));
      await untilAtWork(perUser);
      return outcomes;
    };
    /** Every slot must come free: otherwise calls that come now wait until the test fails. */
    const expectFree = async () => {
      await untilAtWork(0);
      held = Promise.withResolvers();
      const answers = await fill(() => get(settings));
      held.resolve();
      for (const answer of await Promise.all(answers)) expect((answer as Response).status).to.equal(200);
    };

    it("are limited over REST: further calls wait", async () => {
      const first = await fill(() => get(settings));
      const waiting = Array.from({ length: 40 }, () => get(settings));
      held.resolve();
      for (const answer of await Promise.all([...first, ...waiting]))
        expect((answer as Response).status).to.equal(200);
      expect(mostAtWork).to.equal(perUser);
    });

    it("are rejected with 429 over REST when no slot becomes free in time", async () => {
      const first = await fill(() => get(settings, { at: notWaiting }));
      const answer = await get(settings, { at: notWaiting });
      expect([answer.status, answer.headers.get("retry-after")]).to.eql([429, "1"]);
      expect(await answer.json()).to.include({ code: 429, error: "Too many requests" });
      held.resolve();
      await Promise.all(first);
    });

    it("do not delay the calls of other users", async () => {
      await fill(() => get(settings));
      const other = get(settings, { user: "other" });
      await untilAtWork(perUser + 1);
      held.resolve();
      expect((await other).status).to.equal(200);
    });

    it("are released when the client disconnects, also while it waits", async () => {
      const controller = new AbortController();
      const call = () => get(settings, { signal: controller.signal });
      const calls = await fill(call);
      calls.push(call().catch((reason: unknown) => reason));
      controller.abort();
      await Promise.all(calls);
      await expectFree();
    });

    it("count a complete list for as long as it is streamed", async () => {
      for (const at of [notWaiting, waiting]) {
        const controller = new AbortController();
        const list = () => get(blocked, { at, signal: controller.signal }).then((answer) => answer.text());
        const calls = await fill(list);
        if (at === notWaiting) expect((await get(settings, { at })).status).to.equal(429);
        controller.abort();
        await Promise.all(calls);
        await untilAtWork(0);
      }
      await expectFree();
    });

    it("are released when a call fails", async () => {
      const failed = await fill(() => get(settings));
      held.reject(new Error("it failed"));
      for (const answer of await Promise.all(failed)) expect((answer as Response).status).to.equal(500);
      await expectFree();
    });

    for (const [name, transport] of transports) {
      describe(`over ${name}`, () => {
        const call = ({ at = waiting, ...options }: CallOptions & { at?: Listener } = {}) =>
          createClient(PrivacyControlService, transport(at.url)).getPrivacySettings(
            {},
            { ...options, headers: { authorization: "one" } },
          );

        it("are bounded with RESOURCE_EXHAUSTED", async () => {
          const first = await fill(() => call({ at: notWaiting }));
          const error = ConnectError.from(await call({ at: notWaiting }).catch((reason: unknown) => reason));
          expect([error.code, reasonOf(error)]).to.eql([Code.ResourceExhausted, "RATE_LIMITED"]);
          expect(error.metadata.get("retry-after")).to.equal("1");
          held.resolve();
          await Promise.all(first);
        });

        it("are released at the end of a deadline, and when the client cancels", async () => {
          const late = Array.from({ length: 2 * perUser }, () => call({ timeoutMs: 200 }));
          for (const { reason } of (await Promise.allSettled(late)) as PromiseRejectedResult[])
            expect(ConnectError.from(reason).code).to.be.oneOf([
              Code.DeadlineExceeded,
              Code.ResourceExhausted,
            ]);
          await untilAtWork(0);
          const controller = new AbortController();
          const calls = await fill(() => call({ signal: controller.signal }));
          controller.abort();
          await Promise.all(calls);
          await expectFree();
        });
      });
    }
  });
