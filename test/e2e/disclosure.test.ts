import { expect } from "chai";
import fc from "fast-check";
import type { Database } from "../../src/store/database.ts";
import { audiences, type Step, settings } from "../property/model.ts";
import { type Answer, exchange, type PublicCall, publicProtocols } from "../property/public-protocols.ts";
import { caller, other, publicRequests, target, third } from "../property/public-requests.ts";
import { runs } from "../property/runs.ts";
import { type World, worldsOf } from "../property/world.ts";
import { embedded, postgresql } from "../support/backends.ts";
import { OpenedBackend } from "../support/opened-backend.ts";
import { startService, type TestService } from "../support/service.ts";

const known = [caller, target, other, third];
const others = [target, other, third];

const user = fc.constantFrom(...known);
const anyStep = fc.oneof(
  fc.record({
    act: fc.constantFrom("block", "mute", "mute", "follow", "follow", "unblock", "unmute"),
    by: user,
    to: user,
  }),
  fc.record({
    act: fc.constant("set"),
    by: user,
    setting: fc.constantFrom("PROFILE_PICTURE", ...settings),
    audience: fc.constantFrom(...audiences),
  }),
  fc.record({
    act: fc.constant("except"),
    by: user,
    setting: fc.constant("GROUPS"),
    add: fc.subarray(known),
    remove: fc.constant([]),
  }),
) as fc.Arbitrary<Step>;
const hiddenStep = fc.record({
  act: fc.constantFrom("block", "mute", "unblock", "unmute"),
  by: fc.constantFrom(...others),
  to: fc.constant(caller),
}) as fc.Arbitrary<Step>;
const secrets = fc.constantFrom<("block" | "mute")[]>(["block"], ["mute"], ["block", "mute"]);
const asked = Object.keys(publicRequests).flatMap((method) =>
  (publicRequests[method]?.(String) ?? []).map((_, index) => ({ method, index })),
);
/** What is asked once more at the end of a story. */
const reads = asked.filter(({ method }) => /^(?:List|Preview)/.test(method));

const story = fc.record({
  steps: fc.array(fc.oneof({ weight: 2, arbitrary: anyStep }, { weight: 1, arbitrary: hiddenStep }), {
    maxLength: 16,
    size: "max",
  }),
  /** What the target does to the caller, at last. */
  secrets,
  order: fc.shuffledSubarray(asked, { minLength: asked.length }),
});
type Story = typeof story extends fc.Arbitrary<infer Value> ? Value : never;

/** Whether a step is what another user does to the caller, who must not learn of it. */
function isHidden(step: Step): boolean {
  return "to" in step && step.to === caller && step.by !== caller && /^(?:un)?(?:block|mute)$/.test(step.act);
}

/**
 * Takes steps without those that are hidden. Of a block that is hidden the caller sees what can have other reasons: the
 * follows of the two are gone, and neither follows the other while it holds.
 */
async function takeOpenly(world: World, steps: readonly Step[]): Promise<void> {
  const blockers = new Set<number>();
  for (const step of steps) {
    if (!isHidden(step)) {
      const pair = step.act === "follow" ? [step.by, step.to] : [];
      if (!pair.includes(caller) || !pair.some((user) => blockers.has(user))) await world.take(step);
    } else if (step.act === "block") {
      blockers.add(step.by);
      await world.take({ act: "unfollow", by: step.by, to: caller });
      await world.take({ act: "unfollow", by: caller, to: step.by });
    } else if (step.act === "unblock") blockers.delete(step.by);
  }
}

/** A service, and everything of it that its users can observe. */
class Observed {
  readonly service: TestService;
  readonly #protocols: ReadonlyMap<string, PublicCall[]>;
  readonly #newWorld: (users: readonly number[]) => Promise<World>;
  readonly #opened: OpenedBackend;

