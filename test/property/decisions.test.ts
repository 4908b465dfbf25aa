import { AssertionError, expect } from "chai";
import fc from "fast-check";
import { InteractionSchema } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { AudienceSchema, PrivacySettingSchema } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { embedded, postgresql } from "../support/backends.ts";
import { decisionStatements, untilGraphReady } from "../support/graph.ts";
import { OpenedBackend } from "../support/opened-backend.ts";
import { startService, type TestService } from "../support/service.ts";
import { ends, muteScopes } from "./edges-model.ts";
import {
  audiences,
  interactions,
  Model,
  type PairStep,
  type Step,
  settings,
  type TermsStep,
} from "./model.ts";
import { runs } from "./runs.ts";
import { type Question, type World, worldsOf } from "./world.ts";

const known = [0, 1, 2];
/** The last is nobody's until a step registers it. */
const everyone = [...known, 3];
const viewers = [...everyone, null];
const user = fc.constantFrom(...everyone);
const pairStep = (...acts: PairStep["act"][]): fc.Arbitrary<Step> =>
  fc.record({ act: fc.constantFrom(...acts), by: user, to: user });

const scopes = fc.subarray([...muteScopes]);
/** What is left out of a step says nothing of it. */
const termsStep = (...acts: TermsStep["act"][]): fc.Arbitrary<Step> =>
  fc.record(
    {
      act: fc.constantFrom(...acts),
      by: user,
      to: user,
      end: fc.oneof(
        { weight: 3, arbitrary: fc.constantFrom("in a minute" as const, "in an hour" as const) },
        { weight: 1, arbitrary: fc.constantFrom(...ends) },
      ),
      scopes,
    },
    { requiredKeys: ["act", "by", "to"] },
  );

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: termsStep("block", "mute") },
  { weight: 1, arbitrary: pairStep("unblock", "unmute") },
  { weight: 2, arbitrary: termsStep("change block", "change mute") },
  { weight: 2, arbitrary: termsStep("import block", "import mute") },
  { weight: 3, arbitrary: pairStep("follow", "follow", "unfollow", "import follow") },
  // To a microsecond before an end, to the end, and past it.
  {
    weight: 5,
    arbitrary: fc.record({ act: fc.constant("wait" as const), before: fc.constantFrom(1n, 0n, -1n) }),
  },
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
const everyoneTwice = [...everyone, ...everyone.toReversed()];

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
      const found = await world.filter(viewer, everyoneTwice, interaction);
      const allowed = (owner: number) => model.decide(viewer, owner, interaction).startsWith("ALLOW");
      expect(found, `${viewer ?? "nobody"} ${interaction}`).to.eql(everyoneTwice.filter(allowed));
    }),
  );
  const viewerFilters = everyone.flatMap((owner) =>
    interactions.map(async (interaction) => {
      const found = await world.filterViewers(owner, everyoneTwice, interaction);
      const allowed = (viewer: number) => model.decide(viewer, owner, interaction).startsWith("ALLOW");
      expect(found, `viewers: ${interaction} ${owner}`).to.eql(everyoneTwice.filter(allowed));
    }),
  );
  await Promise.all([...filters, ...viewerFilters]);
  await compareRecords(world, model);
}

/** Compares what does not need a call for each question: in every history several times. */
async function compareRecords(world: World, model: Model): Promise<void> {
  for (const interaction of ["VIEW_CONTENT", "RECEIVE_NOTIFICATION"])
    await compareFor(
      everyone,
      (viewer) => world.hidden(viewer, interaction),
      (viewer) => (model.isKnown(viewer) ? model.hidden(viewer, interaction) : null),
    );
  const pairs = everyone.flatMap((a) => everyone.map((b) => [a, b] as const));
  await compareFor(
    pairs,
    ([a, b]) => world.relationship(a, b),
    ([a, b]) => ({
      own: model.relationship(a, b),
      other: model.relationship(b, a),
    }),
  );
  await compareFor(
    everyone,
    (user) => world.ownSide(user, everyoneTwice),
    (user) =>
      model.isKnown(user)
        ? everyoneTwice.map((other) => model.relationship(user, other, { withTimes: true }))
        : null,
  );
  await compareFor(
    viewers.flatMap((viewer) => everyone.map((owner) => [owner, viewer] as const)),
    ([owner, viewer]) => world.preview(owner, viewer),
    ([owner, viewer]) =>
      model.isKnown(owner) && (viewer === null || model.isKnown(viewer))
        ? interactions.map((interaction) => `${interaction}: ${model.preview(owner, viewer, interaction)}`)
        : null,
  );
  await compareFor(
    viewers.flatMap((viewer) => everyone.map((owner) => [viewer, owner] as const)),
    ([viewer, owner]) => world.explain(viewer, owner),
    ([viewer, owner]) => {
      const edges = (by: number | null, to: number | null, ...kinds: string[]) =>
        by === null || to === null
          ? []
          : model
              .relationship(by, to, { withTimes: true })
              .filter((edge) => kinds.some((kind) => edge.startsWith(kind)));
      return {
        known: [viewer !== null && model.isKnown(viewer), model.isKnown(owner)] as const,
        decisions: interactions.map((interaction) => model.decide(viewer, owner, interaction)),
        ofViewer: edges(viewer, owner, "block", "mute"),
        ofOwner: edges(owner, viewer, "follow", "block"),
      };
    },
  );
  for (const kind of ["block", "mute"] as const)
    await compareFor(
      everyone,
      (user) => world.list(kind, user),
      (user) => (model.isKnown(user) ? model.list(kind, user) : null),
    );
  await compareFor(
    everyone,
    (user) => world.exported(user),
    (user) => (model.isKnown(user) ? [...model.list("block", user), ...model.list("mute", user)] : null),
  );
}

