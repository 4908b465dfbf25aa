import { randomUUID } from "node:crypto";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type CallOptions, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "chai";
import { AccessService, EffectSchema, Interaction } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { freezeServer, killServer } from "../resilience/support/server-faults.ts";
import { untilGraphReady } from "../support/graph.ts";
import { scrape } from "../support/scrape.ts";
import { startService, type TestService } from "../support/service.ts";
import { canStartServer, startThrowawayServer, type ThrowawayServer } from "../support/throwaway-server.ts";
import { until } from "../support/until.ts";

/** What callers accept, in milliseconds. */
const [little, much] = [6_000, 60_000];
/** A slow machine takes longer than the service. */
const fastMs = 5_000;

const outages: Record<string, (server: ThrowawayServer) => Promise<() => Promise<void>>> = {
  async killed(server) {
    await killServer(server);
    return () => server.restart();
  },
  async frozen(server) {
    const thaw = await freezeServer(server);
    return async () => thaw();
  },
};

for (const [name, begin] of Object.entries(outages)) {
  describe(`while the database is ${name}`, function () {
    this.timeout(120_000);
    let server: ThrowawayServer;
    let service: TestService;
    before(async function () {
      if (!canStartServer()) return this.skip();
      server = await startThrowawayServer({ durable: true });
      service = await startService(server.url);
      await untilGraphReady(service);
    });
    after(async () => {
      await service?.stop(1_000);
      await server?.stop();
    });

    it("each caller gets what it accepts, and the graph goes on without loading again", async () => {
      const transport = createGrpcTransport({ baseUrl: service.internalUrl });
      const access = createClient(AccessService, transport);
      const [ann, bob] = [randomUUID(), randomUUID()];
      const users = [ann, bob].map((id) => ({ id, userName: "someone" }));
      await service.graph.upsertUsers({ users }, await service.acting());
      let token = "";
      await createClient(PrivacyControlService, transport).blockUser(
        { userId: bob },
        {
          ...(await service.acting(ann)),
          onHeader: (headers) => {
            token = headers.get("consistency-token") ?? "";
          },
        },
      );
      const options: CallOptions = { ...(await service.acting()), timeoutMs: 2 * fastMs };
      type Requirement = NonNullable<Parameters<typeof access.checkAccess>[0]["consistency"]>["requirement"];
      const check = async (requirement?: Requirement) => {
        const question = {
          viewer: { case: "viewerId", value: bob } as const,
          ownerId: ann,
          interaction: Interaction.FOLLOW,
          ...(requirement && { consistency: { requirement } }),
        };
        try {
          const { effect } = await access.checkAccess(question, options);
          return EffectSchema.value[effect]?.localName;
        } catch (failure) {
          return Code[ConnectError.from(failure).code];
        }
      };
      const within = (ms: number) => check({ case: "maxStaleness", value: durationFromMs(ms) });
      const metric = async (metricName: string) =>
        (await scrape(service.adminUrl)).value(`privacy_control_graph_${metricName}`) ?? Number.NaN;
      const ageMs = async () => 1_000 * (await metric("age_seconds"));
      expect(await check()).to.equal("DENY");

      const end = await begin(server);
      await until(async () => (await check()) === "Unavailable");
      const seen = { answered: 0, refused: 0 };
      while (seen.refused < 3) {
        const before = await ageMs();
        const answer = await within(little);
        const after = await ageMs();
        expect(answer).to.be.oneOf(["DENY", "Unavailable"]);
        if (before > little) expect(answer).to.equal("Unavailable");
        else if (after < little) expect(answer).to.equal("DENY");
        seen[answer === "DENY" ? "answered" : "refused"]++;
        expect(await within(much)).to.equal("DENY");
        expect(await check({ case: "atLeastAsFresh", value: token })).to.equal("DENY");
        const calledAt = performance.now();
        expect(await check()).to.equal("Unavailable");
        expect(performance.now() - calledAt).to.be.below(fastMs);
      }
      expect(seen.answered).to.be.above(0);

      await end();
      await until(async () => (await check()) === "DENY");
      await untilGraphReady(service);
      expect(await metric("loads_total")).to.equal(1);
      const control = createClient(PrivacyControlService, transport);
      await control.unblockUser({ userId: bob }, await service.acting(ann));
      expect(await check()).to.equal("ALLOW");
    });
  });
}
