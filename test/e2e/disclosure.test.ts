import { expect } from "chai";
import fc from "fast-check";
import { audiences, type Step, settings } from "../property/model.ts";
import {
  type Answer,
  exchange,
  type Fields,
  type PublicCall,
  publicProtocols,
} from "../property/public-protocols.ts";
import { runs } from "../property/runs.ts";
import { type World, worldsOf } from "../property/world.ts";
import { embedded, postgresql } from "../support/backends.ts";
import { startService, type TestService } from "../support/service.ts";

const [caller, target, other, third, stranger] = [0, 1, 2, 3, 9];
const known = [caller, target, other, third];
const others = [target, other, third];

/** What a caller asks of every method; a method that has a REST route and is not here fails the test. */
const requests: Record<string, (id: (user: number) => string) => Fields[]> = {
  BlockUser: (id) => [target, other, caller, stranger].map((user) => ({ userId: id(user) })),
  UnblockUser: (id) => [target, third, stranger].map((user) => ({ userId: id(user) })),
  MuteUser: (id) => [target, other, caller, stranger].map((user) => ({ userId: id(user) })),
  UnmuteUser: (id) => [target, third, stranger].map((user) => ({ userId: id(user) })),
  ListBlockedUsers: () => [{}, { pageSize: 1 }, { pageToken: "x" }],
  ListMutedUsers: () => [{}, { pageSize: 1 }, { pageSize: -1 }],
  GetPrivacySettings: () => [{}],
  UpdatePrivacySetting: () => [
    { setting: "status", value: "contacts" },
    { setting: "status", value: "friends" },
  ],
  ListPrivacyExceptions: () => [{ setting: "groups" }, { setting: "groups", pageSize: 1 }],
  UpdatePrivacyExceptions: (id) => [
    { setting: "groups", addUserIds: [id(target), id(other)] },
    { setting: "groups", addUserIds: [id(third)], removeUserIds: [id(target)] },
    { setting: "groups", addUserIds: [id(stranger), id(target)] },
  ],
};
const lists = Object.keys(requests).filter((method) => method.startsWith("List"));

/** A step that only the second of two worlds takes when it is hidden. */
type Turn = Step & { readonly hidden?: boolean };

const user = fc.constantFrom(...known);
const open: fc.Arbitrary<Turn> = fc.oneof(
  fc.record({
    act: fc.constantFrom("block", "mute", "mute", "follow", "unblock", "unmute"),
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
) as fc.Arbitrary<Turn>;
const hidden: fc.Arbitrary<Turn> = fc.record({
  act: fc.constantFrom("block", "mute", "unblock", "unmute"),
  by: fc.constantFrom(...others),
  to: fc.constant(caller),
  hidden: fc.constant(true),
});
const secrets = fc.constantFrom<("block" | "mute")[]>(["block"], ["mute"], ["block", "mute"]);
const asked = Object.keys(requests).flatMap((method) =>
  (requests[method]?.(String) ?? []).map((_, index) => ({ method, index })),
);

const story = fc.record({
  turns: fc.array(fc.oneof({ weight: 2, arbitrary: open }, { weight: 1, arbitrary: hidden }), {
    maxLength: 16,
    size: "max",
  }),
  /** What the target does to the caller, at last. */
  secrets,
  order: fc.shuffledSubarray(asked, { minLength: asked.length }),
});

for (const { backend, databaseUrl, stories } of [
  { ...embedded, stories: 10 },
  { ...postgresql, stories: 20 },
]) {
  describe(`disclosure of blocks and mutes on ${backend}`, () => {
    let service: TestService;
    let protocols: Map<string, PublicCall[]>;
    let newWorld: (users: readonly number[]) => Promise<World>;
    before(async function () {
      const url = await databaseUrl(this);
      service = await startService(url);
      newWorld = await worldsOf(service);
      protocols = await publicProtocols();
    });
    after(() => service?.stop(1_000));

    it("is asked of every public route", () => {
      expect([...protocols.keys()]).to.have.members(Object.keys(requests));
    });

    it("does not happen by any route", async function () {
      const parameters = runs(stories);
      this.timeout(parameters.interruptAfterTimeLimit);
      await fc.assert(
        fc.asyncProperty(story, async ({ turns, secrets, order }) => {
          const last: Turn[] = secrets.map((act) => ({ act, by: target, to: caller, hidden: true }));
          const tell = async (withHidden: boolean) => {
            const world = await newWorld(known);
            for (const turn of [...turns, ...last]) if (withHidden || !turn.hidden) await world.take(turn);
            return answersTo(world, order);
          };
          const [without, with_] = [await tell(false), await tell(true)];
          for (const [i, answer] of without.entries()) {
            if (answer !== with_[i]) expect.fail(`${answer}\n\nbecame\n\n${with_[i]}`);
          }
          expect(with_).to.have.length(without.length);
        }),
        parameters,
      );
    });

    /** Every answer to the caller, over every protocol, all lists once more at the end. */
    async function answersTo(world: World, order: typeof asked): Promise<string[]> {
      const token = await service.userToken(world.idOf(caller));
      const seen: string[] = [];
      for (const { method, index } of [...order, ...asked.filter(({ method }) => lists.includes(method))]) {
        const message = requests[method]?.(world.idOf)[index] ?? {};
        for (const protocol of protocols.get(method) ?? []) {
          const answers = [await protocol.call(service.publicUrl, token, message)];
          for (let next = nextOf(answers[0]); next !== undefined; next = nextOf(answers.at(-1))) {
            answers.push(
              next.startsWith("/")
                ? await exchange(service.publicUrl + next, "GET", token)
                : await protocol.call(service.publicUrl, token, { ...message, pageToken: next }),
            );
          }
          const said = JSON.stringify(message);
          for (const answer of answers)
            seen.push(comparable(`${protocol.name} ${said}\n${textOf(answer)}`, world));
        }
      }
      return seen;
    }
  });
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
      .replaceAll(world.idOf(0).slice(0, -1), "user-")
      .replace(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "an id")
      .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, "a time")
      .replace(/\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT/g, "a date")
      .replace(/(page_token=|"nextPageToken":"|"pageToken":")[\w.~-]{20,}/g, "$1a token")
      // All of one length: another one would differ.
      .replace(/(?<![\w-])[\w-]{102}(?![\w-])/g, "a consistency token")
  );
}
