import { expect } from "chai";
import { sql } from "kysely";
import { allScopes, type EdgeChange, muteScopes } from "../../../src/domain/changes.ts";
import { defaultTerms, type EdgeTerms, type EdgeTermsChange } from "../../../src/domain/edges.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { changesBetween, forcedTick } from "./changes.ts";
import { twins } from "./edges.ts";
import { databaseNow, expectReason, expectUnknownActor, type TestStore, unknownId } from "./store.ts";

const second = 1_000_000n;
const minute = 60n * second;
const day = 1_440n * minute;

export function describeTerms(store: () => TestStore): void {
  const fromNow = async (micros: bigint) => (await databaseNow(store())) + micros;
  const ending = (expiresAt: bigint | null): EdgeTerms => ({ ...defaultTerms, expiresAt });

  for (const twin of twins(store)) {
    const { table, owner } = twin;
    const kind = table === "blocks" ? "block" : "mute";
    describe(`the terms of ${table}`, () => {
      let [ann, bob] = [] as unknown as [UserId, UserId];
      beforeEach(async () => {
        [ann, bob] = (await store().newUsers(2)) as [UserId, UserId];
      });

      const termsInRelationship = async () => {
        const { blocking, muting } = await store().follows.relationship(ann, bob);
        return table === "blocks" ? blocking : muting;
      };
      const endIt = () =>
        store().query(
          sql`update ${sql.table(table)} set expires_at = now() where ${sql.ref(owner)} = ${ann}`,
        );
      /** What the change log has about the pair after a change, without its times and versions. */
      const logged = async (run: () => Promise<unknown>) => {
        const from = await forcedTick(store());
        await run();
        const changes = await changesBetween(store(), from, await forcedTick(store()));
        return (changes as EdgeChange[]).map(({ kind, cause, edge }) => [kind, cause, edge]);
      };

      it("are in the record, the list, the relationship and the change log, to the microsecond", async () => {
        const expiresAt = ((await fromNow(day)) / 1_000n) * 1_000n + 123n;
        const log = await logged(() => twin.add(ann, bob, ending(expiresAt)));
        const [record] = await twin.list(ann, 10);
        expect(record).to.include({ expiresAt, scopes: allScopes });
        expect(await termsInRelationship()).to.eql(ending(expiresAt));
        expect(log).to.eql([[kind, "user", { createdAt: record?.createdAt, expiresAt, scopes: allScopes }]]);
      });

      it("are a minute to ten years of the calendar by the database's clock, else nothing is stored", async () => {
        const [{ leap } = { leap: "" }] = await store().query(
          sql<{ leap: string }>`
            select (extract(epoch from now() + interval '10 years') * 1000000)::bigint::text as leap`,
        );
        const tenYears = BigInt(leap);
        for (const wrong of [
          await fromNow(minute - 1n),
          await fromNow(0n),
          await fromNow(-day),
          0n,
          -62_135_596_800n * second,
          tenYears + minute,
          253_402_300_799n * second,
        ])
          await expectReason(twin.add(ann, bob, ending(wrong)), "INVALID_EXPIRY");
        expect(await twin.list(ann, 10)).to.eql([]);
        for (const right of [await fromNow(minute + 30n * second), tenYears - minute]) {
          expect((await twin.add(ann, bob, ending(right))).expiresAt).to.equal(right);
          await twin.remove(ann, bob);
        }
      });

      it("replace those of a record that has ended", async () => {
        await twin.add(ann, bob, ending(await fromNow(day)));
        await endIt();
        const expiresAt = await fromNow(2n * day);
        await twin.add(ann, bob, ending(expiresAt));
        expect((await twin.list(ann, 10)).map((record) => record.expiresAt)).to.eql([expiresAt]);
        await endIt();
        expect((await twin.add(ann, bob)).expiresAt).to.equal(null);
      });

      it("are changed and cleared, in the same record", async () => {
        const record = await twin.add(ann, bob);
        for (const expiresAt of [await fromNow(day), await fromNow(2n * minute), null]) {
          const log = await logged(async () => {
            const { result, token } = await twin.update(ann, bob, { expiresAt });
            expect(result).to.eql({ ...record, expiresAt });
            expect(token.kind).to.equal("write");
          });
          const { createdAt } = record;
          expect(log).to.eql([[kind, "user", { createdAt, expiresAt, scopes: allScopes }]]);
          expect(await twin.list(ann, 10)).to.eql([{ ...record, expiresAt }]);
          expect(await termsInRelationship()).to.eql(ending(expiresAt));
        }
      });

      it("are the same after a change that changes nothing, which logs nothing and has a token", async () => {
        const expiresAt = await fromNow(day);
        const record = await twin.add(ann, bob, ending(expiresAt));
        const log = await logged(async () => {
          for (const change of [{}, { expiresAt }]) {
            const { result, token } = await twin.update(ann, bob, change);
            expect(result).to.eql(record);
            expect(token.kind).to.equal("state");
            expect(await store().consistency.isSatisfied(token)).to.equal(true);
          }
        });
        expect(log).to.eql([]);
      });

      it("are not changed to an expiry that a new record may not have", async () => {
        const record = await twin.add(ann, bob, ending(await fromNow(day)));
        for (const expiresAt of [await fromNow(minute - 1n), 0n, await fromNow(3_654n * day)])
          await expectReason(twin.update(ann, bob, { expiresAt }), "INVALID_EXPIRY");
        expect(await twin.list(ann, 10)).to.eql([record]);
      });

      it("may be kept although they end within a minute", async () => {
        await twin.add(ann, bob);
        await store().query(
          sql`update ${sql.table(table)} set expires_at = now() + interval '50 seconds' where ${sql.ref(owner)} = ${ann}`,
        );
        const [record] = await twin.list(ann, 10);
        expect((await twin.update(ann, bob, {})).result).to.eql(record);
      });

      it("cannot be changed where there is no record, or one that has ended", async () => {
        await expectReason(twin.update(ann, bob, {}), twin.absent);
        await twin.add(bob, ann);
        await expectReason(twin.update(ann, bob, { expiresAt: null }), twin.absent);
        await twin.add(ann, bob);
        await endIt();
        const log = await logged(async () => {
          for (const change of [{ expiresAt: null }, { expiresAt: await fromNow(day) }, {}])
            await expectReason(twin.update(ann, bob, change), twin.absent);
        });
        expect(log).to.eql([]);
        expect(await twin.list(ann, 10)).to.eql([]);
      });

      it("report an unknown actor, an unknown target, a wrong expiry and the record, in this order", async () => {
        const wrong = ending(0n);
        for (const act of [twin.add, twin.update]) {
          await expectUnknownActor(act(unknownId(), unknownId(), wrong));
          await expectUnknownActor(act(unknownId(), ann, wrong));
          await expectReason(act(ann, unknownId(), wrong), "USER_NOT_FOUND");
        }
        await expectReason(twin.update(ann, bob, wrong), "INVALID_EXPIRY");
        await twin.add(ann, bob);
        await expectReason(twin.add(ann, bob, wrong), "INVALID_EXPIRY");
        await expectReason(twin.add(ann, bob, ending(await fromNow(day))), twin.already);
        expect((await twin.list(ann, 10)).map(({ expiresAt }) => expiresAt)).to.eql([null]);
      });

      it("are those of one of many changes at once", async () => {
        await twin.add(ann, bob);
        const start = await fromNow(day);
        const expiries = Array.from({ length: 20 }, (_, n) => start + BigInt(n));
        const log = await logged(() =>
          Promise.all(expiries.map((expiresAt) => twin.update(ann, bob, { expiresAt }))),
        );
        expect(log).to.have.length(20);
        const [record] = await twin.list(ann, 10);
        expect(log.at(-1)?.[2]).to.eql({
          ...ending(record?.expiresAt ?? null),
          createdAt: record?.createdAt,
        });
      });
    });
  }

  describe("a block with an expiry", () => {
    it("ends the follows of the two, and restores none when it ends", async () => {
      const [ann, bob] = (await store().newUsers(2)) as [UserId, UserId];
      await store().follows.follow(ann, bob);
      await store().follows.follow(bob, ann);
      await store().blocks.block(ann, bob, { expiresAt: await fromNow(day) });
      await expectReason(store().follows.follow(ann, bob), "FOLLOW_ACROSS_BLOCK");
      await store().query(sql`update blocks set expires_at = now() where blocker_id = ${ann}`);
      const { following, followedBy, blocking } = await store().follows.relationship(ann, bob);
      expect([following, followedBy, blocking]).to.eql([false, false, null]);
      await store().follows.follow(ann, bob);
    });
  });

  describe("the scopes of mutes", () => {
    const { content, notifications } = muteScopes;
    const both = content | notifications;
    let [ann, bob] = [] as unknown as [UserId, UserId];
    beforeEach(async () => {
      [ann, bob] = (await store().newUsers(2)) as [UserId, UserId];
    });
    const hidden = () =>
      Promise.all(
        [content, notifications].map(async (muteScope) => {
          const query = { viewer: ann, owner: bob, muteScope, setting: null };
          return (await store().relationshipFacts.read([query]))[0]?.muting;
        }),
      );
    const inRelationship = async () => (await store().follows.relationship(ann, bob)).muting?.scopes;

    it("are stored as given, and decide as given", async () => {
      for (const [scopes, decisions] of [
        [content, [true, false]],
        [notifications, [false, true]],
        [both, [true, true]],
        [allScopes, [true, true]],
      ] as const) {
        const { result } = await store().mutes.mute(ann, bob, { expiresAt: null, scopes });
        expect(result.scopes).to.equal(scopes);
        expect((await store().mutes.list(ann, 10)).map((record) => record.scopes)).to.eql([scopes]);
        expect(await inRelationship()).to.equal(scopes);
        expect(await hidden(), `scopes ${scopes}`).to.eql(decisions);
        await store().mutes.unmute(ann, bob);
      }
    });

    it("are changed apart from the expiry, and together with it", async () => {
      const expiresAt = await fromNow(day);
      const { result: record } = await store().mutes.mute(ann, bob, { expiresAt, scopes: content });
      let expected = record;
      for (const change of [
        { scopes: notifications },
        { expiresAt: null },
        { scopes: both },
        { expiresAt, scopes: allScopes },
        { expiresAt: null, scopes: content },
      ] satisfies EdgeTermsChange[]) {
        expected = { ...expected, ...change };
        const { result, token } = await store().mutes.update(ann, bob, change);
        expect(result).to.eql(expected);
        expect(token.kind).to.equal("write");
        expect(await store().mutes.list(ann, 10)).to.eql([expected]);
        expect(await hidden()).to.eql([
          (expected.scopes & content) !== 0,
          (expected.scopes & notifications) !== 0,
        ]);
      }
      expect((await store().mutes.update(ann, bob, { scopes: content })).token.kind).to.equal("state");
    });

    it("are those of the new mute over one that has ended", async () => {
      await store().mutes.mute(ann, bob, { expiresAt: null, scopes: content });
      await store().query(sql`update mutes set expires_at = now() where muter_id = ${ann}`);
      await store().mutes.mute(ann, bob, { expiresAt: null, scopes: notifications });
      expect(await hidden()).to.eql([false, true]);
    });
  });
}
