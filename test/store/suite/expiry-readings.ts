import { sql } from "kysely";
import { allScopes, muteScopes } from "../../../src/domain/changes.ts";
import type { ImportedEdge, ImportRecord } from "../../../src/domain/imports.ts";
import type { UserId } from "../../../src/domain/users.ts";
import type { Twin } from "./edges.ts";
import { edgeRecord, newImport } from "./imports.ts";
import { type TestStore, unknownId } from "./store.ts";

const { content, notifications } = muteScopes;
const importedAt = 5n;
const hour = 3_600_000_000n;
const lowestId = "00000000-0000-0000-0000-000000000000";

/** A block or mute of one user by another that ends at a time. */
export interface EndingEdge {
  readonly twin: Twin;
  readonly owner: UserId;
  readonly target: UserId;
  /** In microseconds since 1970. */
  readonly end: bigint;
}

/** One way in which the store shows whether a block or mute holds. */
export interface Reading {
  readonly name: string;
  readonly tables: readonly Twin["table"][];
  /** What a mute is to cover; everything by default. */
  readonly scopes?: number;
  /** Whether the edge holds, as this way shows it. May change the edge. */
  holds(store: TestStore, edge: EndingEdge): Promise<boolean>;
}

const both: readonly Twin["table"][] = ["blocks", "mutes"];

const kindOf = ({ table }: Twin) => (table === "blocks" ? "block" : "mute");

/** Whether a change fails for a reason, instead of taking effect. */
async function failsWith(reason: string, change: Promise<unknown>): Promise<boolean> {
  try {
    await change;
    return false;
  } catch (failure) {
    if ((failure as { reason?: string }).reason === reason) return true;
    throw failure;
  }
}

const importing = (store: TestStore, record: ImportRecord) => store.imports.store(newImport(), 0, [record]);

/** The stored row of an edge, whether it has ended or not; empty when there is none. */
async function storedRow(
  store: TestStore,
  { twin, owner }: EndingEdge,
): Promise<{ readonly id?: string; readonly scopes?: number }> {
  const scopes = twin.table === "mutes" ? sql`, scopes` : sql``;
  const [row] = await store.query(sql<{ id: string; scopes?: number }>`
    select id${scopes} from ${sql.table(twin.table)} where ${sql.ref(twin.owner)} = ${owner}`);
  return row ?? {};
}

/** The cause of the last change in the log that removed an edge of a user. */
async function causeOfRemoval(store: TestStore, { twin, owner }: EndingEdge): Promise<string | undefined> {
  const [row] = await store.query(sql<{ cause: string }>`
    select cause from changes where owner = ${owner} and kind = ${kindOf(twin)} and not present
    order by seq desc limit 1`);
  return row?.cause;
}

/** A fact of a decision, by the statement for one pair and by the one for several. */
function decisions(
  name: string,
  tables: Reading["tables"],
  { scope = 0, scopes = allScopes, byOther = false }: { scope?: number; scopes?: number; byOther?: boolean },
): Reading[] {
  const queryOf = ({ owner, target }: EndingEdge) => ({
    viewer: byOther ? target : owner,
    owner: byOther ? owner : target,
    muteScope: scope,
    setting: null,
  });
  const isFound = (facts: Awaited<ReturnType<TestStore["relationshipFacts"]["read"]>>) => {
    const { blocking, blockedBy, muting } = facts.at(-1) ?? {};
    return blocking === true || blockedBy === true || muting === true;
  };
  return [
    {
      name: `${name}, alone`,
      tables,
      scopes,
      holds: async (store, edge) => isFound(await store.relationshipFacts.read([queryOf(edge)])),
    },
    {
      name: `${name}, with others`,
      tables,
      scopes,
      async holds(store, edge) {
        const query = queryOf(edge);
        return isFound(await store.relationshipFacts.read([query, query]));
      },
    },
  ];
}

