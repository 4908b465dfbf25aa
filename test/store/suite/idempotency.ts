import { expect } from "chai";
import { sql } from "kysely";
import type { Written } from "../../../src/domain/consistency.ts";
import { defaultTerms, type EdgeRecord, type EdgeTerms } from "../../../src/domain/edges.ts";
import type { ErrorReason } from "../../../src/domain/errors.ts";
import type { UserId } from "../../../src/domain/users.ts";
import type { Database } from "../../../src/store/database.ts";
import {
  countFollows,
  expectReason,
  expectUnknownActor,
  failureOf,
  someUser,
  type TestStore,
  tally,
  unknownId,
} from "./store.ts";

/** A block or a mute with a key. */
export interface Keyed {
  readonly method: "block" | "mute";
  readonly already: ErrorReason;
  make(database: Database, actor: UserId, target: UserId, key?: string, terms?: EdgeTerms): Made;
  remove(database: Database, actor: UserId, target: UserId): Promise<unknown>;
  /** The users about whom the actor has a record. */
  targets(database: Database, actor: UserId): Promise<UserId[]>;
}

type Made = Promise<Written<EdgeRecord>>;

export const keyedMethods: readonly Keyed[] = [
  {
    method: "block",
    already: "USER_ALREADY_BLOCKED",
    make: ({ blocks }, actor, target, key, terms) => blocks.block(actor, target, terms, key),
    remove: ({ blocks }, actor, target) => blocks.unblock(actor, target),
    targets: async ({ blocks }, actor) => (await blocks.list(actor, 100)).map(({ user }) => user.id),
  },
  {
    method: "mute",
    already: "USER_ALREADY_MUTED",
    make: ({ mutes }, actor, target, key, terms) => mutes.mute(actor, target, terms, key),
    remove: ({ mutes }, actor, target) => mutes.unmute(actor, target),
    targets: async ({ mutes }, actor) => (await mutes.list(actor, 100)).map(({ user }) => user.id),
  },
];

/** How many idempotency keys name a user. */
export async function countKeys(store: TestStore, user: UserId): Promise<number> {
  const rows = await store.query(sql`select from idempotency_keys where ${user} in (actor_id, target_id)`);
  return rows.length;
}

/** Makes the keys of a user older. */
export async function ageKeys(store: TestStore, actor: UserId, by: string): Promise<void> {
  await store.query(sql`
    update idempotency_keys set created_at = created_at - ${by}::interval where actor_id = ${actor}`);
}

/** A time in microseconds since 1970, that many minutes from now. */
const inMinutes = (minutes: number) => BigInt(Date.now() + minutes * 60_000) * 1_000n + 7n;