/** Expects an answer of the model for each of some users or pairs. */
async function compareFor<Of, Answer>(
  all: readonly Of[],
  read: (of: Of) => Promise<Answer>,
  expected: (of: Of) => Answer,
): Promise<void> {
  const found = await Promise.all(all.map(read));
  expect(all.map((of, i) => [of, found[i]])).to.eql(all.map((of) => [of, expected(of)]));
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

const [ann, bob] = [0, 1];
const ended: Step[] = [
  { act: "block", by: ann, to: bob, end: "in a minute" },
  { act: "wait", before: 0n },
];

/** Something wrong in the statements of the service, and a history that shows it. */
interface Mutant {
  readonly search: string | RegExp;
  readonly replacement: string;
  readonly steps: Step[];
}

const mutants: Readonly<Record<string, Mutant>> = {
  "records that hold at their end": {
    search: "expires_at > statement_timestamp()",
    replacement: "expires_at >= statement_timestamp()",
    steps: ended,
  },
  "the clock of the process": {
    search: /(?<=expires_at (>|<=) )statement_timestamp\(\)/g,
    replacement: `to_timestamp(${Date.now() / 1_000})`,
    steps: ended,
  },
  "mutes of everything": {
    search: "scopes & q.mute_scope <> 0",
    replacement: "true",
    steps: [{ act: "mute", by: ann, to: bob, scopes: ["CONTENT"] }],
  },
  "imports that shorten": {
    search: "greatest(m.expires_at, excluded.expires_at)",
    replacement: "excluded.expires_at",
    steps: [
      { act: "import mute", by: ann, to: bob, end: "in an hour", scopes: ["CONTENT"] },
      { act: "import mute", by: ann, to: bob, end: "in a minute", scopes: ["NOTIFICATIONS"] },
    ],
  },
  "changes that clear what they leave": {
    search: "coalesce(terms.scopes, held.scopes)",
    replacement: "-1",
    steps: [
      { act: "mute", by: ann, to: bob, scopes: ["CONTENT"] },
      { act: "change mute", by: ann, to: bob, end: "in an hour" },
    ],
  },
};

/** Something wrong in the statements by which the graph follows the tables. */
const graphMutants: Readonly<Record<string, Mutant>> = {
  "a graph that goes by the clock of the process": {
    search: /(?<=extract\(epoch from )statement_timestamp\(\)(?=\) \* 1000000\)::bigint::text as now)/g,
    replacement: `to_timestamp(${Date.now() / 1_000})`,
    steps: ended,
  },
  "a graph that follows nothing": {
    search: "where xid >= pg_snapshot_xmax(",
    replacement: "where false and xid >= pg_snapshot_xmax(",
    steps: [{ act: "block", by: ann, to: bob }],
  },
};

const [byTables, byGraph] = [
  { source: "the tables", graphMemoryBytes: 0, wrong: mutants },
  { source: "the graph", graphMemoryBytes: 2 ** 26, wrong: graphMutants },
];

for (const { backend, databaseUrl, histories, source, graphMemoryBytes, wrong } of [
  { ...embedded, histories: 4, ...byTables },
  { ...embedded, histories: 4, ...byGraph },
  { ...postgresql, histories: 10, ...byTables },
  { ...postgresql, histories: 10, ...byGraph },
]) {
  describe(`any history on ${backend}, decided by ${source}`, () => {
    let service: TestService;
    const opened = new OpenedBackend({ hasClock: true });
    let newWorld: (users: readonly number[]) => Promise<World>;
    before(async function () {
      const url = await databaseUrl(this);
      service = await startService(url, { graphMemoryBytes }, opened.open);
      if (graphMemoryBytes > 0) await untilGraphReady(service);
      newWorld = await worldsOf(service, opened);
    });
    after(() => service?.stop(1_000));

    it("leads to the decisions of the model, by every method", async function () {
      const parameters = runs(histories);
      // Finding the shortest history that fails takes many more runs.
      this.timeout(parameters.interruptAfterTimeLimit);
      await fc.assert(
        fc.asyncProperty(opening, history, async (follows, steps) =>
          follow(await newWorld(known), [...follows, ...steps]),
        ),
        parameters,
      );
      const { tables } = await decisionStatements(service);
      expect(tables > 0).to.equal(graphMemoryBytes === 0);
    });

    if (backend === embedded.backend)
      for (const [name, { search, replacement, steps }] of Object.entries(wrong))
        it(`is found wrong with ${name}`, async () => {
          let count = 0;
          opened.rewrite = (text) =>
            text.replaceAll(search, () => {
              count++;
              return replacement;
            });
          const failure = await follow(await newWorld(known), steps).catch((reason: unknown) => reason);
          opened.rewrite = (text) => text;
          expect(count, "replacements").to.be.above(0);
          expect(failure).to.be.instanceOf(AssertionError);
          await follow(await newWorld(known), steps);
        });
  });
}

/** Expects the answers of the model after each step of a history, in a world of its own. */
async function follow(world: World, steps: readonly Step[]): Promise<void> {
  const model = new Model(known, world.startedAt);
  for (const step of steps) {
    const expected = model.take(step);
    expect(await world.take(step, model.now), textOf(step)).to.equal(expected);
    compare(model, questions, await world.batch(questions));
    // All single checks and filters are slow: they are made at the end.
    if (step.act === "wait") await compareRecords(world, model);
  }
  await compareAll(world, model);
}

function textOf(step: Step): string {
  return JSON.stringify(step, (_, value) => (typeof value === "bigint" ? `${value}` : value));
}
