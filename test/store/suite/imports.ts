import { expect } from "chai";
import { sql } from "kysely";
import { defaultTerms } from "../../../src/domain/edges.ts";
import { type ImportProgress, type ImportRecord, skipReasons } from "../../../src/domain/imports.ts";
import type { User, UserId } from "../../../src/domain/users.ts";
import type { ImportName } from "../../../src/store/imports.ts";
import { expectReason, failureOf, someUser, type TestStore, unknownId } from "./store.ts";

type EdgeKind = "follow" | "block" | "mute";

/** The name of an import without records. */
export function newImport(service = "accounts"): ImportName {
  return { service, id: unknownId() };
}

export const malformedRecord: ImportRecord = { kind: "malformed", description: "the record is empty" };

/** A record of an edge; without a time it is of now. */
export function edgeRecord(
  kind: EdgeKind,
  owner: UserId,
  target: UserId,
  createdAt: bigint | null = null,
): ImportRecord {
  return { kind, edge: { owner, target, createdAt } };
}

const tables = {
  follow: ["follows", "follower_id", "followee_id"],
  block: ["blocks", "blocker_id", "blocked_id"],
  mute: ["mutes", "muter_id", "muted_id"],
} as const;

/** The moments of an edge in the database, in microseconds: one, or none when there is no such edge. */
async function timesOf(store: TestStore, kind: EdgeKind, owner: UserId, target: UserId): Promise<bigint[]> {
  const [table, ownerColumn, targetColumn] = tables[kind];
  const rows = await store.query(sql<{ micros: string }>`
    select (extract(epoch from created_at) * 1000000)::bigint::text as micros from ${sql.table(table)}
    where ${sql.ref(ownerColumn)} = ${owner} and ${sql.ref(targetColumn)} = ${target}`);
  return rows.map(({ micros }) => BigInt(micros));
}

const nothingSkipped = Object.fromEntries(
  skipReasons.map((reason) => [reason, 0]),
) as ImportProgress["skipped"];
const nothing: ImportProgress = { records: 0, stored: 0, unchanged: 0, skipped: nothingSkipped };