export function describeIdempotency(store: () => TestStore): void {
  for (const keyed of keyedMethods) {
    const { method, already } = keyed;
    const make = async (...args: [UserId, UserId, string?, EdgeTerms?]) =>
      (await keyed.make(store(), ...args)).result;
    const targets = (actor: UserId) => keyed.targets(store(), actor);
    const remove = (actor: UserId, target: UserId) => keyed.remove(store(), actor, target);
    const logged = async (actor: UserId) =>
      (await store().query(sql`select from changes where owner = ${actor}`)).length;

    describe(`the idempotency key of a ${method}`, () => {
      let [ann, bob, carl] = [] as unknown as [UserId, UserId, UserId];
      beforeEach(async () => {
        [ann, bob, carl] = (await store().newUsers(3)) as [UserId, UserId, UserId];
      });

      it("is not stored where there is none", async () => {
        await make(ann, bob);
        await expectReason(make(ann, bob), already);
        expect(await countKeys(store(), ann)).to.equal(0);
      });

      it("lets a repeated request get the record of the first one, and changes nothing", async () => {
        const record = await make(ann, bob, "key");
        const before = await logged(ann);
        for (let n = 0; n < 3; n++) expect(await make(ann, bob, "key")).to.eql(record);
        expect(await targets(ann)).to.eql([bob]);
        expect(await logged(ann)).to.equal(before);
        await expectReason(make(ann, bob, "another key"), already);
        await expectReason(make(ann, bob), already);
      });

      it("keeps the terms of the record, to the microsecond", async () => {
        const terms = { expiresAt: inMinutes(60), scopes: method === "mute" ? 2 : -1 };
        const record = await make(ann, bob, "key", terms);
        expect(record).to.include(terms);
        expect(await make(ann, bob, "key", terms)).to.eql(record);
      });

      it("answers with a token that covers the state of the answer", async () => {
        await make(ann, bob, "key");
        const { token } = await keyed.make(store(), ann, bob, "key");
        expect(token.kind).to.equal("state");
        expect(await store().consistency.isSatisfied(token)).to.equal(true);
      });

      it("lets a late repetition change nothing when the record was removed meanwhile", async () => {
        const record = await make(ann, bob, "key");
        await remove(ann, bob);
        await store().follows.follow(bob, ann);
        const before = await logged(ann);
        expect(await make(ann, bob, "key")).to.eql(record);
        expect(await targets(ann)).to.eql([]);
        expect(await countFollows(store(), bob, ann)).to.equal(1);
        expect(await logged(ann)).to.equal(before);
        const later = await make(ann, bob, "later");
        expect(later.id).to.not.equal(record.id);
        expect(await make(ann, bob, "key")).to.eql(record);
        expect(await make(ann, bob, "later")).to.eql(later);
      });

      it("stores that there was a record already, and answers so when that is gone", async () => {
        await make(ann, bob);
        await expectReason(make(ann, bob, "key"), already);
        await remove(ann, bob);
        await expectReason(make(ann, bob, "key"), already);
        expect(await targets(ann)).to.eql([]);
      });

      it("stores that the user was unknown, and answers so when the user is known", async () => {
        const late = someUser();
        await expectReason(make(ann, late.id, "key"), "USER_NOT_FOUND");
        await store().users.upsert([late]);
        await expectReason(make(ann, late.id, "key"), "USER_NOT_FOUND");
        expect(await targets(ann)).to.eql([]);
        await expectReason(make(ann, bob, "key"), "IDEMPOTENCY_KEY_REUSED");
        await make(ann, late.id, "another key");
      });

      it("stores that the expiry was refused, without an effect of the refused request", async () => {
        await store().follows.follow(bob, ann);
        const terms = { ...defaultTerms, expiresAt: inMinutes(0) };
        for (let n = 0; n < 2; n++) await expectReason(make(ann, bob, "key", terms), "INVALID_EXPIRY");
        expect(await targets(ann)).to.eql([]);
        expect(await countFollows(store(), bob, ann)).to.equal(1);
        // An expiry that the clock has reached is still the same request.
        await ageKeys(store(), ann, "23 hours");
        await expectReason(make(ann, bob, "key", terms), "INVALID_EXPIRY");
        await expectReason(make(ann, bob, "key"), "IDEMPOTENCY_KEY_REUSED");
      });

      it("is refused for another request, which has no effect", async () => {
        const record = await make(ann, bob, "key");
        const [other] = keyedMethods.filter((each) => each !== keyed) as [Keyed];
        const terms = { ...defaultTerms, expiresAt: inMinutes(60) };
        const requests: (() => Promise<unknown>)[] = [
          () => make(ann, carl, "key"),
          () => make(ann, unknownId(), "key"),
          () => make(ann, bob, "key", terms),
          () => make(ann, bob, "key", { ...terms, expiresAt: terms.expiresAt + 1n }),
          () => make(ann, bob, "key", { ...terms, expiresAt: 0n }),
          () => other.make(store(), ann, bob, "key"),
          ...(method === "mute" ? [() => make(ann, bob, "key", { expiresAt: null, scopes: 1 })] : []),
        ];
        for (const request of requests) await expectReason(request(), "IDEMPOTENCY_KEY_REUSED");
        expect(await targets(ann)).to.eql([bob]);
        expect(await other.targets(store(), ann)).to.eql([]);
        expect(await make(ann, bob, "key")).to.eql(record);
      });

      it("tells expiries apart that differ by a microsecond", async () => {
        const expiresAt = inMinutes(60);
        await make(ann, bob, "key", { ...defaultTerms, expiresAt });
        const later = { ...defaultTerms, expiresAt: expiresAt + 1n };
        await expectReason(make(ann, bob, "key", later), "IDEMPOTENCY_KEY_REUSED");
      });

      it("belongs to the actor", async () => {
        const record = await make(ann, bob, "key");
        expect((await make(carl, bob, "key")).id).to.not.equal(record.id);
        await make(bob, carl, "key");
        expect(await targets(bob)).to.eql([carl]);
      });

      it("may be any text", async () => {
        for (const key of [" ", "'; --", "\\", "%s", "null", "k".repeat(255), "Key", "key"]) {
          const target = await store().newUser();
          const record = await make(ann, target, key);
          expect(await make(ann, target, key), key).to.eql(record);
        }
        expect(await countKeys(store(), ann)).to.equal(8);
      });

      it("is not stored for an unknown actor", async () => {
        const stranger = someUser();
        await expectUnknownActor(make(stranger.id, bob, "key"));
        await expectUnknownActor(make(stranger.id, unknownId(), "key"));
        await store().users.upsert([stranger]);
        expect(await countKeys(store(), stranger.id)).to.equal(0);
        await make(stranger.id, bob, "key");
        await store().query(sql`update users set erased_at = now() where id = ${stranger.id}`);
        await expectUnknownActor(make(stranger.id, bob, "key"));
      });

      it("is not stored by a call that was given up", async () => {
        const reason = new Error("the caller went away");
        const { blocks, mutes } = store();
        const signal = AbortSignal.abort(reason);
        const call =
          method === "block"
            ? blocks.block(ann, bob, defaultTerms, "key", signal)
            : mutes.mute(ann, bob, defaultTerms, "key", signal);
        expect(await failureOf(call)).to.equal(reason);
        expect(await countKeys(store(), ann)).to.equal(0);
        await make(ann, carl, "key");
      });

      it("answers with the user as it is now", async () => {
        const record = await make(ann, bob, "key");
        const renamed = someUser({ id: bob, firstName: "Renamed" });
        await store().users.upsert([renamed]);
        expect(await make(ann, bob, "key")).to.eql({ ...record, user: renamed });
        await store().settings.set(bob, "profile_picture", "none");
        const { user } = await make(ann, bob, "key");
        expect(user).to.eql({ ...renamed, profilePictureUrls: [] });
      });

      it("names no user who was erased, and lets the request change nothing", async () => {
        await make(ann, bob, "key");
        await make(bob, carl, "key");
        await store().query(sql`update users set erased_at = now() where id = ${bob}`);
        await expectReason(make(ann, bob, "key"), "USER_NOT_FOUND");
        expect(await countKeys(store(), bob)).to.equal(2);
        await store().users.delete(bob);
        expect(await countKeys(store(), bob)).to.equal(0);
        for (let n = 0; n < 2; n++) await expectReason(make(ann, bob, "key"), "USER_NOT_FOUND");
        expect(await countKeys(store(), bob)).to.equal(0);
      });

      it("answers that an erased user is unknown, whatever was answered before", async () => {
        await make(ann, bob);
        await expectReason(make(ann, bob, "key"), already);
        await store().query(sql`update users set erased_at = now() where id = ${bob}`);
        await expectReason(make(ann, bob, "key"), "USER_NOT_FOUND");
      });

      it("counts for 24 hours, by the database's clock", async () => {
        const record = await make(ann, bob, "key");
        await remove(ann, bob);
        await ageKeys(store(), ann, "23 hours 59 minutes");
        expect(await make(ann, bob, "key")).to.eql(record);
        await expectReason(make(ann, carl, "key"), "IDEMPOTENCY_KEY_REUSED");
        await ageKeys(store(), ann, "1 minute");
        const next = await make(ann, carl, "key");
        expect(await targets(ann)).to.eql([carl]);
        expect(await make(ann, carl, "key")).to.eql(next);
        await expectReason(make(ann, bob, "key"), "IDEMPOTENCY_KEY_REUSED");
        expect(await countKeys(store(), ann)).to.equal(1);
        await ageKeys(store(), ann, "24 hours");
        await expectReason(make(ann, carl, "key"), already);
        await remove(ann, carl);
        await expectReason(make(ann, carl, "key"), already);
      });

      it("lets all of 40 simultaneous repetitions get the same record", async () => {
        const records = await Promise.all(Array.from({ length: 40 }, () => make(ann, bob, "key")));
        for (const record of records) expect(record).to.eql(records[0]);
        expect(await targets(ann)).to.eql([bob]);
        expect(await logged(ann)).to.equal((await logged(carl)) + 1);
      });

      it("lets one of 20 simultaneous requests about different users succeed", async () => {
        const others = await store().newUsers(20);
        const counts = await tally(others.map((other) => make(ann, other, "key")));
        expect(counts).to.eql({ ok: 1, IDEMPOTENCY_KEY_REUSED: 19 });
        expect(await targets(ann)).to.have.length(1);
        expect(await countKeys(store(), ann)).to.equal(1);
      });
    });
  }

  describe("the sweep of idempotency keys", () => {
    const sweepAll = async () => {
      const runs: number[] = [];
      do runs.push(await store().idempotencyKeys.sweepLapsed());
      while (runs.at(-1) !== 0);
      return runs;
    };

    it("deletes those that are older than a day, and no others", async () => {
      const [ann, bob, carl] = (await store().newUsers(3)) as [UserId, UserId, UserId];
      await store().blocks.block(ann, carl, undefined, "key");
      await store().blocks.block(bob, carl, undefined, "key");
      await ageKeys(store(), ann, "24 hours");
      await ageKeys(store(), bob, "23 hours 59 minutes");
      expect((await sweepAll())[0]).to.be.at.least(1);
      expect([await countKeys(store(), ann), await countKeys(store(), bob)]).to.eql([0, 1]);
      expect(await store().idempotencyKeys.sweepLapsed()).to.equal(0);
      expect(await store().blocks.list(ann, 10)).to.have.length(1);
    });

    it("deletes many in several runs", async () => {
      const ann = await store().newUser();
      await sweepAll();
      await store().query(sql`
        insert into idempotency_keys (actor_id, key, request, created_at)
        select ${ann}, n, '', now() - interval '25 hours' from generate_series(1, 1050) n`);
      expect(await sweepAll()).to.eql([500, 500, 50, 0]);
      expect(await countKeys(store(), ann)).to.equal(0);
    });
  });
}
