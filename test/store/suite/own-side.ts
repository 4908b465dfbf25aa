import { expect } from "chai";
import { sql } from "kysely";
import { allScopes, muteScopes } from "../../../src/domain/changes.ts";
import type { DatedTerms, OwnRelationship } from "../../../src/domain/edges.ts";
import type { OwnerChoices } from "../../../src/domain/preview.ts";
import { audiences, mapSettings, privacySettings } from "../../../src/domain/settings.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { expectReason, expectUnknownActor, type TestStore, unknownId } from "./store.ts";

const createdAt = 1_700_000_000_123_456n;
const expiresAt = 4_000_000_000_654_321n;

/** A time in microseconds since 1970, as SQL. */
const at = (micros: bigint) =>
  sql`timestamptz 'epoch' + ${String(micros)}::bigint * interval '1 microsecond'`;

const edge = (facts: Partial<DatedTerms> = {}): DatedTerms => ({
  createdAt,
  expiresAt: null,
  scopes: allScopes,
  ...facts,
});

/** What the methods for users tell of the acting user's side alone: relationships and previews. */
export function describeOwnSide(store: () => TestStore): void {
  describe("the own side of users", () => {
    let [me, other, third] = [] as unknown as [UserId, UserId, UserId];
    beforeEach(async () => {
      [me, other, third] = (await store().newUsers(3)) as [UserId, UserId, UserId];
    });

    const follow = (by: UserId, to: UserId) =>
      store().query(sql`insert into follows values (${by}, ${to}, ${at(createdAt)})`);
    const block = (by: UserId, to: UserId, ends = sql`'infinity'`) =>
      store().query(
        sql`insert into blocks values (${by}, ${to}, gen_random_uuid(), ${at(createdAt)}, ${ends})`,
      );
    const mute = (by: UserId, to: UserId, ends = sql`'infinity'`, scopes: number = allScopes) =>
      store().query(sql`
      insert into mutes (muter_id, muted_id, id, created_at, expires_at, scopes)
      values (${by}, ${to}, gen_random_uuid(), ${at(createdAt)}, ${ends}, ${scopes}::int)`);
    const except = (by: UserId, to: UserId, setting: string) =>
      store().query(sql`insert into privacy_exceptions values (${by}, ${setting}, ${to}, now())`);
    const lapsed = sql`statement_timestamp()`;
    const beginErasure = (user: UserId) =>
      store().query(sql`update users set erased_at = now() where id = ${user}`);
    after(() => store().query(sql`delete from users where erased_at is not null`));

    /** Everything that the other side can do to `me`. */
    async function turnOnMe(by: UserId): Promise<void> {
      await follow(by, me);
      await block(by, me);
      await mute(by, me);
      await except(by, me, "groups");
      await store().settings.set(by, "groups", "contact_blacklist");
    }

    describe("relationships", () => {
      const read = (...users: UserId[]) => store().relationships.read(me, users);
      const nothing = (user: UserId): OwnRelationship => ({
        ...{ user, following: null },
        ...{ blocking: null, muting: null },
      });

      it("are empty at first, with anybody", async () => {
        expect(await read(other, third)).to.eql([nothing(other), nothing(third)]);
        expect(await read()).to.eql([]);
      });

      it("have the follow, the block and the mute of the acting user, to the microsecond", async () => {
        await follow(me, other);
        await mute(me, other, at(expiresAt), muteScopes.notifications);
        await block(me, third, at(expiresAt));
        await mute(me, third);
        const muting = edge({ expiresAt, scopes: muteScopes.notifications });
        expect(await read(other, third)).to.eql([
          { user: other, following: edge(), blocking: null, muting },
          { user: third, following: null, blocking: edge({ expiresAt }), muting: edge() },
        ]);
      });

      it("have the order of the question, and everyone as often as asked for", async () => {
        await block(me, other);
        const ids = [third, other, unknownId(), third, other, me];
        const found = await read(...ids);
        expect(found.map(({ user }) => user)).to.eql(ids);
        expect(found.map(({ blocking }) => blocking !== null)).to.eql([
          false,
          true,
          false,
          false,
          true,
          false,
        ]);
      });

      it("are those with a hundred users", async () => {
        const users = await store().newUsers(100);
        for (const [i, user] of users.entries()) if (i % 3 === 0) await mute(me, user);
        expect(await read(...users)).to.eql(
          users.map((user, i) => ({ ...nothing(user), muting: i % 3 === 0 ? edge() : null })),
        );
      });

      it("tell nothing of what the other side does", async () => {
        await turnOnMe(other);
        expect(await read(other)).to.eql([nothing(other)]);
        expect((await store().relationships.read(other, [me]))[0]).to.not.eql(nothing(me));
      });

      it("have no block or mute that has ended", async () => {
        await block(me, other, lapsed);
        await mute(me, other, lapsed);
        expect(await read(other)).to.eql([nothing(other)]);
      });

      it("are those of a stranger with oneself, with the unknown and with whoever is being erased", async () => {
        const gone = unknownId();
        await mute(me, me);
        await follow(me, other);
        await block(me, other);
        await mute(me, other);
        await beginErasure(other);
        expect(await read(me, gone, other)).to.eql([nothing(me), nothing(gone), nothing(other)]);
      });

      it("of an unknown user and of one who is being erased are an error, also with nobody", async () => {
        await expectUnknownActor(store().relationships.read(unknownId(), [other]));
        await expectUnknownActor(store().relationships.read(unknownId(), []));
        await beginErasure(me);
        for (const users of [[other], []]) await expectUnknownActor(read(...users));
      });
    });

    describe("the choices for a preview", () => {
      const read = (viewer: UserId | null) => store().previews.read(me, viewer);
      const nothing: OwnerChoices = {
        blocking: false,
        contact: false,
        settings: mapSettings(() => ({ audience: "all", excepted: false })),
      };

      it("are none at first", async () => {
        for (const viewer of [other, me, null]) expect(await read(viewer)).to.eql(nothing);
      });

      it("have the block and the follow of the owner", async () => {
        await follow(me, other);
        await block(me, third);
        expect(await read(other)).to.eql({ ...nothing, contact: true });
        expect(await read(third)).to.eql({ ...nothing, blocking: true });
        expect(await read(null)).to.eql(nothing);
      });

      it("have every setting, and whether the viewer is on its list", async () => {
        for (const [i, setting] of privacySettings.entries()) {
          await store().settings.set(me, setting, audiences[(i + 1) % audiences.length] ?? "all");
          if (i % 2 === 0) await except(me, other, setting);
          await except(me, third, setting);
        }
        const index = (setting: (typeof privacySettings)[number]) => privacySettings.indexOf(setting);
        const chosen = (isExcepted: (i: number) => boolean) =>
          mapSettings((setting) => ({
            audience: audiences[(index(setting) + 1) % audiences.length],
            excepted: isExcepted(index(setting)),
          }));
        expect((await read(other)).settings).to.eql(chosen((i) => i % 2 === 0));
        expect((await read(third)).settings).to.eql(chosen(() => true));
        expect((await read(null)).settings).to.eql(chosen(() => false));
      });

      it("tell nothing of what the viewer does", async () => {
        await turnOnMe(other);
        expect(await read(other)).to.eql(nothing);
      });

      it("have no block that has ended", async () => {
        await block(me, other, lapsed);
        expect(await read(other)).to.eql(nothing);
      });

      it("are an error for a viewer who is unknown or being erased, and first of all for such an owner", async () => {
        await expectReason(read(unknownId()), "USER_NOT_FOUND");
        await block(me, other);
        await beginErasure(other);
        await expectReason(read(other), "USER_NOT_FOUND");
        await expectUnknownActor(store().previews.read(unknownId(), unknownId()));
        await expectUnknownActor(store().previews.read(unknownId(), null));
        await beginErasure(me);
        for (const viewer of [third, other, me, null]) await expectUnknownActor(read(viewer));
      });
    });
  });
}