/** Every way in which the store shows whether a block or mute holds. */
export const readings: readonly Reading[] = [
  {
    name: "the first page of the list",
    tables: both,
    holds: async (_, { twin, owner }) => (await twin.list(owner, 10)).length > 0,
  },
  {
    name: "a later page of the list",
    tables: both,
    async holds(_, { twin, owner }) {
      const after = { createdAt: 10n ** 17n, id: unknownId() };
      return (await twin.list(owner, 10, after)).length > 0;
    },
  },
  {
    name: "the relationship",
    tables: both,
    async holds(store, { owner, target }) {
      const { blocking, muting } = await store.follows.relationship(owner, target);
      return (blocking ?? muting) !== null;
    },
  },
  {
    name: "the relationship of the other",
    tables: both,
    async holds(store, { owner, target }) {
      const { blockedBy, mutedBy } = await store.follows.relationship(target, owner);
      return (blockedBy ?? mutedBy) !== null;
    },
  },
  {
    name: "the user's own side of the relationship",
    tables: both,
    async holds(store, { owner, target, end }) {
      const [own] = await store.relationships.read(owner, [target]);
      const edge = own?.blocking ?? own?.muting ?? null;
      if (edge !== null && edge.expiresAt !== end) throw new Error(`until ${edge.expiresAt}`);
      return edge !== null;
    },
  },
  {
    name: "a preview for who is blocked",
    tables: ["blocks"],
    holds: async (store, { owner, target }) => (await store.previews.read(owner, target)).blocking,
  },
  {
    name: "an explanation to the owner",
    tables: both,
    async holds(store, { owner, target, end }) {
      const { blocking, muting } = await store.explainedFacts.read(owner, target);
      const edge = blocking ?? muting;
      if (edge !== null && edge.expiresAt !== end) throw new Error(`until ${edge.expiresAt}`);
      return edge !== null;
    },
  },
  {
    name: "an explanation to who is blocked",
    tables: ["blocks"],
    holds: async (store, { owner, target }) =>
      (await store.explainedFacts.read(target, owner)).blockedBy !== null,
  },
  ...decisions("a decision about who is blocked", ["blocks"], {}),
  ...decisions("a decision about who blocks", ["blocks"], { byOther: true }),
  ...decisions("a decision about content", ["mutes"], { scope: content, scopes: content }),
  ...decisions("a decision about notifications", ["mutes"], { scope: notifications, scopes: notifications }),
  ...decisions("a decision about what is muted as a whole", ["mutes"], { scope: notifications }),
  ...[content, notifications].map(
    (scope): Reading => ({
      name: `the users hidden by scope ${scope}`,
      tables: both,
      scopes: scope,
      async holds(store, { owner, target, end }) {
        const { users, endsAt } = await store.hiddenUsers.read({
          viewer: owner,
          scope,
          limit: 10,
          from: undefined,
        });
        if (users.includes(target) && endsAt !== end) throw new Error(`hidden until ${endsAt}`);
        return users.includes(target);
      },
    }),
  ),
  {
    name: "the users hidden from who is blocked",
    tables: ["blocks"],
    async holds(store, { owner, target }) {
      const { users } = await store.hiddenUsers.read({
        viewer: target,
        scope: content,
        limit: 10,
        from: lowestId,
      });
      return users.includes(owner);
    },
  },
  {
    name: "a second record",
    tables: both,
    holds: (_, { twin, owner, target }) => failsWith(twin.already, twin.add(owner, target)),
  },
  {
    name: "a change",
    tables: both,
    async holds(_, { twin, owner, target, end }) {
      const isAbsent = await failsWith(twin.absent, twin.update(owner, target, { expiresAt: end + hour }));
      const [record] = await twin.list(owner, 10);
      if (record?.expiresAt !== (isAbsent ? undefined : end + hour))
        throw new Error(`until ${record?.expiresAt}`);
      return !isAbsent;
    },
  },
  ...[false, true].map(
    (isByTarget): Reading => ({
      name: `a follow of ${isByTarget ? "who blocks" : "who is blocked"}`,
      tables: ["blocks"],
      holds: (store, { owner, target }) =>
        failsWith(
          "FOLLOW_ACROSS_BLOCK",
          isByTarget ? store.follows.follow(target, owner) : store.follows.follow(owner, target),
        ),
    }),
  ),
  ...[false, true].map(
    (isByTarget): Reading => ({
      name: `an imported follow of ${isByTarget ? "who blocks" : "who is blocked"}`,
      tables: ["blocks"],
      async holds(store, { owner, target }) {
        const record = isByTarget ? edgeRecord("follow", target, owner) : edgeRecord("follow", owner, target);
        const { stored, skipped } = (await importing(store, record)).progress;
        if (stored + skipped.FOLLOW_ACROSS_BLOCK !== 1) throw new Error("neither stored nor skipped");
        return stored === 0;
      },
    }),
  ),
  {
    name: "an import over it",
    tables: both,
    async holds(store, edge) {
      const { twin, owner, target } = edge;
      const { id } = await storedRow(store, edge);
      await importing(store, edgeRecord(kindOf(twin), owner, target, importedAt));
      const [record] = await twin.list(owner, 10);
      const isSame = record?.id === id;
      if (isSame === (record?.createdAt === importedAt)) throw new Error("a record of two times");
      return isSame;
    },
  },
  {
    name: "the scopes of an import over it",
    tables: ["mutes"],
    scopes: content,
    async holds(store, edge) {
      const { edge: given } = edgeRecord("mute", edge.owner, edge.target) as { edge: ImportedEdge };
      await importing(store, { kind: "mute", edge: { ...given, scopes: notifications } });
      const { scopes } = await storedRow(store, edge);
      if (scopes !== notifications && scopes !== (content | notifications))
        throw new Error(`scopes ${scopes}`);
      return scopes !== notifications;
    },
  },
  {
    name: "an import of it elsewhere",
    tables: both,
    async holds(store, { twin, target, end }) {
      const owner = await store.newUser();
      const { edge } = edgeRecord(kindOf(twin), owner, target) as { edge: object };
      const record = { kind: kindOf(twin), edge: { ...edge, expiresAt: end } } as ImportRecord;
      const { progress } = await importing(store, record);
      if (progress.stored + progress.skipped.EXPIRED !== 1) throw new Error("neither stored nor skipped");
      return progress.stored === 1;
    },
  },
  ...[true, false].map(
    (isOfAll): Reading => ({
      name: `an export ${isOfAll ? "of everybody" : "of the user"}`,
      tables: both,
      async holds(store, { twin, owner }) {
        let isFound = false;
        for await (const page of store.exports.read(isOfAll ? undefined : owner))
          for (const record of page) isFound ||= record.kind === kindOf(twin) && record.edge.owner === owner;
        return isFound;
      },
    }),
  ),
  ...[true, false].map(
    (isFirst): Reading => ({
      name: `${isFirst ? "the first page" : "a later page"} of a snapshot for followers`,
      tables: both,
      async holds(store, { twin, owner }) {
        const table = twin.table === "blocks" ? 3 : 4;
        const key = isFirst ? [] : [owner, lowestId];
        const { changes } = await store.changes.readState({ table, key }, 10_000);
        return changes.some((change) => change.kind === kindOf(twin) && change.owner === owner);
      },
    }),
  ),
  {
    name: "the sweep",
    tables: both,
    async holds(store, edge) {
      while ((await store.expiry.sweepExpired()) > 0);
      return (await storedRow(store, edge)).id !== undefined;
    },
  },
  {
    name: "the cause of a removal",
    tables: both,
    async holds(store, edge) {
      await edge.twin.remove(edge.owner, edge.target);
      return (await causeOfRemoval(store, edge)) === "user";
    },
  },
];
