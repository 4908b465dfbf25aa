import { expect } from "chai";
import { sql } from "kysely";
import { allScopes, muteScopes } from "../../../src/domain/changes.ts";
import type { StoredRecord } from "../../../src/domain/imports.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { newImport } from "./imports.ts";
import { expectReason, someUser, type TestStore, unknownId } from "./store.ts";

const [created, ends] = [1_600_000_000_123_457n, 4_000_000_000_000_001n];
const kinds = ["user", "follow", "block", "mute", "setting", "exception"] as const;

/** The key of a record, as it is ordered among those of its kind. */
function keyOf(record: StoredRecord): string {
  switch (record.kind) {
    case "user":
      return record.user.id;
    case "setting":
      return `${record.setting.owner} ${record.setting.setting}`;
    case "exception":
      return `${record.exception.owner} ${record.exception.setting} ${record.exception.target}`;
    default:
      return `${record.edge.owner} ${record.edge.target}`;
  }
}

/** The ids of the users whom a record mentions besides being theirs. */
function mentioned(record: StoredRecord): string[] {
  return keyOf(record).match(/[\da-f-]{36}/g) ?? [];
}

/** The records whose users do not all come before them. */
function premature(pages: readonly (readonly StoredRecord[])[]): StoredRecord[] {
  const known = new Set<string>();
  return pages.flat().filter((record) => {
    if (record.kind === "user") known.add(record.user.id);
    return mentioned(record).some((id) => !known.has(id));
  });
}

export function describeExports(store: () => TestStore): void {
  describe("exports", () => {
    let [ann, bob, carl] = [] as unknown as [UserId, UserId, UserId];
    beforeEach(async () => {
      [ann, bob, carl] = (await store().newUsers(3)) as [UserId, UserId, UserId];
    });

    async function pagesOf(user?: UserId): Promise<StoredRecord[][]> {
      const pages: StoredRecord[][] = [];
      for await (const page of store().exports.read(user)) pages.push(page);
      return pages;
    }
    const readAll = async (user?: UserId) => (await pagesOf(user)).flat();
    const edge = (kind: "follow" | "block" | "mute", owner: UserId, target: UserId, facts = {}) =>
      ({ kind, edge: { owner, target, createdAt: created, ...facts } }) satisfies StoredRecord;
    const importAll = (records: StoredRecord[]) => store().imports.store(newImport(), 0, records);
    const setting = (owner: UserId) =>
      ({ kind: "setting", setting: { owner, setting: "groups", audience: "contacts" } }) as const;
    const exception = (owner: UserId, target: UserId) =>
      ({ kind: "exception", exception: { owner, setting: "groups", target, createdAt: created } }) as const;

    it("of one user are what the user made, and nothing that others made", async () => {
      const user = { ...someUser({ userName: 'a "quote", \n a line and 😀' }), id: ann };
      const own: StoredRecord[] = [
        { kind: "user", user },
        edge("follow", ann, carl),
        edge("block", ann, bob, { expiresAt: ends }),
        edge("mute", ann, bob, { scopes: muteScopes.content, expiresAt: ends }),
        setting(ann),
        exception(ann, carl),
      ];
      const others = [
        edge("follow", carl, ann),
        edge("block", bob, ann),
        edge("mute", carl, ann),
        setting(bob),
        exception(carl, ann),
      ];
      await importAll([...own, ...others]);
      expect(await readAll(ann)).to.eql(own);
      expect(await store().exports.count(ann)).to.equal(own.length);
      const everything = await readAll();
      const defaults = { scopes: allScopes };
      expect(everything).to.deep.include.members([
        ...own,
        others[0],
        others[1],
        edge("mute", carl, ann, defaults),
        ...others.slice(3),
      ]);
    });

    it("of all are in the order of their kinds, and of their keys within a kind", async () => {
      await importAll([edge("follow", carl, ann), edge("follow", ann, carl), edge("follow", ann, bob)]);
      const records = await readAll();
      const order = records.map((record) => `${kinds.indexOf(record.kind)} ${keyOf(record)}`);
      expect(order).to.eql(order.toSorted());
      expect(new Set(order).size).to.equal(order.length);
      const total = await store().exports.count(undefined);
      expect(total).to.be.at.least(0);
    });

    it("leave out what has ended, users who are being erased, and what names them", async () => {
      await importAll([edge("block", ann, bob, { expiresAt: ends }), edge("mute", ann, carl)]);
      await importAll([edge("follow", bob, carl), edge("follow", ann, carl), exception(ann, carl)]);
      await store().query(sql`update blocks set expires_at = now() where blocker_id = ${ann}`);
      await store().query(sql`update users set erased_at = now() where id = ${carl}`);
      const names = (records: StoredRecord[]) =>
        records.map((record) => `${record.kind} ${keyOf(record)}`).filter((name) => name.includes(ann));
      expect(names(await readAll(ann))).to.eql([`user ${ann}`]);
      const everything = await readAll();
      expect(names(everything)).to.eql([`user ${ann}`]);
      expect(everything.filter((record) => mentioned(record).includes(carl))).to.eql([]);
      await expectReason(store().exports.count(carl), "USER_NOT_FOUND");
    });

    it("of an unknown user fail", async () => {
      await expectReason(store().exports.count(unknownId()), "USER_NOT_FOUND");
      expect(await readAll(unknownId())).to.eql([]);
    });

    it("have a user who joins meanwhile before the records that mention the user", async () => {
      const pages: StoredRecord[][] = [];
      const users = (await pagesOf()).filter(([first]) => first?.kind === "user");
      const joining = (id: string): StoredRecord => ({ kind: "user", user: someUser({ id: id as UserId }) });
      for await (const page of store().exports.read(undefined)) {
        pages.push(page);
        // The ids are before those of all users that were read.
        if (pages.length === users.length)
          await importAll([
            joining("00000000-0000-4000-8000-000000000001"),
            joining("00000000-0000-4000-8000-000000000002"),
            edge("follow", "00000000-0000-4000-8000-000000000001" as UserId, ann),
            edge("follow", ann, "00000000-0000-4000-8000-000000000002" as UserId),
          ]);
      }
      expect(premature(pages)).to.eql([]);
      const follows = pages
        .flat()
        .filter((record) => mentioned(record).some((id) => id.startsWith("00000000")));
      expect(follows).to.have.length.at.least(4);
      const withoutLate = pages.map((page, n) =>
        n < users.length ? page : page.filter(({ kind }) => kind !== "user"),
      );
      expect(premature(withoutLate)).to.have.length.at.least(2);
    });
  });
}
