import { randomUUID } from "node:crypto";
import { expect } from "chai";
import { sql } from "kysely";
import type { Change } from "../../../src/domain/changes.ts";
import type { UserId } from "../../../src/domain/users.ts";
import type { StatePosition, Tick } from "../../../src/store/change-log.ts";
import { failureOf, someUser, type TestStore, unknownId } from "./store.ts";

/** Stores a tick, runs something, stores another one, and returns the changes between the two. */
async function changesOf(store: TestStore, run: () => Promise<unknown>): Promise<Change[]> {
  const from = await forcedTick(store);
  await run();
  return changesBetween(store, from, await forcedTick(store));
}

export async function forcedTick({ changes }: TestStore): Promise<Tick> {
  const tick = await changes.tick({ force: true });
  if (tick === undefined) throw new Error("a forced tick was not stored");
  return tick;
}

/** Reads all changes between two ticks, a few at once. */
export async function changesBetween(store: TestStore, from: Tick, to: Tick, limit = 100): Promise<Change[]> {
  const all: Change[] = [];
  for (;;) {
    const page = await store.changes.read(from, to, all.at(-1)?.version ?? 0n, limit);
    all.push(...page);
    if (page.length < limit) return all;
  }
}

/** Reads the whole state. */
export async function stateOf({ changes }: TestStore, limit: number): Promise<Change[]> {
  const all: Change[] = [];
  for (let next: StatePosition | undefined = { table: 0, key: [] }; next !== undefined; ) {
    const page = await changes.readState(next, limit);
    all.push(...page.changes);
    next = page.next;
  }
  return all;
}

export function describeChanges(store: () => TestStore): void {
  describe("changes", () => describeLog(store));
}

