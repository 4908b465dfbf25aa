import { expect } from "chai";
import { sql } from "kysely";
import type { ConsistencyToken } from "../../../src/domain/consistency.ts";
import { includes } from "../../../src/domain/consistency.ts";
import type { ImportRecord } from "../../../src/domain/imports.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { edgeRecord, newImport } from "./imports.ts";
import { someUser, type TestStore, unknownId } from "./store.ts";

export function describeConsistency(store: () => TestStore): void {
  describe("the consistency token of", () => {
    let [ann, bob]: UserId[] = [];
    beforeEach(async () => {
      [ann, bob] = await store().newUsers(2);
    });
    const pair = () => [ann, bob] as [UserId, UserId];
    const block = async () => (await store().blocks.block(...pair())).token;
    const unblock = () => store().blocks.unblock(...pair());
    const mute = async () => (await store().mutes.mute(...pair())).token;
    const unmute = () => store().mutes.unmute(...pair());
    const follow = () => store().follows.follow(...pair());
    const unfollow = () => store().follows.unfollow(...pair());
    const hide = () => store().settings.set(pair()[0], "groups", "none");
    const except = (add: UserId[], remove: UserId[] = []) =>
      store().exceptions.update(pair()[0], "groups", { add, remove });
    const importRecord = async (record: ImportRecord) =>
      (await store().imports.store(newImport(), 0, [record])).token;
    const importEdge = (kind: "block" | "mute" | "follow") => importRecord(edgeRecord(kind, ...pair()));
    const importUser = (id: UserId) => importRecord({ kind: "user", user: { id, userName: "imported" } });

    /** Calls that the change log has rows of, each with what comes before it. */
    const writes: Record<string, () => Promise<ConsistencyToken>> = {
      "a block": block,
      "an unblock": () => block().then(unblock),
      "a mute": mute,
      "an unmute": () => mute().then(unmute),
      "a follow": follow,
      "an unfollow": () => follow().then(unfollow),
      "a setting": hide,
      "another audience of a setting": () =>
        hide().then(() => store().settings.set(pair()[0], "groups", "all")),
      "an exception": () => except([pair()[1]]),
      "a removed exception": () => except([pair()[1]]).then(() => except([], [pair()[1]])),
      "a new user": () => store().users.upsert([someUser()]),
      "an erasure": () => store().users.delete(pair()[1]),
      "an imported block": () => importEdge("block"),
      "an imported mute": () => importEdge("mute"),
      "an imported follow": () => importEdge("follow"),
      "an imported user": () => importUser(unknownId()),
    };
    for (const [name, run] of Object.entries(writes)) {
      it(`${name} names its rows of the change log, and is satisfied at once`, async () => {
        const token = await run();
        expect(token.kind).to.equal("write");
        expect(await store().consistency.isSatisfied(token)).to.equal(true);
        if (token.kind !== "write") return;
        expect(await isLogged(token)).to.equal(true);
      });
    }

    /** Calls that the change log has no row of. */
    const others: Record<string, () => Promise<ConsistencyToken>> = {
      "an unblock of nobody": unblock,
      "an unmute of nobody": unmute,
      "an unfollow of nobody": unfollow,
      "an unfollow of an unknown user": () => store().follows.unfollow(pair()[0], unknownId()),
      "a repeated follow": () => follow().then(follow),
      "a repeated setting": () => hide().then(hide),
      "a repeated exception": () => except([pair()[1]]).then(() => except([pair()[1]])),
      "no exception": () => except([]),
      "a new name of a user": () => store().users.upsert([someUser({ id: pair()[0], userName: "other" })]),
      "no users": () => store().users.upsert([]),
      "the erasure of an unknown user": () => store().users.delete(unknownId()),
      "an import of nothing new": () => importEdge("mute").then(() => importEdge("mute")),
      "an import of a name": () => importUser(pair()[0]),
    };
    for (const [name, run] of Object.entries(others)) {
      it(`${name} names a state, and is satisfied at once`, async () => {
        const before = await mute();
        await unmute();
        const token = await run();
        expect(token.kind).to.equal("state");
        expect(token.kind === "state" && includes(token, before)).to.equal(true);
        expect(await store().consistency.isSatisfied(token)).to.equal(true);
      });
    }

    it("the facts of a pair is the state that they are of", async () => {
      const before = await block();
      const [viewer, owner] = pair();
      const ask = { viewer, owner, muteScope: 1, setting: null };
      for (const queries of [[ask], [ask, ask]]) {
        const rows = await store().relationshipFacts.read(queries);
        const [first] = rows;
        expect(first?.blocking).to.equal(true);
        if (first === undefined) return;
        expect(rows.every(({ state }) => state === first.state)).to.equal(true);
        expect(includes(first.state, before)).to.equal(true);
        expect(await store().consistency.isSatisfied(first.state)).to.equal(true);
        const after = (await store().mutes.mute(...pair())).token;
        expect(includes(first.state, after)).to.equal(false);
        await unmute();
      }
    });

    it("a write is not satisfied by another write of the same transaction id", async () => {
      const token = await block();
      if (token.kind !== "write") throw new Error("a block names no write");
      // As after a failover that lost it: another server, where another transaction began at another time.
      const lost = { ...token, server: token.server - 1n, at: token.at - 1n };
      expect(await store().consistency.isSatisfied(lost)).to.equal(false);
      expect(await store().consistency.isSatisfied({ ...lost, at: token.at })).to.equal(true);
    });

    it("a write is satisfied by the same server when its rows were scrubbed", async () => {
      const token = await block();
      if (token.kind !== "write") throw new Error("a block names no write");
      await store().query(sql`delete from changes where xid = ${String(token.xid)}::xid8`);
      expect(await isLogged(token)).to.equal(false);
      expect(await store().consistency.isSatisfied(token)).to.equal(true);
      const restarted = { ...token, server: token.server - 1n };
      expect(await store().consistency.isSatisfied(restarted)).to.equal(false);
    });

    it("a state is not satisfied by another server, nor by what has not happened", async () => {
      const token = await unblock();
      if (token.kind !== "state") throw new Error("an unblock of nobody names no state");
      const later = { ...token, snapshot: { ...token.snapshot, next: token.snapshot.next + 1_000n } };
      expect(await store().consistency.isSatisfied(later)).to.equal(false);
      expect(await store().consistency.isSatisfied({ ...token, server: token.server - 1n })).to.equal(false);
    });

    async function isLogged({ xid }: { readonly xid: bigint }): Promise<boolean> {
      const rows = await store().query(sql`select from changes where xid = ${String(xid)}::xid8`);
      return rows.length > 0;
    }
  });
}
