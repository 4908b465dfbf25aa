import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { type ChannelCredentials, type ClientOptions, credentials, status } from "@grpc/grpc-js";
import { expect } from "chai";
import {
  type CheckAccessResponse,
  Effect,
  Interaction,
} from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import type { WatchChangesResponse } from "../../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { ErrorReason } from "../../../gen/nexgate/privacy/v1/error_reason_pb.ts";
import type { GetUserResponse } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import type { BlockUserResponse } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { consistencyTokenOf } from "../../../src/client/call-headers.ts";
import { callFailure } from "../../../src/client/errors.ts";
import {
  AccessClient,
  ChangeClient,
  callMetadata,
  GraphClient,
  PrivacyControlClient,
  type ReplyCallback,
} from "../../../src/client/grpc-js.ts";
import { readmeExamples } from "../../support/client-package.ts";
import { startFreezingProxy } from "../../support/freezing-proxy.ts";
import { startService, type TestService } from "../../support/service.ts";

const alice = "a11ce000-0000-4000-8000-000000000001";
const bob = "b0b00000-0000-4000-8000-000000000002";
const carol = "ca401000-0000-4000-8000-000000000003";
const hour = 3_600_000;

/** Resolves to what a call answers. */
function answerOf<Reply>(start: (callback: ReplyCallback<Reply>) => unknown): Promise<Reply> {
  return new Promise((resolve, reject) => {
    start((error, reply) => (error === null ? resolve(reply) : reject(error)));
  });
}

/** What the failure of a call says. */
const failureOf = async (call: Promise<unknown>) => {
  const error = await call.then(
    () => expect.fail("the call succeeded"),
    (reason: unknown) => reason,
  );
  return callFailure(error) ?? expect.fail(`no error of a call: ${error}`);
};

