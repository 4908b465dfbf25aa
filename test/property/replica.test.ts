import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "chai";
import fc from "fast-check";
import { PrivacyReplica } from "../../src/client/replica.ts";
import type { Interaction } from "../../src/domain/access.ts";
import { embedded, postgresql } from "../support/backends.ts";
import { startService, type TestService } from "../support/service.ts";
import { muteScopes } from "./edges-model.ts";
import { audiences, interactions, Model, type Step, settings } from "./model.ts";
import { runs } from "./runs.ts";
import { type World, worldsOf } from "./world.ts";

const known = [0, 1, 2];
/** The last is nobody's until a step registers it. */
const everyone = [...known, 3];
const viewers = [...everyone, null];
const user = fc.constantFrom(...everyone);
const act = <Name extends Step["act"]>(...names: Name[]) => fc.constantFrom(...names);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record(
      {
        act: act("block", "mute", "change block", "change mute", "import block", "import mute"),
        by: user,
        to: user,
        end: fc.constantFrom("in an hour", "in ten years", "never"),
        scopes: fc.subarray([...muteScopes]),
      },
      { requiredKeys: ["act", "by", "to"] },
    ),
  },
  { weight: 3, arbitrary: fc.record({ act: act("follow", "import follow"), by: user, to: user }) },
  { weight: 2, arbitrary: fc.record({ act: act("unblock", "unmute", "unfollow"), by: user, to: user }) },
  {
    weight: 4,
    arbitrary: fc.record({
      act: act("set"),
      by: user,
      setting: fc.constantFrom(...settings),
      audience: fc.constantFrom(...audiences, "CONTACT_BLACKLIST" as const),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      act: act("except"),
      by: user,
      setting: fc.constantFrom(...settings),
      add: fc.array(user, { maxLength: 3 }),
      remove: fc.array(user, { maxLength: 2 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ act: act("erase", "register", "register"), by: user }) },
);

/** Parts of a history: after each the replica is asked. */
const history = fc.array(fc.array(step, { minLength: 1, maxLength: 10 }), {
  minLength: 1,
  maxLength: 5,
  size: "max",
});

for (const { backend, databaseUrl, histories } of [
  { ...embedded, histories: 3 },
  { ...postgresql, histories: 10 },
])
  describe(`any history on ${backend}, seen by a replica`, () => {
    let service: TestService;
    let replicas: PrivacyReplica[] = [];
    let newWorld: (users: readonly number[]) => Promise<World>;
    const open = () => {
      const transport = createGrpcTransport({ baseUrl: service.internalUrl });
      return new PrivacyReplica({ transport, token: () => service.serviceToken(), heartbeatMs: 100 });
    };
    before(async function () {
      service = await startService(await databaseUrl(this));
      newWorld = await worldsOf(service);
    });
    after(() => service?.stop(1_000));
    afterEach(async () => {
      for (const replica of replicas) await replica.close();
    });

    it("leads to the decisions of the service and of the model", async function () {
      const parameters = runs(histories);
      this.timeout(parameters.interruptAfterTimeLimit);
      replicas = [open()];
      await fc.assert(
        fc.asyncProperty(history, async (parts) => {
          const world = await newWorld(known);
          const model = new Model(known, world.startedAt);
          for (const steps of parts) {
            for (const one of steps) expect(await world.take(one)).to.equal(model.take(one));
            await compare(replicas[0] as PrivacyReplica, world, model);
          }
        }),
        parameters,
      );
      // Another one knows all of it by its snapshot.
      const [first, second] = [replicas[0] as PrivacyReplica, open()];
      replicas.push(second);
      await second.ready();
      await first.waitFor("");
      expect(first.metrics.users).to.equal(second.metrics.users);
    });
  });

/** Compares all decisions of a replica with those of the service and of a model. */
async function compare(replica: PrivacyReplica, world: World, model: Model): Promise<void> {
  await replica.waitFor("");
  const accepted = { maxStalenessMs: Number.MAX_VALUE };
  const questions = viewers.flatMap((viewer) =>
    everyone.flatMap((owner) => interactions.map((interaction) => ({ viewer, owner, interaction }))),
  );
  const idOf = (one: number | null) => (one === null ? null : world.idOf(one));
  const decided = questions.map(({ viewer, owner, interaction }) => {
    const query = { viewer: idOf(viewer), owner: world.idOf(owner), interaction: interaction as Interaction };
    const { effect, cause } = replica.check(query, accepted);
    return `${effect} ${cause ?? "UNSPECIFIED"}`;
  });
  expect(decided).to.eql(await world.batch(questions));
  expect(decided).to.eql(
    questions.map(({ viewer, owner, interaction }) => model.decide(viewer, owner, interaction)),
  );
  const explained = viewers.flatMap((viewer) =>
    everyone.flatMap((owner) => replica.explain(idOf(viewer), world.idOf(owner), accepted).decisions),
  );
  expect(explained.map(({ effect, cause }) => `${effect} ${cause ?? "UNSPECIFIED"}`)).to.eql(decided);
  for (const interaction of interactions) {
    const owners = [...everyone, ...everyone].map(world.idOf);
    const { ownerIds } = replica.filter(world.idOf(0), owners, interaction as Interaction, accepted);
    const found = await world.filter(0, [...everyone, ...everyone], interaction);
    expect(ownerIds).to.eql(found.map(world.idOf));
  }
}
