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

    // Holds what blocks of this user wait for, as an erasure does, while everyone tries again and again.
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
    const looks = await Promise.all(
      Array.from({ length: 50 }, async () => (await fetch(`${service.publicUrl}/readyz`)).status),
    );
    expect(looks).to.eql(looks.map(() => 200));
    expect((await health.check({})).status).to.equal(Status.SERVING);
    expect((await scrape(service.adminUrl)).value("privacy_control_ready")).to.equal(1);
    const { effect } = await access.checkAccess(decision, await service.acting());
    expect(effect).to.equal(Effect.ALLOW);
    over = true;
    await holder.query("rollback");
    await Promise.all(blocks);
  });

  it("uses no connection of the pool of changes under many requests", async () => {
    const answers = () => fetch(`${service.publicUrl}/readyz`).then(({ status }) => status);
    const waits = async () =>
      (await scrape(service.adminUrl)).value("privacy_control_database_wait_seconds_count", changesPool) ?? 0;
    const before = await waits();
    const looks = await Promise.all(Array.from({ length: 400 }, answers));
    expect(looks).to.eql(looks.map(() => 200));
    // The service itself uses the pool now and then.
    expect((await waits()) - before).to.be.below(looks.length / 10);
  });
});