describe("the clients for grpc-js", function () {
  this.timeout(120_000);
  let service: TestService;
  let token: string;
  const clients: { close(): void }[] = [];
  before(async () => {
    service = await startService();
    token = await service.serviceToken();
    const graph = clientOf(GraphClient);
    const users = [alice, bob].map((id) => ({ id, userName: id }));
    await answerOf((callback) => graph.upsertUsers({ users }, callMetadata({ token }), callback));
  });
  after(async () => {
    for (const client of clients) client.close();
    await service?.stop(1_000);
  });

  function clientOf<Client extends { close(): void }>(
    Constructor: new (address: string, credentials: ChannelCredentials, options?: ClientOptions) => Client,
    url = service.internalUrl,
    options: ClientOptions = {},
  ): Client {
    const client = new Constructor(new URL(url).host, credentials.createInsecure(), options);
    clients.push(client);
    return client;
  }

  it("act for a user, read the consistency token, and decide by it", async () => {
    const privacy = clientOf(PrivacyControlClient);
    let consistencyToken = "";
    const { block } = await answerOf<BlockUserResponse>((callback) =>
      privacy
        .blockUser({ userId: bob }, callMetadata({ token, actingUser: alice }), callback)
        .on("metadata", (metadata) => {
          consistencyToken = consistencyTokenOf(metadata) ?? "";
        }),
    );
    expect(block?.user?.id).to.equal(bob);
    const access = clientOf(AccessClient);
    const reply = await answerOf<CheckAccessResponse>((callback) =>
      access.checkAccess(
        {
          viewer: { case: "viewerId", value: bob },
          ownerId: alice,
          interaction: Interaction.SEND_MESSAGE,
          consistency: { requirement: { case: "atLeastAsFresh", value: consistencyToken } },
        },
        callMetadata({ token }),
        callback,
      ),
    );
    expect(reply.effect).to.equal(Effect.DENY);
  });

  it("fail with errors that tell their reason and what breaks the rules", async () => {
    const privacy = clientOf(PrivacyControlClient);
    const block = (userId: string) =>
      answerOf((callback) =>
        privacy.blockUser({ userId }, callMetadata({ token, actingUser: alice }), callback),
      );
    await block(bob).catch(() => {});
    expect(await failureOf(block(bob))).to.include({
      code: status.ALREADY_EXISTS,
      reason: ErrorReason.USER_ALREADY_BLOCKED,
      retry: "no",
    });
    const malformed = await failureOf(block("bob"));
    expect(malformed.reason).to.equal(ErrorReason.INVALID_REQUEST);
    expect(malformed.violations.map(({ field }) => field)).to.eql(["user_id"]);
    expect(malformed.requestId).to.match(/^[0-9a-f-]{36}$/);
  });

  it("repeat a call by its idempotency key", async () => {
    const privacy = clientOf(PrivacyControlClient);
    const metadata = callMetadata({ token, actingUser: bob, idempotencyKey: crypto.randomUUID() });
    const block = () =>
      answerOf<BlockUserResponse>((callback) => privacy.blockUser({ userId: alice }, metadata, callback));
    const made = await block();
    expect((await block()).block?.id).to.equal(made.block?.id);
  });

  it("send a stream of requests", async () => {
    const graph = clientOf(GraphClient);
    const user = { id: carol, userName: "carol" };
    await answerOf((callback) => {
      const stream = graph.importEdges(callMetadata({ token }), callback);
      stream.write({ importId: crypto.randomUUID(), records: [{ record: { case: "user", value: user } }] });
      stream.end();
    });
    const stored = await answerOf<GetUserResponse>((callback) =>
      graph.getUser({ userId: carol }, callMetadata({ token }), callback),
    );
    expect(stored.user?.userName).to.equal("carol");
  });

  it("end a call at its deadline when the service does not answer, as the README shows", async () => {
    const sockets = new Set<Socket>();
    const silent = createServer((socket) => sockets.add(socket)).listen(0, "127.0.0.1");
    await once(silent, "listening");
    try {
      const { port } = silent.address() as AddressInfo;
      const access = clientOf(AccessClient, `http://127.0.0.1:${port}`);
      const [, ms] = /deadline: Date\.now\(\) \+ (\d+)/.exec(example("checkAccess")) ?? [];
      const deadline = Date.now() + Number(ms);
      const call = answerOf((callback) => access.checkAccess({}, { deadline }, callback));
      expect(await failureOf(call)).to.include({ code: status.DEADLINE_EXCEEDED, retry: "uncertain" });
    } finally {
      for (const socket of sockets) socket.destroy();
      silent.close();
    }
  });

  it("notice a connection that is lost without a word by the keep-alive of the README", async () => {
    const proxy = await startFreezingProxy(service.internalUrl);
    try {
      const changes = clientOf(ChangeClient, proxy.url, keepAlive());
      const start = { case: "now", value: true } as const;
      const stream = changes.watchChanges({ start }, callMetadata({ token }), {
        deadline: Date.now() + hour,
      });
      const [first] = (await once(stream, "data")) as [WatchChangesResponse];
      expect(first.cursor).not.to.equal("");
      proxy.freeze();
      const failed = once(stream, "end").then(
        () => expect.fail("the stream ended"),
        (error: unknown) => Promise.reject(error),
      );
      stream.resume();
      expect(await failureOf(failed)).to.include({ code: status.UNAVAILABLE, retry: "uncertain" });
    } finally {
      await proxy.close();
    }
  });
});

/** The example of the README that has some text. */
function example(text: string): string {
  const found = readmeExamples().find(({ heading, code }) => heading === "grpc-js" && code.includes(text));
  return found?.code ?? expect.fail(`no example has ${text}`);
}

/** The options of the README for keep-alive, with pings as often as a test can wait for. */
function keepAlive(): ClientOptions {
  const options = [...example("checkAccess").matchAll(/"(grpc\.keepalive_\w+)": ([\d_]+),/g)];
  const read = Object.fromEntries(options.map(([, name, ms = ""]) => [name, Number(ms.replace("_", ""))]));
  expect(read).to.have.all.keys("grpc.keepalive_time_ms", "grpc.keepalive_timeout_ms");
  return { ...read, "grpc.keepalive_time_ms": 200 };
}
