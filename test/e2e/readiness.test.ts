import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "chai";
import pg from "pg";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../gen/grpc/health/v1/health_pb.ts";
import { AccessService, Effect, Interaction } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { postgresUrl } from "../support/cluster.ts";
import { scrape } from "../support/scrape.ts";
import { startService, type TestService } from "../support/service.ts";

const changesPool = { pool: "changes" };
const control = "/api/v1/e-social/privacy-control";

describe("readiness", () => {
  let service: TestService;
  let url: string;
  before(async function () {
    const found = await postgresUrl();
    if (found === undefined) return this.skip();
    url = found;
    service = await startService(url);
  });
  after(() => service?.stop(0));

  /** Expects `/readyz` to answer all requests with 200. Repeats them, since the health probe may fail on a busy machine. */
  async function expectReady(requests: number): Promise<void> {
    const answers = () =>
      Promise.all(Array.from({ length: requests }, () => fetch(`${service.publicUrl}/readyz`)));
    let notReady = (await answers()).filter(({ status }) => status !== 200);
    for (let attempt = 1; notReady.length > 0 && attempt < 20; attempt++) {
      await sleep(250);
      notReady = (await answers()).filter(({ status }) => status !== 200);
    }
    expect(notReady.map(({ status }) => status)).to.eql([]);
  }

  it("needs no connection of the pool of changes", async () => {
    const [target, ...blockers] = Array.from({ length: 25 }, () => randomUUID()) as [string, ...string[]];
    const users = [target, ...blockers].map((id) => ({ id, userName: `user-${id}` }));
    await service.graph.upsertUsers({ users }, await service.acting());
    const transport = createGrpcTransport({ baseUrl: service.internalUrl });
    const health = createClient(Health, transport);
    const access = createClient(AccessService, transport);
    const decision = {
      viewer: { case: "viewerId" as const, value: target },
      ownerId: blockers[0] as string,
      interaction: Interaction.VIEW_PROFILE,
    };
    const changesInUse = async () =>
      (await scrape(service.adminUrl)).value("privacy_control_database_connections_used", changesPool) ?? 0;

    // Holds what blocks of this user wait for, as an erasure does, while all blockers retry.
    const holder = new pg.Client(url);
    await holder.connect();
    await using _ = { [Symbol.asyncDispose]: () => holder.end() };
    await holder.query("begin");
    await holder.query("select from users where id = $1 for update", [target]);
    let over = false;
    const blocks = blockers.map(async (as) => {
      while (!over) await service.rest("POST", `${control}/block/${target}`, { as });
    });
    for (let i = 0; i < 100 && (await changesInUse()) < 16; i++) await sleep(10);
    await expectReady(50);
    expect((await health.check({})).status).to.equal(Status.SERVING);
    expect((await scrape(service.adminUrl)).value("privacy_control_ready")).to.equal(1);
    const { effect } = await access.checkAccess(decision, await service.acting());
    expect(effect).to.equal(Effect.ALLOW);
    over = true;
    await holder.query("rollback");
    await Promise.all(blocks);
  });

  it("uses no connection of the pool of changes under many requests", async () => {
    const waits = async () =>
      (await scrape(service.adminUrl)).value("privacy_control_database_wait_seconds_count", changesPool) ?? 0;
    const before = await waits();
    const requests = 400;
    await expectReady(requests);
    // The service itself uses the pool now and then.
    expect((await waits()) - before).to.be.below(requests / 10);
  });
});
