import { expect } from "chai";
import { sql } from "kysely";
import { allScopes, muteScopes } from "../../../src/domain/changes.ts";
import type { ImportedEdge, ImportRecord } from "../../../src/domain/imports.ts";
import { maxExceptions, type PrivacySetting } from "../../../src/domain/settings.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { newImport } from "./imports.ts";
import { type TestStore, unknownId } from "./store.ts";

const { content, notifications } = muteScopes;
/** Times in microseconds, far from now. */
const [past, soon, later] = [1_000_000_000_000_000n, 4_000_000_000_000_001n, 4_000_000_000_000_002n];

interface StoredEdge {
  readonly id: string;
  readonly created: string;
  /** Null for never. */
  readonly expires: string | null;
  readonly scopes: number;
}

export function describeImportedChoices(store: () => TestStore): void {
  describe("imports of expiries, scopes, settings and exceptions", () => {
    let [ann, bob, carl] = [] as unknown as [UserId, UserId, UserId];
    beforeEach(async () => {
      [ann, bob, carl] = (await store().newUsers(3)) as [UserId, UserId, UserId];
    });

    const importAll = async (...records: ImportRecord[]) => {
      const { progress, skipped } = await store().imports.store(newImport(), 0, records);
      const { stored, unchanged } = progress;
      return { stored, unchanged, skipped: skipped.map(({ record, reason }) => [record, reason]) };
    };
    const edge = (kind: "block" | "mute", facts: Partial<ImportedEdge> = {}): ImportRecord => ({
      kind,
      edge: { owner: ann, target: bob, createdAt: 5n, ...facts },
    });
    const storedOnce = { stored: 1, unchanged: 0, skipped: [] };
    const unchangedOnce = { stored: 0, unchanged: 1, skipped: [] };

    /** The block or mute of Bob by Ann as it is stored. */
    async function stored(kind: "block" | "mute"): Promise<StoredEdge | undefined> {
      const micros = (column: string) =>
        sql`(extract(epoch from ${sql.ref(column)}) * 1000000)::bigint::text`;
      const rows = await store().query(
        kind === "block"
          ? sql<StoredEdge>`select id, ${micros("created_at")} as created, -1 as scopes,
              case when expires_at < 'infinity' then ${micros("expires_at")} end as expires
              from blocks where blocker_id = ${ann} and blocked_id = ${bob}`
          : sql<StoredEdge>`select id, ${micros("created_at")} as created, scopes,
              case when expires_at < 'infinity' then ${micros("expires_at")} end as expires
              from mutes where muter_id = ${ann} and muted_id = ${bob}`,
      );
      return rows[0];
    }

    /** Lets the block or mute of Bob by Ann end. */
    async function lapse(kind: "block" | "mute"): Promise<void> {
      await store().query(
        kind === "block"
          ? sql`update blocks set expires_at = now() - interval '1 second' where blocker_id = ${ann}`
          : sql`update mutes set expires_at = now() - interval '1 second' where muter_id = ${ann}`,
      );
    }

    for (const kind of ["block", "mute"] as const) {
      it(`store a ${kind} with its expiry to the microsecond`, async () => {
        expect(await importAll(edge(kind, { expiresAt: soon }))).to.eql(storedOnce);
        expect(await stored(kind)).to.include({ created: "5", expires: `${soon}`, scopes: allScopes });
      });

      it(`skip a ${kind} that has ended, by the clock of the database`, async () => {
        const seconds = await store().query(sql<{ micros: string }>`
          select (extract(epoch from statement_timestamp()) * 1000000)::bigint::text as micros`);
        const now = BigInt(seconds[0]?.micros ?? 0);
        for (const expiresAt of [now, past, -1n])
          expect(await importAll(edge(kind, { expiresAt }))).to.eql({
            ...{ stored: 0, unchanged: 0 },
            skipped: [[0, "EXPIRED"]],
          });
        expect(await stored(kind)).to.equal(undefined);
        const stranger = edge(kind, { target: unknownId(), expiresAt: past });
        expect((await importAll(stranger)).skipped).to.eql([[0, "UNKNOWN_USER"]]);
      });

      it(`prolong a ${kind} that stands, and never shorten it`, async () => {
        await importAll(edge(kind, { expiresAt: soon }));
        const { id } = (await stored(kind)) as StoredEdge;
        expect(await importAll(edge(kind, { expiresAt: soon - 1n, createdAt: 1n }))).to.eql(unchangedOnce);
        expect(await importAll(edge(kind, { expiresAt: later, createdAt: 1n }))).to.eql(storedOnce);
        expect(await stored(kind)).to.include({ id, created: "5", expires: `${later}` });
        expect(await importAll(edge(kind))).to.eql(storedOnce);
        expect(await stored(kind)).to.include({ id, created: "5", expires: null });
        expect(await importAll(edge(kind, { expiresAt: later }))).to.eql(unchangedOnce);
        expect(await importAll(edge(kind, { expiresAt: past }))).to.have.property("stored", 0);
        expect(await stored(kind)).to.include({ id, expires: null });
      });

      it(`store a ${kind} anew where one has ended`, async () => {
        await importAll(edge(kind, { scopes: kind === "mute" ? notifications : allScopes }));
        const { id } = (await stored(kind)) as StoredEdge;
        await lapse(kind);
        expect(await importAll(edge(kind, { createdAt: 7n, expiresAt: soon }))).to.eql(storedOnce);
        const anew = (await stored(kind)) as StoredEdge;
        expect(anew).to.include({ created: "7", expires: `${soon}`, scopes: allScopes });
        expect(anew.id).not.to.equal(id);
      });

      it(`store the last expiry of a ${kind} that a batch has several times`, async () => {
        const twice = [soon, later, past].map((expiresAt) => edge(kind, { expiresAt }));
        expect(await importAll(...twice)).to.eql({ stored: 1, unchanged: 1, skipped: [[2, "EXPIRED"]] });
        expect(await stored(kind)).to.include({ expires: `${later}` });
      });
    }

    it("keep the follows across a block that has ended, and import such follows", async () => {
      await store().follows.follow(ann, bob);
      await importAll(edge("block", { expiresAt: past }));
      expect((await store().follows.relationship(ann, bob)).following).to.equal(true);
      await importAll(edge("block", { owner: ann, target: carl }));
      await lapse("block");
      const follow: ImportRecord = { kind: "follow", edge: { owner: carl, target: ann, createdAt: null } };
      expect(await importAll(follow)).to.eql(storedOnce);
    });

    it("widen the scopes of a mute that stands, and never narrow them", async () => {
      const mute = (scopes: number) => edge("mute", { scopes });
      const scopes = async () => (await stored("mute"))?.scopes;
      expect(await importAll(mute(content))).to.eql(storedOnce);
      expect(await importAll(mute(content))).to.eql(unchangedOnce);
      expect(await importAll(mute(notifications))).to.eql(storedOnce);
      expect(await scopes()).to.equal(content | notifications);
      expect(await importAll(mute(content))).to.eql(unchangedOnce);
      expect(await importAll(edge("mute"))).to.eql(storedOnce);
      expect(await importAll(mute(notifications))).to.eql(unchangedOnce);
      expect(await scopes()).to.equal(allScopes);
      await lapse("mute");
      expect(await importAll(mute(content), mute(notifications))).to.eql({ ...storedOnce, unchanged: 1 });
      expect(await scopes()).to.equal(content | notifications);
    });

    it("widen a mute without shortening it", async () => {
      await importAll(edge("mute", { scopes: content, expiresAt: later }));
      expect(await importAll(edge("mute", { scopes: notifications, expiresAt: soon }))).to.eql(storedOnce);
      expect(await stored("mute")).to.include({ scopes: content | notifications, expires: `${later}` });
    });

    it("replace the audiences of settings, the last of two winning", async () => {
      const setting = (owner: UserId, audience: "none" | "contacts" | "all"): ImportRecord => ({
        kind: "setting",
        setting: { owner, setting: "groups", audience },
      });
      await store().settings.set(ann, "groups", "contacts");
      await store().settings.set(ann, "status", "none");
      const outcome = await importAll(setting(ann, "all"), setting(unknownId(), "all"), setting(ann, "none"));
      expect(outcome).to.eql({ stored: 1, unchanged: 1, skipped: [[1, "UNKNOWN_USER"]] });
      expect(await store().settings.get(ann)).to.include({ groups: "none", status: "none" });
      expect(await importAll(setting(ann, "none"))).to.eql(unchangedOnce);
    });

    const exception = (
      target: UserId,
      { owner = ann, setting = "groups" as PrivacySetting, createdAt = null as bigint | null } = {},
    ): ImportRecord => ({ kind: "exception", exception: { owner, setting, target, createdAt } });

    it("store exceptions with their times, and keep those that are there", async () => {
      const outcome = await importAll(
        exception(bob, { createdAt: 9n }),
        exception(bob, { createdAt: 4n }),
        exception(unknownId()),
        exception(bob, { owner: unknownId() }),
        exception(carl, { createdAt: 3n }),
        exception(carl, { setting: "status" }),
      );
      expect(outcome).to.eql({
        ...{ stored: 3, unchanged: 1 },
        skipped: [
          [2, "UNKNOWN_USER"],
          [3, "UNKNOWN_USER"],
        ],
      });
      expect(await importAll(exception(bob, { createdAt: 1n }))).to.eql(unchangedOnce);
      const list = await store().exceptions.list(ann, "groups", 10);
      expect(list.map(({ id, createdAt }) => [id, createdAt])).to.eql([
        [bob, 4n],
        [carl, 3n],
      ]);
      expect(await store().exceptions.list(ann, "status", 10)).to.have.length(1);
    });

    it("skip the exceptions beyond 1,000 of a setting, the last ones first", async () => {
      const others = await store().newUsers(maxExceptions);
      await store().exceptions.update(ann, "groups", { add: others.slice(2), remove: [] });
      const outcome = await importAll(
        exception(others[5] as UserId),
        exception(others[0] as UserId),
        exception(bob),
        exception(carl),
        exception(bob),
        exception(carl, { setting: "status" }),
        exception(carl),
      );
      expect(outcome).to.eql({
        ...{ stored: 3, unchanged: 2 },
        skipped: [
          [3, "TOO_MANY_EXCEPTIONS"],
          [6, "TOO_MANY_EXCEPTIONS"],
        ],
      });
      expect(await store().exceptions.list(ann, "groups", 2_000)).to.have.length(maxExceptions);
    });

    it("never exceed 1,000 exceptions beside users who add some", async () => {
      const others = await store().newUsers(maxExceptions + 20);
      await store().exceptions.update(ann, "groups", {
        add: others.slice(0, maxExceptions - 10),
        remove: [],
      });
      const late = others.slice(maxExceptions - 10);
      const attempts = late.flatMap((other, i): Promise<unknown>[] =>
        i % 2 === 0
          ? [store().exceptions.update(ann, "groups", { add: [other], remove: [] })]
          : [store().imports.store(newImport(), 0, [exception(other), exception(late[i - 1] as UserId)])],
      );
      const outcomes = await Promise.allSettled(attempts);
      expect(outcomes.filter(({ status }) => status === "fulfilled")).to.have.length.above(9);
      expect(await store().exceptions.list(ann, "groups", 2_000)).to.have.length(maxExceptions);
    });

    it("are logged as an import's", async () => {
      await importAll(
        edge("block", { expiresAt: soon }),
        edge("mute", { scopes: content }),
        { kind: "setting", setting: { owner: ann, setting: "groups", audience: "none" } },
        exception(bob),
      );
      await importAll(edge("block", { expiresAt: later }));
      const rows = await store().query(sql<{ kind: string; cause: string }>`
        select kind, cause from changes where owner = ${ann} and kind <> 'user' order by seq`);
      expect(rows.map(({ kind, cause }) => `${kind} ${cause}`)).to.eql(
        ["block", "mute", "setting", "exception", "block"].map((kind) => `${kind} import`),
      );
    });
  });
}