export function describeImports(store: () => TestStore): void {
  describe("imports", () => {
    let [ann, bob, carl] = [] as unknown as [UserId, UserId, UserId];
    beforeEach(async () => {
      [ann, bob, carl] = (await store().newUsers(3)) as [UserId, UserId, UserId];
    });
    const kinds: readonly EdgeKind[] = ["follow", "block", "mute"];
    const edgeTimes = (kind: EdgeKind, owner: UserId, target: UserId) =>
      timesOf(store(), kind, owner, target);

    for (const kind of kinds) {
      const moments = {
        "a usual moment": 1_720_000_000_123_457n,
        "the epoch": 0n,
        "a moment before the epoch": -1_234_567_890_123_457n,
        "the first moment": -62_135_596_800_000_000n,
        "the last moment": 253_402_300_799_999_999n,
      };
      for (const [name, moment] of Object.entries(moments)) {
        it(`stores a ${kind} with its time to the microsecond: ${name}`, async () => {
          const { progress, skipped } = await store().imports.store(newImport(), 0, [
            edgeRecord(kind, ann, bob, moment),
          ]);
          expect(progress).to.eql({ ...nothing, records: 1, stored: 1 });
          expect(skipped).to.eql([]);
          expect(await edgeTimes(kind, ann, bob)).to.eql([moment]);
          expect(await edgeTimes(kind, bob, ann)).to.eql([]);
        });
      }

      it(`stores a ${kind} without a time as of now`, async () => {
        await store().imports.store(newImport(), 0, [edgeRecord(kind, ann, bob)]);
        const [time = 0n] = await edgeTimes(kind, ann, bob);
        expect(Math.abs(Number(time / 1_000n) - Date.now())).to.be.below(60_000);
      });

      it(`keeps a ${kind} that is there`, async () => {
        const records = [edgeRecord(kind, ann, bob, 5n), edgeRecord(kind, ann, carl, 6n)];
        await store().imports.store(newImport(), 0, records);
        const again = records.map(() => edgeRecord(kind, ann, bob, 1n));
        const { progress } = await store().imports.store(newImport(), 0, again);
        expect(progress).to.eql({ ...nothing, records: 2, unchanged: 2 });
        expect(await edgeTimes(kind, ann, bob)).to.eql([5n]);
        expect(await edgeTimes(kind, ann, carl)).to.eql([6n]);
      });

      it(`stores a ${kind} that a batch has twice once, as of its first time`, async () => {
        const records = [9n, 4n, 7n].map((time) => edgeRecord(kind, ann, bob, time));
        const { progress, skipped } = await store().imports.store(newImport(), 0, records);
        expect(progress).to.eql({ ...nothing, records: 3, stored: 1, unchanged: 2 });
        expect(skipped).to.eql([]);
        expect(await edgeTimes(kind, ann, bob)).to.eql([4n]);
      });
    }

    it("shows an imported block in the list, and imported pairs in the relationship", async () => {
      await store().imports.store(newImport(), 0, [
        edgeRecord("block", ann, bob, 1_000_001n),
        edgeRecord("mute", bob, ann, 1_000_002n),
        edgeRecord("follow", carl, ann, 1_000_003n),
      ]);
      const [record] = await store().blocks.list(ann, 10);
      expect([record?.user.id, record?.createdAt]).to.eql([bob, 1_000_001n]);
      const { blocking, mutedBy } = await store().follows.relationship(ann, bob);
      expect({ blocking, mutedBy }).to.eql({ blocking: defaultTerms, mutedBy: defaultTerms });
      expect((await store().follows.relationship(ann, carl)).followedBy).to.equal(true);
    });

    it("stores users before the records that mention them, in any order", async () => {
      const [dora, emil] = [someUser(), someUser()];
      const { progress } = await store().imports.store(newImport(), 0, [
        edgeRecord("follow", dora.id, emil.id),
        { kind: "user", user: emil },
        edgeRecord("mute", emil.id, dora.id),
        { kind: "user", user: { ...dora, firstName: "Other" } },
        { kind: "user", user: dora },
      ]);
      expect(progress).to.eql({ ...nothing, records: 5, stored: 4, unchanged: 1 });
      expect(await store().users.find(dora.id)).to.eql(dora);
      const again = await store().imports.store(newImport(), 0, [
        { kind: "user", user: dora },
        { kind: "user", user: { ...emil, lastName: "Changed" } },
      ]);
      expect(again.progress).to.eql({ ...nothing, records: 2, stored: 1, unchanged: 1 });
    });

    describe("of users in part", () => {
      const facts = { firstName: "First", lastName: "Last", profilePictureUrls: ["a"], isVerified: true };
      const partial = (id: UserId, some: Partial<User> = {}): ImportRecord => ({
        kind: "user",
        user: { id, userName: "renamed", ...some },
      });

      it("keep the fields that they omit, the badge too", async () => {
        const known = await store().newUser(facts);
        const { progress } = await store().imports.store(newImport(), 0, [partial(known)]);
        expect(progress).to.eql({ ...nothing, records: 1, stored: 1 });
        expect(await store().users.find(known)).to.eql({ id: known, userName: "renamed", ...facts });
        const again = await store().imports.store(newImport(), 0, [partial(known)]);
        expect(again.progress).to.eql({ ...nothing, records: 1, unchanged: 1 });
      });

      it("replace each field that they have, and no other", async () => {
        const changes: Partial<User>[] = [
          { firstName: "" },
          { lastName: "Other" },
          { profilePictureUrls: [] },
          { isVerified: false },
        ];
        for (const change of changes) {
          const known = await store().newUser(facts);
          await store().imports.store(newImport(), 0, [partial(known, change)]);
          expect(await store().users.find(known)).to.eql({
            id: known,
            userName: "renamed",
            ...facts,
            ...change,
          });
        }
      });

      it("make a new user whose other fields are empty", async () => {
        const id = unknownId();
        const { progress } = await store().imports.store(newImport(), 0, [
          partial(id, { lastName: "Last" }),
          edgeRecord("follow", id, ann),
        ]);
        expect(progress).to.eql({ ...nothing, records: 2, stored: 2 });
        expect(await store().users.find(id)).to.eql({
          ...{ id, userName: "renamed", firstName: "", lastName: "Last" },
          ...{ profilePictureUrls: [], isVerified: false },
        });
      });

      it("add up, the last of two winning field by field", async () => {
        const known = await store().newUser({ ...facts, isVerified: false });
        const { progress } = await store().imports.store(newImport(), 0, [
          { kind: "user", user: { id: known, userName: "full", ...facts } },
          partial(known, { firstName: "Second" }),
          partial(known, { userName: "third" }),
        ]);
        expect(progress).to.eql({ ...nothing, records: 3, stored: 1, unchanged: 2 });
        expect(await store().users.find(known)).to.eql({
          ...{ id: known, userName: "third" },
          ...{ ...facts, firstName: "Second" },
        });
      });
    });

    it("names every record that it skips, and why", async () => {
      await store().blocks.block(carl, ann);
      const stranger = unknownId();
      const id = newImport();
      const records: ImportRecord[] = [
        edgeRecord("follow", ann, carl),
        edgeRecord("block", ann, stranger),
        malformedRecord,
        edgeRecord("mute", bob, bob),
        edgeRecord("follow", carl, ann),
        edgeRecord("follow", stranger, ann),
        edgeRecord("mute", stranger, unknownId()),
        edgeRecord("mute", ann, bob),
        edgeRecord("block", stranger, stranger),
      ];
      const { progress, skipped } = await store().imports.store(id, 0, records);
      const across = "ownerId or targetId blocks the other";
      const self = "ownerId and targetId are the same user";
      expect(skipped).to.eql([
        { record: 0, reason: "FOLLOW_ACROSS_BLOCK", description: across },
        { record: 1, reason: "UNKNOWN_USER", description: "targetId is no known user" },
        { record: 2, reason: "MALFORMED", description: "the record is empty" },
        { record: 3, reason: "SELF", description: self },
        { record: 4, reason: "FOLLOW_ACROSS_BLOCK", description: across },
        { record: 5, reason: "UNKNOWN_USER", description: "ownerId is no known user" },
        { record: 6, reason: "UNKNOWN_USER", description: "ownerId is no known user" },
        { record: 8, reason: "SELF", description: self },
      ]);
      const counts = { ...nothingSkipped, MALFORMED: 1, SELF: 2, UNKNOWN_USER: 3, FOLLOW_ACROSS_BLOCK: 2 };
      expect(progress).to.eql({ records: 9, stored: 1, unchanged: 0, skipped: counts });
      expect(await store().imports.progress(id)).to.eql(progress);
      const next = await store().imports.store(id, 9, [edgeRecord("follow", ann, carl)]);
      expect(next.skipped).to.eql([{ record: 9, reason: "FOLLOW_ACROSS_BLOCK", description: across }]);
      expect(next.progress.skipped).to.eql({ ...counts, FOLLOW_ACROSS_BLOCK: 3 });
    });

    it("ends the follows between the two of a block, in both directions, and no other", async () => {
      await store().follows.follow(ann, bob);
      await store().follows.follow(bob, ann);
      await store().follows.follow(bob, carl);
      await store().mutes.mute(bob, ann);
      await store().imports.store(newImport(), 0, [edgeRecord("block", ann, bob, 1n)]);
      expect(await store().follows.relationship(ann, bob)).to.eql({
        following: false,
        followedBy: false,
        blocking: defaultTerms,
        blockedBy: null,
        muting: null,
        mutedBy: defaultTerms,
      });
      expect((await store().follows.relationship(bob, carl)).following).to.equal(true);
    });

    it("skips a follow across a block of the same batch, whichever comes first", async () => {
      const { skipped } = await store().imports.store(newImport(), 0, [
        edgeRecord("follow", ann, bob, 2n),
        edgeRecord("block", ann, bob, 1n),
        edgeRecord("follow", bob, ann, 3n),
      ]);
      expect(skipped.map(({ record, reason }) => [record, reason])).to.eql([
        [0, "FOLLOW_ACROSS_BLOCK"],
        [2, "FOLLOW_ACROSS_BLOCK"],
      ]);
      expect(await edgeTimes("follow", ann, bob)).to.eql([]);
      expect(await edgeTimes("follow", bob, ann)).to.eql([]);
    });

    it("of two services with one id are two imports", async () => {
      const first = newImport("accounts");
      const second = { ...first, service: "messaging" };
      await store().imports.store(first, 0, [edgeRecord("mute", ann, carl)]);
      expect(await store().imports.progress(second)).to.eql(nothing);
      const { progress } = await store().imports.store(second, 0, [edgeRecord("block", ann, bob, 1n)]);
      expect(progress).to.eql({ ...nothing, records: 1, stored: 1 });
      expect(await edgeTimes("block", ann, bob)).to.eql([1n]);
      await expectReason(store().imports.store(second, 2, []), "IMPORT_GAP");
      expect((await store().imports.progress(first)).records).to.equal(1);
    });

    describe("that go on", () => {
      let id: ImportName;
      let others: UserId[];
      beforeEach(async () => {
        id = newImport();
        others = await store().newUsers(9);
      });
      const follows = (from: number, to: number) =>
        others.slice(from, to).map((other, i) => edgeRecord("follow", ann, other, BigInt(from + i)));

      it("start at zero", async () => {
        expect(await store().imports.progress(id)).to.eql(nothing);
        const { progress } = await store().imports.store(id, 0, []);
        expect(progress).to.eql(nothing);
      });

      it("skip records that were stored before", async () => {
        await store().imports.store(id, 0, follows(0, 4));
        await store().follows.unfollow(ann, others[1] as UserId);
        const again = await store().imports.store(id, 0, follows(0, 4));
        expect(again.progress).to.eql({ ...nothing, records: 4, stored: 4 });
        expect(await edgeTimes("follow", ann, others[1] as UserId)).to.eql([]);
        const onwards = await store().imports.store(id, 2, [...follows(2, 6), malformedRecord]);
        expect(onwards.progress).to.eql({
          records: 7,
          stored: 6,
          unchanged: 0,
          skipped: { ...nothingSkipped, MALFORMED: 1 },
        });
        expect(onwards.skipped.map(({ record, reason }) => [record, reason])).to.eql([[6, "MALFORMED"]]);
        expect(await store().imports.progress(id)).to.eql(onwards.progress);
      });

      it("reject a gap, and store nothing after it", async () => {
        await store().imports.store(id, 0, follows(0, 4));
        await expectReason(store().imports.store(id, 5, follows(5, 6)), "IMPORT_GAP");
        await expectReason(store().imports.store(newImport(), 1, follows(5, 6)), "IMPORT_GAP");
        expect((await store().imports.progress(id)).records).to.equal(4);
        expect(await edgeTimes("follow", ann, others[5] as UserId)).to.eql([]);
      });

      it("store a batch as a whole or not at all", async () => {
        const broken: ImportRecord = { kind: "user", user: someUser({ id: "no uuid" as UserId }) };
        await failureOf(store().imports.store(id, 0, [...follows(0, 2), broken]));
        expect(await store().imports.progress(id)).to.eql(nothing);
        expect(await edgeTimes("follow", ann, others[0] as UserId)).to.eql([]);
      });

      it("count every record once, though two streams bring them at once", async () => {
        const bring = async () => {
          for (let first = 0; first < 9; first += 3) {
            await store().imports.store(id, first, follows(first, first + 3));
          }
        };
        await Promise.all([bring(), bring(), bring()]);
        expect(await store().imports.progress(id)).to.eql({ ...nothing, records: 9, stored: 9 });
      });
    });
  });
}
