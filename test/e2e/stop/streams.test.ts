import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "chai";
import {
  Health,
  HealthCheckResponse_ServingStatus as Status,
} from "../../../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import { postgresUrl } from "../../support/cluster.ts";
import { lengthPrefixed } from "../../support/frames.ts";
import { openSession } from "../../support/raw-http.ts";
import { startService, type TestService } from "../../support/service.ts";

describe("a service that stops", function () {
  this.timeout(60_000);
  let databaseUrl: string | undefined;
  let service: TestService;
  let isStopped = false;
  before(async () => {
    databaseUrl = await postgresUrl();
  });
  beforeEach(async () => {
    service = await startService(databaseUrl);
    isStopped = false;
  });
  afterEach(async () => {
    if (!isStopped) await service.stop(0);
  });
  const stop = (graceMs: number) => {
    isStopped = true;
    return service.stop(graceMs);
  };
  const transport = () => createGrpcTransport({ baseUrl: service.internalUrl });

  it("reports NOT_SERVING to balancers at once, and continues to serve until it is stopped", async () => {
    const health = createClient(Health, transport());
    const watch = health.watch({ service: "" })[Symbol.asyncIterator]();
    expect((await watch.next()).value?.status).to.equal(Status.SERVING);
    expect((await fetch(`${service.publicUrl}/readyz`)).status).to.equal(200);
    service.retire();
    expect((await watch.next()).value?.status).to.equal(Status.NOT_SERVING);
    expect((await fetch(`${service.publicUrl}/readyz`)).status).to.equal(503);
    expect((await fetch(`${service.publicUrl}/healthz`)).status).to.equal(200);
    expect((await health.check({})).status).to.equal(Status.NOT_SERVING);
    await service.graph.getImport({ importId: randomUUID() }, await service.acting());
    const end = watch.next();
    expect(await stop(10_000)).to.equal(0);
    expect((await end).done).to.equal(true);
  });

  it("ends a reflection stream with OK whose client would ask more", async () => {
    const asked = Promise.withResolvers<void>();
    async function* questions() {
      yield { messageRequest: { case: "listServices", value: "" } } as const;
      await asked.promise;
    }
    const answers = createClient(ServerReflection, transport()).serverReflectionInfo(questions());
    const iterator = answers[Symbol.asyncIterator]();
    await iterator.next();
    const end = iterator.next();
    expect(await stop(10_000)).to.equal(0);
    expect((await end).done).to.equal(true);
    asked.resolve();
  });

  it("ends an import with UNAVAILABLE after the current message, so that it can be resumed", async () => {
    const importId = randomUUID();
    const options = await service.acting();
    const user = { record: { case: "user", value: { id: randomUUID(), userName: "ann" } } } as const;
    const wanted = Promise.withResolvers<void>();
    async function* messages() {
      yield { importId, firstRecord: 0n, records: [user] };
      await wanted.promise;
    }
    const outcome = service.graph.importEdges(messages(), options).catch((failure) => failure);
    const stored = async () => (await service.graph.getImport({ importId }, options)).progress?.records;
    while ((await stored()) !== 1n) await new Promise(setImmediate);
    expect(await stop(10_000)).to.equal(0);
    const failure = await outcome;
    expect(failure).to.be.instanceOf(ConnectError);
    expect(Code[failure.code]).to.equal("Unavailable");
    wanted.resolve();
  });

  it("reports how many calls it cut off", async () => {
    const session = openSession(service.internalUrl);
    await once(session, "remoteSettings");
    const { headers } = await service.acting();
    const stream = session.request({
      ":method": "POST",
      ":path": "/nexgate.privacy.v1.GraphService/GetUser",
      "content-type": "application/grpc",
      ...(headers as Record<string, string>),
    });
    stream.on("error", () => {});
    // Never to be completed.
    stream.write(lengthPrefixed(Buffer.alloc(10)).subarray(0, 8));
    await new Promise((resolve) => session.ping(resolve));
    const closed = new Promise((resolve) => stream.once("close", resolve));
    expect(await stop(200)).to.equal(1);
    await closed;
    session.destroy();
  });
});
