import { expect } from "chai";
import fc from "fast-check";
import { sql } from "kysely";
import { decideAccess, decisionTable, type Interaction } from "../../../src/domain/access.ts";
import { allScopes, muteScopes } from "../../../src/domain/changes.ts";
import type { DatedTerms } from "../../../src/domain/edges.ts";
import { explainAccess } from "../../../src/domain/explanation.ts";
import { audiences, mapSettings, privacySettings } from "../../../src/domain/settings.ts";
import type { UserId } from "../../../src/domain/users.ts";
import type { FactsOfState } from "../../../src/store/access.ts";
import { microsOf } from "../../../src/store/change-rows.ts";
import { runs } from "../../property/runs.ts";
import { type TestStore, unknownId } from "./store.ts";

const { content, notifications } = muteScopes;
/** A scope of a later version. */
const later = 4;
const interactions = Object.keys(decisionTable) as Interaction[];
const noEdges = { blocking: null, blockedBy: null, muting: null, contact: null };
const noChoices = mapSettings(() => ({ audience: "all", excepted: false }));

export function describeExplanations(store: () => TestStore): void {
  /** Stores an edge; `minutes` from now it ends, never for null. Returns it as an explanation shows it. */
  async function put(
    table: "blocks" | "mutes" | "follows",
    by: UserId,
    to: UserId,
    { minutes = null, scopes = allScopes }: { minutes?: number | null; scopes?: number } = {},
  ): Promise<DatedTerms> {
    const ends = minutes === null ? sql`'infinity'` : sql`now() + ${minutes}::int * interval '1 minute'`;
    const values = {
      blocks: sql`(${by}, ${to}, gen_random_uuid(), clock_timestamp(), ${ends})`,
      mutes: sql`(${by}, ${to}, gen_random_uuid(), clock_timestamp(), ${ends}, ${scopes}::int)`,
      follows: sql`(${by}, ${to}, clock_timestamp())`,
    };
    const returned = table === "follows" ? sql`null` : microsOf(sql`expires_at`);
    const [row] = await store().query(
      sql<{ created: string; ends: string | null }>`insert into ${sql.table(table)} values ${values[table]}
        returning ${microsOf(sql`created_at`)} as created, ${returned} as ends`,
    );
    if (row === undefined) throw new Error("nothing was stored");
    return {
      createdAt: BigInt(row.created),
      expiresAt: row.ends === null ? null : BigInt(row.ends),
      scopes: table === "mutes" ? scopes : allScopes,
    };
  }

  const read = async (viewer: UserId | null, owner: UserId) => {
    const { readAt, state, ...facts } = await store().explainedFacts.read(viewer, owner);
    return facts;
  };

  describe("the facts that an explanation shows", () => {
    let [viewer, owner]: UserId[] = [];
    beforeEach(async () => {
      [viewer, owner] = await store().newUsers(2);
    });
    const pair = () => [viewer, owner] as [UserId, UserId];
    const strangers = { viewerKnown: true, ownerKnown: true, ...noEdges, settings: noChoices };

    it("are few at first, and of the time of the database", async () => {
      const now = sql<{ now: string }>`select ${microsOf(sql`clock_timestamp()`)} as now`;
      const [before] = await store().query(now);
      const { state, readAt, ...facts } = await store().explainedFacts.read(...pair());
      const [after] = await store().query(now);
      expect(facts).to.eql(strangers);
      expect(state.kind).to.equal("state");
      expect(readAt >= BigInt(before?.now ?? "") && readAt <= BigInt(after?.now ?? "")).to.equal(true);
    });

    it("are the edges between the two, with their times and scopes, in the direction that matters", async () => {
      const [viewer, owner] = pair();
      const block = await put("blocks", viewer, owner, { minutes: 90 });
      const mute = await put("mutes", viewer, owner, { scopes: content });
      const follow = await put("follows", viewer, owner);
      expect(await read(viewer, owner)).to.eql({ ...strangers, blocking: block, muting: mute });
      expect(await read(owner, viewer)).to.eql({ ...strangers, blockedBy: block, contact: follow });
      const back = await put("blocks", owner, viewer);
      expect(await read(viewer, owner)).to.eql({
        ...strangers,
        blocking: block,
        blockedBy: back,
        muting: mute,
      });
      const [bystander] = (await store().newUsers(1)) as [UserId];
      expect(await read(bystander, owner)).to.eql(strangers);
      expect(await read(viewer, bystander)).to.eql(strangers);
    });

    it("are no block and no mute that has ended", async () => {
      const [viewer, owner] = pair();
      await put("blocks", viewer, owner, { minutes: 0 });
      await put("blocks", owner, viewer, { minutes: -1 });
      await put("mutes", viewer, owner, { minutes: 0 });
      expect(await read(viewer, owner)).to.eql(strangers);
    });

    it("are all settings of the owner, and the exceptions whatever the audience is", async () => {
      const [viewer, owner] = pair();
      await store().settings.set(owner, "groups", "contact_blacklist");
      await store().settings.set(owner, "status", "none");
      await store().settings.set(viewer, "last_seen", "none");
      await store().exceptions.update(owner, "status", { add: [viewer], remove: [] });
      await store().exceptions.update(viewer, "groups", { add: [owner], remove: [] });
      const settings = {
        ...noChoices,
        groups: { audience: "contact_blacklist", excepted: false },
        status: { audience: "none", excepted: true },
      };
      expect(await read(viewer, owner)).to.eql({ ...strangers, settings });
      expect(await read(null, owner)).to.eql({
        ...strangers,
        viewerKnown: false,
        settings: { ...settings, status: { audience: "none", excepted: false } },
      });
    });

    it("of oneself are one's own settings", async () => {
      const [, owner] = pair();
      expect(await read(owner, owner)).to.eql(strangers);
    });

    it("say who is unknown, and nothing of a user who is being erased", async () => {
      const [viewer, owner] = pair();
      const [stranger, other] = [unknownId(), unknownId()];
      const nobody = { viewerKnown: false, ownerKnown: false, ...noEdges, settings: null };
      expect(await read(stranger, other)).to.eql(nobody);
      expect(await read(null, other)).to.eql(nobody);
      await put("blocks", owner, viewer);
      await put("mutes", owner, viewer);
      await put("follows", viewer, owner);
      await store().settings.set(viewer, "groups", "none");
      await store().settings.set(owner, "groups", "contacts");
      await store().exceptions.update(viewer, "groups", { add: [owner], remove: [] });
      await store().exceptions.update(owner, "groups", { add: [viewer], remove: [] });
      await store().query(sql`update users set erased_at = now() where id = ${owner}`);
      const ofViewer = { ...noChoices, groups: { audience: "none", excepted: false } };
      expect(await read(owner, viewer)).to.eql({ ...nobody, ownerKnown: true, settings: ofViewer });
      expect(await read(viewer, owner)).to.eql({ ...nobody, viewerKnown: true });
      await store().users.delete(owner);
    });

    it("lead to the decisions of the checks, for every interaction", async function () {
      const parameters = runs(40);
      this.timeout(parameters.interruptAfterTimeLimit);
      const minutes = fc.constantFrom(null, -1, 60);
      const scopes = fc.constantFrom(allScopes, content, notifications, content | notifications, later, 0);
      const edges = fc.uniqueArray(
        fc.record({
          table: fc.constantFrom("blocks" as const, "mutes" as const, "follows" as const),
          isBack: fc.boolean(),
          minutes,
          scopes,
        }),
        { selector: ({ table, isBack }) => `${table} ${isBack}`, maxLength: 6 },
      );
      const choices = fc.uniqueArray(
        fc.record({
          setting: fc.constantFrom(...privacySettings),
          audience: fc.constantFrom(...audiences, "contact_blacklist" as const),
          isExcepted: fc.boolean(),
        }),
        { selector: ({ setting }) => setting },
      );
      const erased = fc.constantFrom("neither", "neither", "neither", "viewer", "owner");
      await fc.assert(
        fc.asyncProperty(edges, choices, erased, async (edges, choices, erased) => {
          const [viewer, owner] = (await store().newUsers(2)) as [UserId, UserId];
          for (const { table, isBack, ...terms } of edges)
            await put(table, ...((isBack ? [owner, viewer] : [viewer, owner]) as [UserId, UserId]), terms);
          for (const { setting, audience, isExcepted } of choices) {
            await store().settings.set(owner, setting, audience);
            if (isExcepted) await store().exceptions.update(owner, setting, { add: [viewer], remove: [] });
          }
          const gone = { neither: null, viewer, owner }[erased];
          if (gone !== null) await store().query(sql`update users set erased_at = now() where id = ${gone}`);
          for (const [from, to] of [
            [viewer, owner],
            [owner, viewer],
            [owner, owner],
            [null, owner],
          ] as [UserId | null, UserId][]) {
            const queries = interactions.map((interaction) => {
              const { muteScope, audience } = decisionTable[interaction];
              return { viewer: from, owner: to, interaction, muteScope, setting: audience };
            });
            const facts = await store().relationshipFacts.read(queries);
            const decided = queries.map(({ interaction, setting, ...query }, i) => ({
              interaction,
              setting,
              ...decideAccess({ ...query, interaction }, facts[i] as FactsOfState),
            }));
            const explained = explainAccess(from, to, await store().explainedFacts.read(from, to));
            expect(explained).to.eql(decided);
          }
          if (gone !== null) await store().users.delete(gone);
        }),
        parameters,
      );
    });
  });
}
