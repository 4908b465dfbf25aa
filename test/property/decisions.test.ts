import { expect } from "chai";
import fc from "fast-check";
import { InteractionSchema } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { AudienceSchema, PrivacySettingSchema } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { embedded, postgresql } from "../support/backends.ts";
import { OpenedBackend } from "../support/opened-backend.ts";
import { startService, type TestService } from "../support/service.ts";
import { audiences, interactions, Model, muteScopes, type PairStep, type Step, settings } from "./model.ts";
import { runs } from "./runs.ts";
import { type Question, type World, worldsOf } from "./world.ts";

const known = [0, 1, 2];
/** The last is nobody's until a step registers it. */
const everyone = [...known, 3];
const viewers = [...everyone, null];
/** All single checks and filters are slow: they are made now and then, and at the end. */
const stepsBetween = 10;

const user = fc.constantFrom(...everyone);
const pairStep = (...acts: PairStep["act"][]): fc.Arbitrary<Step> =>
  fc.record({ act: fc.constantFrom(...acts), by: user, to: user });

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: pairStep("block", "block", "unblock") },
  { weight: 3, arbitrary: pairStep("mute", "mute", "unmute") },
  { weight: 4, arbitrary: pairStep("follow", "follow", "unfollow") },
  {
    weight: 4,
    arbitrary: fc.record({
      act: fc.constant("set" as const),
      by: user,
      setting: fc.constantFrom(...settings),
      audience: fc.constantFrom(...audiences, "CONTACT_BLACKLIST" as const),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      act: fc.constant("except" as const),
      by: user,
      setting: fc.constantFrom(...settings),
      add: fc.array(user, { maxLength: 3 }),
      remove: fc.array(user, { maxLength: 2 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      act: fc.constantFrom("erase", "begin to erase", "register", "register", "register"),
      by: user,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      act: fc.constant("lapse" as const),
      of: fc.constantFrom("block", "mute"),
      by: user,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      act: fc.constant("narrow" as const),
      by: user,
      scope: fc.constantFrom(...muteScopes),
    }),
  },
);

/** Follows stand at the beginning: most of what can go wrong needs one. */
const opening: fc.Arbitrary<Step[]> = fc
  .subarray(known.flatMap((by) => known.flatMap((to) => (by === to ? [] : [{ by, to }]))))
  .map((pairs) => pairs.map((pair) => ({ act: "follow", ...pair })));

const history = fc.array(step, { minLength: 1, maxLength: 30, size: "max" });

const questions: Question[] = viewers.flatMap((viewer) =>
  everyone.flatMap((owner) => interactions.map((interaction) => ({ viewer, owner, interaction }))),
);
/** Each question twice, and in another order the second time. */
const twice = [...questions, ...questions.toReversed()];
const ownersTwice = [...everyone, ...everyone.toReversed()];

/** Expects the model's decision of every question; a failure names those that differ. */
function compare(model: Model, asked: readonly Question[], decided: readonly string[]): void {
  expect(decided).to.have.length(asked.length);
  const wrong = asked.flatMap(({ viewer, owner, interaction }, i) => {
    const expected = model.decide(viewer, owner, interaction);
    const question = `${viewer ?? "nobody"} ${interaction} ${owner}`;
    return decided[i] === expected ? [] : [`${question}: ${decided[i]}, not ${expected}`];
  });
  // Not an assertion on the array: the message of one shows no more than its length.
  if (wrong.length > 0) expect.fail(wrong.join("\n"));
}

async function compareAll(world: World, model: Model): Promise<void> {
  compare(model, twice, await world.batch(twice));
  compare(model, questions, await Promise.all(questions.map((question) => world.check(question))));
  const filters = viewers.flatMap((viewer) =>
    interactions.map(async (interaction) => {
      const found = await world.filter(viewer, ownersTwice, interaction);
      const allowed = (owner: number) => model.decide(viewer, owner, interaction).startsWith("ALLOW");
      expect(found, `${viewer ?? "nobody"} ${interaction}`).to.eql(ownersTwice.filter(allowed));
    }),
  );
  await Promise.all(filters);
  for (const interaction of ["VIEW_CONTENT", "RECEIVE_NOTIFICATION"]) {
    const lists = everyone.map(async (viewer) => {
      const ofOwner = (owner: number) => model.decide(viewer, owner, interaction);
      const isKnown = (owner: number) => !ofOwner(owner).endsWith("UNKNOWN_USER");
      const hidden = everyone.filter((owner) => isKnown(owner) && !ofOwner(owner).startsWith("ALLOW"));
      const found = await world.hidden(viewer, interaction);
      expect(found, `${viewer} ${interaction}`).to.eql(isKnown(viewer) ? hidden : null);
    });
    await Promise.all(lists);
  }
  const pairs = everyone.flatMap((a) => everyone.map((b) => [a, b] as const));
  const relationships = pairs.map(async ([a, b]) => `${a} ${b}: ${await world.relationship(a, b)}`);
  expect(await Promise.all(relationships)).to.eql(
    pairs.map(([a, b]) => `${a} ${b}: ${model.relationship(a, b)}`),
  );
}

describe("the model", () => {
  for (const [schema, names] of [
    [InteractionSchema, interactions],
    [PrivacySettingSchema, settings],
    [AudienceSchema, audiences],
  ] as const)
    it(`has every value of ${schema.name}`, () => {
      const defined = schema.values.filter(({ number }) => number !== 0).map(({ localName }) => localName);
      expect(names).to.have.members(defined);
    });
});

for (const { backend, databaseUrl, histories } of [
  { ...embedded, histories: 8 },
  { ...postgresql, histories: 20 },
]) {
  describe(`any history on ${backend}`, () => {
    let service: TestService;
    let newWorld: (users: readonly number[]) => Promise<World>;
    before(async function () {
      const url = await databaseUrl(this);
      const opened = new OpenedBackend();
      service = await startService(url, {}, opened.open);
      newWorld = await worldsOf(service, opened);
    });
    after(() => service?.stop(1_000));

    it("leads to the decisions of the model, by every method", async function () {
      const parameters = runs(histories);
      // Finding the shortest history that fails takes many more runs.
      this.timeout(parameters.interruptAfterTimeLimit);
      await fc.assert(
        fc.asyncProperty(opening, history, async (follows, steps) => {
          const model = new Model(known);
          const world = await newWorld(known);
          for (const step of follows) expect(await world.take(step)).to.equal(model.take(step));
          for (const [i, step] of steps.entries()) {
            expect(await world.take(step), JSON.stringify(step)).to.equal(model.take(step));
            if (i % stepsBetween === stepsBetween - 1) await compareAll(world, model);
            else compare(model, questions, await world.batch(questions));
          }
          await compareAll(world, model);
        }),
        parameters,
      );
    });
  });
}
