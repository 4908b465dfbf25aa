import { randomUUID } from "node:crypto";
import { expect } from "chai";
import fc from "fast-check";
import { startService, type TestService } from "../support/service.ts";

const control = "/api/v1/e-social/privacy-control";
const seed = Number(process.env.PROPERTY_SEED ?? 1);

/** The members of a block or mute that a patch can change. */
interface Terms {
  readonly expiresAt?: string | null;
  readonly scopes?: readonly string[] | null;
}

/** MergePatch of RFC 7396, section 2, for objects without objects in them. */
function merged(target: Terms, patch: Terms): Terms {
  const members = Object.entries({ ...target, ...patch }).filter(([, value]) => value !== null);
  return Object.fromEntries(members);
}

/** Terms as an answer has them: a time in whole seconds of UTC, scopes in one order, and nothing where there is none. */
function shown({ expiresAt, scopes }: Terms): Terms {
  const inOrder = ["content", "notifications"].filter((scope) => scopes?.includes(scope));
  return {
    ...(expiresAt && { expiresAt: `${new Date(expiresAt).toISOString().slice(0, 19)}Z` }),
    ...(inOrder.length > 0 && { scopes: inOrder }),
  };
}

describe("a merge patch over REST", () => {
  let service: TestService;
  const me = randomUUID();
  const bob = randomUUID();
  before(async () => {
    service = await startService();
    const users = [me, bob].map((id) => ({ id, userName: "user", firstName: "A", lastName: "User" }));
    await service.graph.upsertUsers({ users }, await service.acting());
  });
  after(() => service?.stop(1_000));

  const time = fc
    .tuple(
      fc.integer({ min: 3_600, max: 9 * 365 * 86_400 }),
      fc.constantFrom(["Z", 0], ["+05:30", 330], ["-11:00", -660]),
    )
    .map(([seconds, [offset, minutes]]) => {
      const local = new Date(Date.now() + seconds * 1_000 + Number(minutes) * 60_000);
      return local.toISOString().replace("Z", String(offset));
    });
  const expiresAt = fc.option(time, { freq: 3 });
  const scopes = fc.option(fc.shuffledSubarray(["content", "notifications"]), { freq: 3 });
  const kinds = [
    ["block", "blocked", fc.record({ expiresAt }, { requiredKeys: [] })],
    ["mute", "muted", fc.record({ expiresAt, scopes }, { requiredKeys: [] })],
  ] as const;

  for (const [kind, list, patch] of kinds)
    it(`changes a ${kind} as RFC 7396 says, patch after patch`, async () => {
      const call = async (method: string, path: string, body?: Terms) =>
        (await service.rest(method, `${control}/${path}`, { as: me, ...(body && { body }) })).json.data;
      const termsOf = ({ id: _id, user: _user, createdAt: _createdAt, ...terms }: Record<string, unknown>) =>
        terms;
      await fc.assert(
        fc.asyncProperty(fc.array(patch, { minLength: 1, maxLength: 6 }), async (patches) => {
          await call("DELETE", `un${kind}/${bob}`);
          const made = await call("POST", `${kind}/${bob}`);
          let wanted: Terms = {};
          for (const one of patches) {
            wanted = merged(wanted, one);
            const changed = await call("PATCH", `${kind}/${bob}`, one);
            expect(changed).to.eql({ ...made, ...shown(wanted) });
            expect(termsOf((await call("GET", list))[0])).to.eql(shown(wanted));
          }
        }),
        { seed, numRuns: 10 },
      );
    });
});
