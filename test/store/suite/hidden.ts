import { expect } from "chai";
import fc from "fast-check";
import { sql } from "kysely";
import { decideAccess, type RelationshipFacts } from "../../../src/domain/access.ts";
import { allScopes, muteScopes } from "../../../src/domain/changes.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { runs } from "../../property/runs.ts";
import { expectReason, someUser, type TestStore, unknownId } from "./store.ts";

const { content, notifications } = muteScopes;
/** A scope of a later version. */
const later = 4;

/** A block or mute, as a test stores it. */
interface Edge {
  readonly kind: "block" | "mute";
  readonly by: UserId;
  readonly to: UserId;
  /** In minutes from now; null for one that does not end. */
  readonly minutes: number | null;
  readonly scopes: number;
}

export function describeHidden(store: () => TestStore): void {
  /** Stores an edge, in place of an earlier one, and returns when it ends, in microseconds since 1970. */
  async function put({ kind, by, to, minutes, scopes }: Edge): Promise<bigint | null> {
    const expiresAt =
      minutes === null
        ? sql`'infinity'::timestamptz`
        : sql`clock_timestamp() + ${minutes}::int * interval '1 minute'`;
    const ends = sql`(extract(epoch from nullif(expires_at, 'infinity')) * 1000000)::bigint::text as ends`;
    const [row] = await store().query(
      kind === "block"
        ? sql<{ ends: string | null }>`
            insert into blocks (blocker_id, blocked_id, id, created_at, expires_at)
            values (${by}, ${to}, gen_random_uuid(), now(), ${expiresAt})
            on conflict (blocker_id, blocked_id) do update set expires_at = excluded.expires_at returning ${ends}`
        : sql<{ ends: string | null }>`
            insert into mutes (muter_id, muted_id, id, created_at, expires_at, scopes)
            values (${by}, ${to}, gen_random_uuid(), now(), ${expiresAt}, ${scopes}::int)
            on conflict (muter_id, muted_id) do update set expires_at = excluded.expires_at, scopes = excluded.scopes
            returning ${ends}`,
    );
    return row?.ends ? BigInt(row.ends) : null;
  }
  const block = (by: UserId, to: UserId, minutes: number | null = null) =>
    put({ kind: "block", by, to, minutes, scopes: allScopes });
  const mute = (by: UserId, to: UserId, minutes: number | null = null, scopes: number = allScopes) =>
    put({ kind: "mute", by, to, minutes, scopes });
  const markErased = (user: UserId) =>
    store().query(sql`update users set erased_at = now() where id = ${user}`);

  const read = (viewer: UserId, scope: number = content, limit = 100, from?: string) =>
    store().hiddenUsers.read({ viewer, scope, limit, from });
  const listed = async (viewer: UserId, scope?: number) => (await read(viewer, scope)).users;

  /** The pages of the whole list. */
  async function pagesOf(viewer: UserId, scope: number, limit: number) {
    const pages = [await read(viewer, scope, limit)];
    for (let next = pages[0]?.next; next !== undefined; next = pages.at(-1)?.next)
      pages.push(await read(viewer, scope, limit, next));
    return pages;
  }

  /** Users of which a test knows the order, lowest id first. */
  async function sortedUsers<Count extends number>(count: Count): Promise<UserId[] & { length: Count }> {
    return (await store().newUsers(count)).sort() as UserId[] & { length: Count };
  }

  describe("the users who are hidden from a viewer", () => {
    after(() => store().query(sql`delete from users where erased_at is not null`));

    it("are those whom the viewer blocks or mutes, and who block the viewer, once each in the order of ids", async () => {
      const [viewer] = (await store().newUsers(1)) as [UserId];
      const [a, b, c, d, e] = await sortedUsers(5);
      expect(await listed(viewer)).to.eql([]);
      await mute(viewer, d as UserId);
      await block(c as UserId, viewer);
      await block(viewer, a as UserId);
      for (const scope of [content, notifications]) expect(await listed(viewer, scope)).to.eql([a, c, d]);
      await block(a as UserId, viewer);
      await mute(viewer, a as UserId);
      // Neither an owner's mute of the viewer nor a follow hides anybody.
      await mute(b as UserId, viewer);
      await store().follows.follow(viewer, e as UserId);
      for (const scope of [content, notifications]) expect(await listed(viewer, scope)).to.eql([a, c, d]);
      expect(await listed(b as UserId)).to.eql([viewer]);
      expect(await read(viewer)).to.eql({ users: [a, c, d], endsAt: null, next: undefined });
    });

    it("are muted in the scope that was asked for", async () => {
      const [viewer] = (await store().newUsers(1)) as [UserId];
      const [ofContent, ofNotifications, ofBoth, ofNeither, ofAll] = (await sortedUsers(5)) as UserId[];
      await mute(viewer, ofContent as UserId, null, content);
      await mute(viewer, ofNotifications as UserId, null, notifications | later);
      await mute(viewer, ofBoth as UserId, null, content | notifications);
      await mute(viewer, ofNeither as UserId, null, later);
      await mute(viewer, ofAll as UserId);
      expect(await listed(viewer, content)).to.eql([ofContent, ofBoth, ofAll]);
      expect(await listed(viewer, notifications)).to.eql([ofNotifications, ofBoth, ofAll]);
    });

    it("are not hidden by what has ended, nor known when they are being erased, nor the viewer", async () => {
      const [viewer] = (await store().newUsers(1)) as [UserId];
      const [a, b, c, d, e] = (await sortedUsers(5)) as [UserId, UserId, UserId, UserId, UserId];
      await block(viewer, a, -1);
      await block(b, viewer, -1);
      await mute(viewer, c, -1);
      await block(viewer, d);
      await block(viewer, e);
      await block(viewer, viewer);
      await markErased(d);
      expect(await listed(viewer)).to.eql([e]);
      await mute(viewer, a);
      expect(await listed(viewer)).to.eql([a, e]);
    });

    it("of an unknown viewer and of one who is being erased are an error", async () => {
      await expectReason(read(unknownId()), "USER_NOT_FOUND");
      const [viewer, other] = (await store().newUsers(2)) as [UserId, UserId];
      await block(viewer, other);
      await markErased(viewer);
      await expectReason(read(viewer), "USER_NOT_FOUND");
    });

    it("stop being hidden when the last reason of one of them ends", async () => {
      const [viewer, a, b, c, d] = (await store().newUsers(5)) as [UserId, UserId, UserId, UserId, UserId];
      const endsAt = async () => (await read(viewer)).endsAt;
      await block(viewer, a);
      expect(await endsAt()).to.equal(null);
      await block(viewer, b, 10);
      const later = await block(b, viewer, 90);
      expect(await endsAt()).to.equal(later);
      const sooner = await mute(viewer, c, 60);
      expect(await endsAt()).to.equal(sooner);
      // What does not hide the user does not say when that ends: another scope, an end that has passed.
      const soonest = await block(viewer, d, 30);
      await mute(viewer, d, null, notifications);
      await block(d, viewer, -1);
      expect(await endsAt()).to.equal(soonest);
      await mute(viewer, d);
      expect(await endsAt()).to.equal(sooner);
      await mute(viewer, c, 60, notifications);
      expect(await endsAt()).to.equal(later);
    });

    it("have the lowest and the highest id, too", async () => {
      const [viewer] = (await store().newUsers(1)) as [UserId];
      const ends = ["0", "f"].map((digit) => unknownId().replace(/[0-9a-f]/g, digit) as UserId);
      await store().users.upsert(ends.map((id) => someUser({ id })));
      for (const id of ends) await block(viewer, id);
      expect(await listed(viewer)).to.eql(ends);
      expect((await pagesOf(viewer, content, 1)).map(({ users }) => users)).to.eql(ends.map((id) => [id]));
      for (const id of ends) await store().users.delete(id);
    });

    it("come in pages that tell of their own users only, also when nobody of a page is hidden", async () => {
      const [viewer] = (await store().newUsers(1)) as [UserId];
      const others = await sortedUsers(6);
      const [a, b, c, d, e, f] = others as [UserId, UserId, UserId, UserId, UserId, UserId];
      const ends = await mute(viewer, a, 60);
      await block(viewer, b);
      await block(viewer, c, -1);
      await block(d, viewer, -1);
      const last = await block(e, viewer, 30);
      await mute(viewer, f, 60, notifications);
      expect(await pagesOf(viewer, content, 2)).to.eql([
        { users: [a, b], endsAt: ends, next: c },
        { users: [], endsAt: null, next: e },
        { users: [e], endsAt: last, next: undefined },
      ]);
      for (const limit of [1, 2, 3, 5, 6, 7])
        expect((await pagesOf(viewer, content, limit)).flatMap(({ users }) => users)).to.eql([a, b, e]);
    });

    it("are listed once each while others come and go", async () => {
      const [viewer] = (await store().newUsers(1)) as [UserId];
      const others = await store().newUsers(40);
      const staying = others.filter((_, i) => i % 2 === 0).sort();
      const moving = others.filter((_, i) => i % 2 === 1);
      for (const [i, user] of staying.entries()) {
        if (i % 3 !== 0) await block(viewer, user);
        if (i % 3 !== 1) await block(user, viewer);
        if (i % 3 !== 2) await mute(viewer, user);
      }
      let listing = true;
      const move = async () => {
        for (let turn = 0; listing; turn++) {
          const user = moving[turn % moving.length] as UserId;
          if (turn % 3 === 0) await store().blocks.unblock(viewer, user);
          else await block(viewer, user);
          // Another reason for someone who stays: still the same user.
          await mute(viewer, staying[turn % staying.length] as UserId, turn % 2 === 0 ? -1 : null, content);
          await block(viewer, staying[turn % staying.length] as UserId);
        }
      };
      const moved = move();
      try {
        for (let round = 0; round < 10; round++) {
          const users = (await pagesOf(viewer, content, 3)).flatMap((page) => page.users);
          expect(users).to.eql([...new Set(users)].sort());
          expect(users.filter((user) => staying.includes(user))).to.eql(staying);
        }
      } finally {
        listing = false;
        await moved;
      }
    });

    it("are those of whom decisions do not allow it, after any history", async function () {
      const parameters = runs(12);
      this.timeout(parameters.interruptAfterTimeLimit);
      const everyone = [0, 1, 2, 3, 4];
      const someone = fc.constantFrom(...everyone);
      const step = fc.record({
        act: fc.constantFrom("block", "block", "mute", "mute", "end", "erase"),
        by: someone,
        to: someone,
        minutes: fc.constantFrom(null, -1, 60, 120),
        scopes: fc.constantFrom(allScopes, content, notifications, content | notifications, later),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 30, size: "max" }), async (steps) => {
          const users = await sortedUsers(everyone.length);
          const edges = new Map<string, Edge & { readonly ends: bigint | null }>();
          const erased = new Set<UserId>();
          for (const { act, minutes, scopes, ...pair } of steps) {
            const [by, to] = [users[pair.by] as UserId, users[pair.to] as UserId];
            if (act === "erase") {
              erased.add(by);
              await markErased(by);
            } else if (act === "end") {
              for (const kind of ["block", "mute"]) edges.delete(`${kind} ${by} ${to}`);
              await store().query(sql`delete from blocks where blocker_id = ${by} and blocked_id = ${to}`);
              await store().query(sql`delete from mutes where muter_id = ${by} and muted_id = ${to}`);
            } else if (act === "block" || act === "mute") {
              const edge: Edge = { kind: act, by, to, minutes, scopes };
              edges.set(`${act} ${by} ${to}`, { ...edge, ends: await put(edge) });
            }
          }
          /** The edges that stand from one user to another. */
          const standing = (kind: Edge["kind"], by: UserId, to: UserId, scope: number) =>
            [edges.get(`${kind} ${by} ${to}`)].filter(
              (edge) => edge && edge.minutes !== -1 && (kind === "block" || (edge.scopes & scope) !== 0),
            );
          for (const [interaction, scope] of [
            ["VIEW_CONTENT", content],
            ["RECEIVE_NOTIFICATION", notifications],
          ] as const) {
            for (const viewer of users) {
              if (erased.has(viewer)) {
                await expectReason(read(viewer, scope), "USER_NOT_FOUND");
                continue;
              }
              const hidden = users.filter((owner) => {
                const facts: RelationshipFacts = {
                  known: true,
                  blocking: standing("block", viewer, owner, scope).length > 0,
                  blockedBy: standing("block", owner, viewer, scope).length > 0,
                  muting: standing("mute", viewer, owner, scope).length > 0,
                  audience: "all",
                  contact: false,
                  excepted: false,
                };
                return (
                  !erased.has(owner) && decideAccess({ viewer, owner, interaction }, facts).effect !== "ALLOW"
                );
              });
              const facts = await store().relationshipFacts.read(
                users.map((owner) => ({ viewer, owner, muteScope: scope, setting: null })),
              );
              const decided = users.filter((owner, i) => {
                const { effect, cause } = decideAccess(
                  { viewer, owner, interaction },
                  facts[i] as RelationshipFacts,
                );
                return effect !== "ALLOW" && cause !== "UNKNOWN_USER";
              });
              expect(decided).to.eql(hidden);
              const lastEnds = hidden.map((owner) =>
                [
                  ...standing("block", viewer, owner, scope),
                  ...standing("block", owner, viewer, scope),
                  ...standing("mute", viewer, owner, scope),
                ]
                  .map((edge) => edge?.ends ?? null)
                  .reduce((a, b) => (a === null || b === null ? null : a > b ? a : b)),
              );
              const endsAt = lastEnds.reduce((a, b) => (a === null ? b : b === null || a < b ? a : b), null);
              expect(await read(viewer, scope)).to.eql({ users: hidden, endsAt, next: undefined });
              const pages = await pagesOf(viewer, scope, 2);
              expect(pages.flatMap((page) => page.users)).to.eql(hidden);
            }
          }
        }),
        parameters,
      );
    });
  });
}