  private constructor(
    service: TestService,
    opened: OpenedBackend,
    protocols: ReadonlyMap<string, PublicCall[]>,
    newWorld: (users: readonly number[]) => Promise<World>,
  ) {
    this.service = service;
    this.#opened = opened;
    this.#protocols = protocols;
    this.#newWorld = newWorld;
  }

  /** Starts a service. `change` makes it a mutant. */
  static async start(url: string | undefined, change = (_: Database) => {}): Promise<Observed> {
    const opened = new OpenedBackend();
    const service = await startService(url, {}, async (options) => {
      const database = await opened.open(options);
      change(database);
      return database;
    });
    return new Observed(service, opened, await publicProtocols(), await worldsOf(service));
  }

  /** The answers to the caller of a story, without what is hidden and with it. */
  async tell({ steps, secrets, order }: Story): Promise<[without: string[], with_: string[]]> {
    const all = [...steps, ...secrets.map((act): Step => ({ act, by: target, to: caller }))];
    const [openly, wholly] = [await this.#newWorld(known), await this.#newWorld(known)];
    await takeOpenly(openly, all);
    for (const step of all) await wholly.take(step);
    return [await this.#answersTo(openly, order), await this.#answersTo(wholly, order)];
  }

  /** Every answer to the caller, over every protocol, all reads once more at the end, and the statements for each. */
  async #answersTo(world: World, order: typeof asked): Promise<string[]> {
    const { publicUrl } = this.service;
    const token = await this.service.userToken(world.idOf(caller));
    const seen: string[] = [];
    let statements: string[] = [];
    // What the service does by itself has no ids of the world.
    this.#opened.onStatement = ({ sql, parameters }) => {
      // The comparison of the graph with the tables runs at its own times.
      if (sql.includes("privacy.read_index")) return;
      if (JSON.stringify(parameters).includes(beginningOf(world))) statements.push(sql);
    };
    for (const { method, index } of [...order, ...reads]) {
      const { fields = {}, headers } = publicRequests[method]?.(world.idOf)[index] ?? {};
      for (const protocol of this.#protocols.get(method) ?? []) {
        statements = [];
        const answers = [await protocol.call(publicUrl, token, fields, headers)];
        for (let next = nextOf(answers[0]); next !== undefined; next = nextOf(answers.at(-1))) {
          answers.push(
            next.startsWith("/")
              ? await exchange(publicUrl + next, "GET", token)
              : await protocol.call(publicUrl, token, { ...fields, pageToken: next }),
          );
        }
        const said = `${protocol.name} ${JSON.stringify(fields)} ${JSON.stringify(headers ?? {})}`;
        for (const answer of answers) seen.push(comparable(`${said}\n${textOf(answer)}`, world));
        seen.push(comparable([said, ...statements].join("\n"), world));
      }
    }
    return seen;
  }
}

/** Services that tell a caller of others: each of them must be found out. */
const mutants: Record<string, (database: Database) => void> = {
  "a preview that knows the blocks of the viewer"({ previews, follows }) {
    const read = previews.read.bind(previews);
    previews.read = async (owner, viewer, signal) => {
      const choices = await read(owner, viewer, signal);
      const { blockedBy } = viewer === null ? {} : await follows.relationship(owner, viewer);
      return { ...choices, blocking: choices.blocking || Boolean(blockedBy) };
    };
  },
  "relationships that show who blocks the caller"({ relationships, follows }) {
    const read = relationships.read.bind(relationships);
    relationships.read = async (actor, users, signal) =>
      Promise.all(
        (await read(actor, users, signal)).map(async (found) => {
          const { blockedBy } = await follows
            .relationship(actor, found.user)
            .catch(() => ({ blockedBy: null }));
          return { ...found, blocking: found.blocking ?? (blockedBy && { ...blockedBy, createdAt: 0n }) };
        }),
      );
  },
  "one statement more about who mutes the caller"({ previews, follows, users }) {
    const read = previews.read.bind(previews);
    previews.read = async (owner, viewer, signal) => {
      const choices = await read(owner, viewer, signal);
      if (viewer !== null && (await follows.relationship(owner, viewer)).mutedBy) await users.find(viewer);
      return choices;
    };
  },
};