function describeLog(store: () => TestStore): void {
  /** Users by their letters, so that changes can be written in short. */
  let names: Map<UserId, string>;
  let [ann, bob, carl]: UserId[] = [];
  beforeEach(async () => {
    [ann, bob, carl] = await store().newUsers(3);
    names = new Map([
      [ann as UserId, "ann"],
      [bob as UserId, "bob"],
      [carl as UserId, "carl"],
    ]);
  });
  const three = () => [ann, bob, carl] as [UserId, UserId, UserId];

  /** For example `+block ann bob by user`. */
  const inShort = (change: Change): string => {
    const holds =
      change.kind === "setting"
        ? change.audience !== null
        : "edge" in change
          ? change.edge !== null
          : change.present;
    const parts = [
      `${holds ? "+" : "-"}${change.kind}`,
      names.get(change.owner) ?? "somebody",
      ...("setting" in change ? [change.setting] : []),
      ...("audience" in change ? [change.audience ?? "nothing"] : []),
      ...("target" in change ? [names.get(change.target) ?? "somebody"] : []),
      `by ${change.cause ?? "hand"}`,
    ];
    return parts.join(" ");
  };
  const logged = async (run: () => Promise<unknown>) => (await changesOf(store(), run)).map(inShort);

  describe("the change log", () => {
    it("says what a block changed, with the follows that it removed", async () => {
      const [ann, bob] = three();
      await store().follows.follow(ann, bob);
      await store().follows.follow(bob, ann);
      const changes = await changesOf(store(), () => store().blocks.block(ann, bob));
      expect(changes.map(inShort)).to.have.members([
        "+block ann bob by user",
        "-follow ann bob by block",
        "-follow bob ann by block",
      ]);
      expect(new Set(changes.map(({ changedAt }) => changedAt)).size).to.equal(1);
      const [record] = await store().blocks.list(ann, 1);
      const [block] = changes.filter(({ kind }) => kind === "block");
      expect(block).to.deep.include({ edge: { createdAt: record?.createdAt, expiresAt: null, scopes: -1 } });
    });

    it("says what other calls changed", async () => {
      const [ann, bob] = three();
      expect(await logged(() => store().follows.follow(ann, bob))).to.eql(["+follow ann bob by service"]);
      expect(await logged(() => store().follows.unfollow(ann, bob))).to.eql(["-follow ann bob by service"]);
      expect(await logged(() => store().mutes.mute(ann, bob))).to.eql(["+mute ann bob by user"]);
      expect(await logged(() => store().mutes.unmute(ann, bob))).to.eql(["-mute ann bob by user"]);
      await store().blocks.block(ann, bob);
      expect(await logged(() => store().blocks.unblock(ann, bob))).to.eql(["-block ann bob by user"]);
      for (const audience of ["none", "contacts"] as const)
        expect(await logged(() => store().settings.set(ann, "groups", audience))).to.eql([
          `+setting ann groups ${audience} by user`,
        ]);
      expect(await logged(() => store().exceptions.update(ann, "groups", { add: [bob], remove: [] }))).to.eql(
        ["+exception ann groups bob by user"],
      );
      expect(await logged(() => store().exceptions.update(ann, "groups", { add: [], remove: [bob] }))).to.eql(
        ["-exception ann groups bob by user"],
      );
    });

    it("says which users become known and which are erased, with nothing that named them", async () => {
      const [ann, bob] = three();
      const user = someUser();
      expect(await logged(() => store().users.upsert([user]))).to.eql(["+user somebody by service"]);
      await store().blocks.block(ann, bob);
      await store().mutes.mute(bob, ann);
      await store().settings.set(ann, "groups", "none");
      expect(await logged(() => store().users.delete(ann))).to.eql(["-user ann by erasure"]);
      expect(await logged(() => store().users.upsert([{ ...user, id: ann }]))).to.eql([
        "+user ann by service",
      ]);
    });

    it("has nothing that did not happen", async () => {
      const [ann, bob, carl] = three();
      await store().follows.follow(ann, bob);
      await store().blocks.block(ann, carl);
      await store().settings.set(ann, "groups", "none");
      await store().exceptions.update(ann, "groups", { add: [bob], remove: [] });
      const user = (await store().users.find(bob)) as never;
      const calls: Record<string, () => Promise<unknown>> = {
        "a repeated follow": () => store().follows.follow(ann, bob),
        "a follow across a block": () => failureOf(store().follows.follow(carl, ann)),
        "an unfollow of nobody": () => store().follows.unfollow(carl, bob),
        "a repeated block": () => failureOf(store().blocks.block(ann, carl)),
        "an unblock of nobody": () => store().blocks.unblock(bob, ann),
        "an unmute of nobody": () => store().mutes.unmute(bob, ann),
        "a block of an unknown user": () => failureOf(store().blocks.block(bob, unknownId())),
        "a setting that stands": () => store().settings.set(ann, "groups", "none"),
        "exceptions that stand": () =>
          store().exceptions.update(ann, "groups", { add: [bob], remove: [carl] }),
        "an unchanged user": () => store().users.upsert([user]),
        "a renamed user": () => store().users.upsert([{ ...someUser(), id: bob }]),
        "the erasure of an unknown user": () => store().users.delete(unknownId()),
        "a failed transaction": () =>
          failureOf(
            store().query(sql`
              with gone as (delete from blocks where blocker_id = ${ann} returning 1)
              select 1 / (count(*) - 1) from gone`),
          ),
      };
      for (const [name, call] of Object.entries(calls)) expect(await logged(call), name).to.eql([]);
      expect(await store().blocks.list(ann, 10)).to.have.length(1);
    });

    it("says what an import stored", async () => {
      const [ann, bob, carl] = three();
      await store().follows.follow(bob, ann);
      const edge = (owner: UserId, target: UserId) => ({ owner, target, createdAt: null });
      const records = [
        { kind: "follow", edge: edge(ann, carl) },
        { kind: "block", edge: edge(ann, bob) },
        { kind: "mute", edge: edge(ann, bob) },
        { kind: "mute", edge: edge(ann, unknownId()) },
      ] as const;
      const name = { service: "accounts", id: randomUUID() };
      expect(await logged(() => store().imports.store(name, 0, records))).to.have.members([
        "+follow ann carl by import",
        "+block ann bob by import",
        "-follow bob ann by block",
        "+mute ann bob by import",
      ]);
    });

    it("says what an operator changes by hand: rows, keys and what a cascade removes", async () => {
      const [ann, bob, carl] = three();
      const byHand = (text: ReturnType<typeof sql>) => logged(() => store().query(text));
      expect(await byHand(sql`insert into follows values (${ann}, ${bob}, now())`)).to.eql([
        "+follow ann bob by hand",
      ]);
      expect(
        await byHand(sql`update follows set followee_id = ${carl} where follower_id = ${ann}`),
      ).to.have.members(["-follow ann bob by hand", "+follow ann carl by hand"]);
      await store().mutes.mute(ann, bob);
      expect(
        await byHand(sql`update mutes set expires_at = now() - interval '1 second' where muter_id = ${ann}`),
      ).to.eql(["+mute ann bob by hand"]);
      expect(await byHand(sql`delete from mutes where muter_id = ${ann}`)).to.eql([
        "-mute ann bob by expiry",
      ]);
      await store().settings.set(ann, "groups", "none");
      await store().exceptions.update(ann, "groups", { add: [bob], remove: [] });
      expect(await byHand(sql`delete from privacy_settings where user_id = ${ann}`)).to.eql([
        "-setting ann groups nothing by hand",
      ]);
      // With what names the user.
      const cascade = await byHand(sql`delete from users where id = ${ann}`);
      expect(cascade).to.include.members([
        "-user ann by hand",
        "-follow ann carl by hand",
        "-exception ann groups bob by hand",
      ]);
    });

    it("is read in pages, which can be resumed within a batch", async () => {
      const [ann] = three();
      const others = await store().newUsers(20);
      const from = await forcedTick(store());
      for (const other of others) await store().mutes.mute(ann, other);
      await store().exceptions.update(ann, "groups", { add: others, remove: [] });
      const to = await forcedTick(store());
      const whole = await changesBetween(store(), from, to);
      expect(whole).to.have.length(40);
      expect(whole).to.eql(whole.toSorted((a, b) => Number(a.version - b.version)));
      for (const limit of [1, 7, 39]) expect(await changesBetween(store(), from, to, limit)).to.eql(whole);
      const rest = await store().changes.read(from, to, whole[10]?.version ?? 0n, 100);
      expect(rest).to.eql(whole.slice(11));
    });

    it("is the same by one batch as by many", async () => {
      const [ann, bob] = three();
      const first = await forcedTick(store());
      for (let round = 0; round < 4; round++) {
        await store().blocks.block(ann, bob);
        await forcedTick(store());
        await store().blocks.unblock(ann, bob);
      }
      const last = await forcedTick(store());
      const { ticks } = await store().changes.ticksAfter(first, 100);
      expect(ticks.at(-1)).to.eql(last);
      expect(ticks.map(({ id }) => id)).to.eql(ticks.map((_, n) => first.id + BigInt(n + 1)));
      const steps: Change[] = [];
      for (const [n, to] of ticks.entries())
        steps.push(...(await changesBetween(store(), ticks[n - 1] ?? first, to)));
      expect(steps).to.eql(await changesBetween(store(), first, last));
      expect(steps).to.have.length(8);
    });

    it("stores a tick when something was committed, and none when nothing was", async () => {
      const [ann, bob] = three();
      const { changes } = store();
      const before = await forcedTick(store());
      expect(await changes.tick()).to.equal(undefined);
      await store().mutes.mute(ann, bob);
      const { through } = await changes.ticksAfter(before, 10);
      expect(through).to.equal(before.at);
      let stored: Tick | undefined;
      // Two ticks are at least 50 ms apart.
      while (stored === undefined) stored = await changes.tick();
      expect(stored.id).to.equal(before.id + 1n);
      expect(await changes.newestTick()).to.eql(stored);
      expect(await changes.findTick(stored)).to.eql(stored);
      expect(await changes.tick()).to.equal(undefined);
      const after = await changes.ticksAfter(before, 10);
      expect(after.ticks).to.eql([stored]);
      expect(Number(after.through)).to.be.above(Number(stored.at));
    });

    it("is through to the last tick of a page of ticks only", async () => {
      const first = await forcedTick(store());
      const second = await forcedTick(store());
      await forcedTick(store());
      expect(await store().changes.ticksAfter(first, 1)).to.deep.include({
        ticks: [second],
        through: second.at,
      });
    });

    it("stores every forced tick, also at the same moment", async () => {
      const ticks = await Promise.all(Array.from({ length: 8 }, () => forcedTick(store())));
      const ids = ticks.map(({ id }) => Number(id)).sort((a, b) => a - b);
      expect(ids).to.eql(ids.map((_, n) => (ids[0] as number) + n));
    });

    it("refuses ticks of another history, and those that are no longer stored", async () => {
      const tick = await forcedTick(store());
      const { changes } = store();
      const other = { ...tick, nonce: randomUUID() };
      const later = { ...tick, id: tick.id + 1_000n };
      const expired = { ...tick, id: -1n };
      for (const ask of [
        (name: Tick) => changes.findTick(name),
        (name: Tick) => changes.ticksAfter(name, 10),
        (name: Tick) => changes.read(name, tick, 0n, 10),
        (name: Tick) => changes.read(name, tick, 1n, 10),
      ]) {
        expect(await failureOf(ask(other))).to.have.property("reason", "HISTORY_CHANGED");
        expect(await failureOf(ask(later))).to.have.property("reason", "HISTORY_CHANGED");
        expect(await failureOf(ask(expired))).to.have.property("reason", "CURSOR_EXPIRED");
      }
    });

    it("begins a new history when a table is truncated", async () => {
      const tick = await forcedTick(store());
      await store().query(sql`truncate privacy_exceptions`);
      expect(await failureOf(store().changes.findTick(tick))).to.have.property("reason", "HISTORY_CHANGED");
      const first = await store().changes.newestTick();
      expect(first.id).to.equal(1n);
      expect(await failureOf(store().changes.findTick(tick))).to.have.property("reason", "HISTORY_CHANGED");
    });

    it("begins a new history when it is from a server that is ahead of this one", async () => {
      for (const restore of [
        sql`insert into ticks values (1000000, '1000000000:1000000000:')`,
        sql`insert into changes (xid, kind, owner, present) values ('1000000000', 'user', ${unknownId()}, false)`,
      ]) {
        const tick = await forcedTick(store());
        await store().query(restore);
        const first = await forcedTick(store());
        expect(first.id).to.equal(1n);
        expect(await store().query(sql`select from changes`)).to.eql([]);
        expect(await failureOf(store().changes.findTick(tick))).to.have.property("reason", "HISTORY_CHANGED");
      }
    });
  });

  describe("the state", () => {
    it("is what holds, by key, in pages of any size", async () => {
      const [ann, bob, carl] = three();
      await store().blocks.block(ann, bob);
      await store().mutes.mute(bob, carl);
      await store().follows.follow(carl, ann);
      await store().settings.set(ann, "groups", "none");
      await store().exceptions.update(ann, "groups", { add: [bob, carl], remove: [] });
      const ours = (changes: Change[]) => changes.filter(({ owner }) => names.has(owner));
      const state = ours(await stateOf(store(), 5_000));
      expect(state.map(inShort)).to.have.members([
        "+user ann by hand",
        "+user bob by hand",
        "+user carl by hand",
        "+setting ann groups none by hand",
        "+exception ann groups bob by hand",
        "+exception ann groups carl by hand",
        "+block ann bob by hand",
        "+mute bob carl by hand",
        "+follow carl ann by hand",
      ]);
      for (const { version, changedAt } of state) expect([version, changedAt]).to.eql([0n, null]);
      const [record] = await store().blocks.list(ann, 1);
      const [block] = state.filter(({ kind }) => kind === "block");
      expect(block).to.deep.include({ edge: { createdAt: record?.createdAt, expiresAt: null, scopes: -1 } });
      expect(ours(await stateOf(store(), 1))).to.eql(state);
    });

    it("leaves out what has ended, users who are being erased, and what names them", async () => {
      const [ann, bob, carl] = three();
      await store().mutes.mute(ann, bob);
      await store().mutes.mute(ann, carl);
      await store().blocks.block(bob, ann);
      await store().follows.follow(carl, bob);
      await store().exceptions.update(ann, "groups", { add: [carl], remove: [] });
      await store().settings.set(carl, "groups", "none");
      await store().query(sql`update mutes set expires_at = now() where muted_id = ${bob}`);
      await store().query(sql`update users set erased_at = now() where id = ${carl}`);
      const state = (await stateOf(store(), 2)).filter(({ owner }) => names.has(owner));
      expect(state.map(inShort)).to.have.members([
        "+user ann by hand",
        "+user bob by hand",
        "+block bob ann by hand",
      ]);
    });

    it("refuses a position that is none", async () => {
      for (const position of [
        { table: 99, key: [] },
        { table: 3, key: [unknownId()] },
      ])
        expect(await failureOf(store().changes.readState(position, 10))).to.have.property(
          "reason",
          "INVALID_CURSOR",
        );
    });
  });
}