for (const { backend, databaseUrl, stories, changes } of [
  { ...embedded, stories: 5, changes: {} },
  { ...postgresql, stories: 12, changes: mutants },
]) {
  describe(`disclosure of blocks and mutes on ${backend}`, () => {
    const started: Observed[] = [];
    const start = async (test: Mocha.Context, change?: (database: Database) => void) => {
      const observed = await Observed.start(await databaseUrl(test), change);
      started.push(observed);
      return observed;
    };
    afterEach(async () => {
      for (const { service } of started.splice(0)) await service.stop(1_000);
    });

    it("does not happen by any route", async function () {
      const parameters = patiently(runs(stories));
      this.timeout(parameters.interruptAfterTimeLimit);
      const observed = await start(this);
      await fc.assert(
        fc.asyncProperty(story, async (told) => {
          const [without, with_] = await observed.tell(told);
          for (const [i, answer] of without.entries()) {
            if (answer !== with_[i]) expect.fail(`${answer}\n\nbecame\n\n${with_[i]}`);
          }
          expect(with_).to.have.length(without.length);
        }),
        parameters,
      );
    });

    for (const [name, change] of Object.entries(changes)) {
      it(`is found in ${name}`, async function () {
        const parameters = patiently(runs(stories));
        this.timeout(parameters.interruptAfterTimeLimit);
        const observed = await start(this, change);
        const { failed } = await fc.check(
          fc.asyncProperty(story, async (told) => {
            const [without, with_] = await observed.tell(told);
            expect(with_.join("\n\n") === without.join("\n\n")).to.be.true;
          }),
          { ...parameters, endOnFailure: true },
        );
        expect(failed).to.be.true;
      });
    }
  });
}

describe("the requests of the disclosure tests", () => {
  it("are those of every public route", async () => {
    expect([...(await publicProtocols()).keys()]).to.have.members(Object.keys(publicRequests));
  });
});

/** With time for stories that are much longer than those of other properties: each asks for everything twice. */
function patiently(usual: ReturnType<typeof runs>): ReturnType<typeof runs> {
  return { ...usual, interruptAfterTimeLimit: 4 * usual.interruptAfterTimeLimit };
}

/** What all ids of a world begin with. */
function beginningOf(world: World): string {
  return world.idOf(0).slice(0, -1);
}

/** The target of the `Link` of an answer, or its page token. */
function nextOf(answer: Answer | undefined): string | undefined {
  const link = answer?.headers.find((value) => value.endsWith(`; rel="next"`));
  return /^<([^>]+)>/.exec(link ?? "")?.[1] ?? /"nextPageToken":"([^"]+)"/.exec(answer?.body ?? "")?.[1];
}

/** An answer as it came. Of its length only whether it is true: what is left out below may be longer or shorter. */
function textOf({ status, headers, body }: Answer): string {
  const lines = headers.map((text, i) =>
    /^content-length$/i.test(headers[i - 1] ?? "") ? String(Number(text) === body.length) : text,
  );
  return [status, ...lines, "", body].join("\n");
}

/** Leaves out what differs from one answer to the next: times, ids of requests and records, tokens, and the ids of the world. */
function comparable(text: string, world: World): string {
  return (
    text
      .replaceAll(beginningOf(world), "user-")
      .replace(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "an id")
      .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, "a time")
      .replace(/\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT/g, "a date")
      .replace(/(page_token=|"nextPageToken":"|"pageToken":")[\w.~-]{20,}/g, "$1a token")
      // A digest of data that have ids and times in them.
      .replace(/W\/"[\w-]{22}"(?=[^{]*\{.*"userId":)/, "a tag")
      // All of one length: another one would differ.
      .replace(/(?<![\w-])[\w-]{102}(?![\w-])/g, "a consistency token")
  );
}
