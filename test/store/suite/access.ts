import { expect } from "chai";
import { sql } from "kysely";
import type { RelationshipFacts } from "../../../src/domain/access.ts";
import { muteScopes } from "../../../src/domain/changes.ts";
import { audiences, privacySettings } from "../../../src/domain/settings.ts";
import type { UserId } from "../../../src/domain/users.ts";
import type { FactsQuery } from "../../../src/store/access.ts";
import { type TestStore, unknownId } from "./store.ts";

const nothing: RelationshipFacts = {
  known: true,
  blocking: false,
  blockedBy: false,
  muting: false,
  audience: "all",
  contact: false,
  excepted: false,
};
const unknown = { ...nothing, known: false };

export function describeAccess(store: () => TestStore): void {
  describe("the facts of a pair", () => {
    let [viewer, owner]: UserId[] = [];
    beforeEach(async () => {
      [viewer, owner] = await store().newUsers(2);
    });
    const pair = () => ({ viewer: viewer as UserId, owner: owner as UserId });

    const ask = (question: Partial<FactsQuery> = {}): FactsQuery => ({
      ...pair(),
      muteScope: 1,
      setting: "groups",
      ...question,
    });
    const reversed = () => ask({ viewer: pair().owner, owner: pair().viewer });
    const readTogether = async (...questions: FactsQuery[]): Promise<RelationshipFacts[]> => {
      const found = await store().relationshipFacts.read(questions);
      return found.map(({ state, ...facts }) => facts);
    };
    /** Asks together, twice, and each alone. */
    const read = async (...questions: FactsQuery[]) => {
      const together = await readTogether(...questions);
      const twice = await readTogether(...questions, ...questions);
      expect(twice).to.eql([...together, ...together]);
      for (const [i, question] of questions.entries())
        expect(await readTogether(question)).to.eql([together[i]]);
      return together;
    };

    it("are empty at first", async () => {
      expect(await read(ask(), reversed())).to.eql([nothing, nothing]);
    });

    const changes: [string, (viewer: UserId, owner: UserId) => Promise<unknown>, object, object][] = [
      [
        "a block by the viewer",
        (viewer, owner) => store().blocks.block(viewer, owner),
        { blocking: true },
        { blockedBy: true },
      ],
      [
        "a block by the owner",
        (viewer, owner) => store().blocks.block(owner, viewer),
        { blockedBy: true },
        { blocking: true },
      ],
      ["a mute by the viewer", (viewer, owner) => store().mutes.mute(viewer, owner), { muting: true }, {}],
      ["a mute by the owner", (viewer, owner) => store().mutes.mute(owner, viewer), {}, { muting: true }],
      [
        "a follow by the viewer",
        async (viewer, owner) => {
          await store().follows.follow(viewer, owner);
          await store().settings.set(viewer, "groups", "contacts");
        },
        {},
        { contact: true, audience: "contacts" },
      ],
      [
        "a follow by the owner",
        async (viewer, owner) => {
          await store().follows.follow(owner, viewer);
          await store().settings.set(owner, "groups", "contacts");
        },
        { contact: true, audience: "contacts" },
        {},
      ],
      [
        "an exception of the owner",
        async (viewer, owner) => {
          await store().exceptions.update(owner, "groups", { add: [viewer], remove: [] });
          await store().settings.set(owner, "groups", "contact_blacklist");
        },
        { excepted: true, audience: "contact_blacklist" },
        {},
      ],
      [
        "a setting of the owner",
        (_, owner) => store().settings.set(owner, "groups", "none"),
        { audience: "none" },
        {},
      ],
      [
        "another setting of the owner",
        async (viewer, owner) => {
          await store().settings.set(owner, "status", "none");
          await store().exceptions.update(owner, "status", { add: [viewer], remove: [] });
        },
        {},
        {},
      ],
    ];
    for (const [what, change, seen, seenBack] of changes) {
      it(`show ${what}, in either direction`, async () => {
        const { viewer, owner } = pair();
        await change(viewer, owner);
        expect(await read(ask(), reversed())).to.eql([
          { ...nothing, ...seen },
          { ...nothing, ...seenBack },
        ]);
        const [third] = (await store().newUsers(1)) as [UserId];
        const bystander = await read(ask({ viewer: third }), ask({ owner: third }));
        expect(bystander.map(({ audience, ...facts }) => ({ ...facts, audience: "all" }))).to.eql([
          nothing,
          nothing,
        ]);
      });
    }

    it("show a mute in the scopes that it covers, and in no other", async () => {
      const { viewer, owner } = pair();
      await store().mutes.mute(viewer, owner);
      const scopes = [0, muteScopes.content, muteScopes.notifications, 4];
      const mutingBy = async () => {
        const facts = await read(...scopes.map((muteScope) => ask({ muteScope })));
        return facts.map(({ muting }) => muting);
      };
      expect(await mutingBy()).to.eql([false, true, true, true]);
      for (const covered of scopes) {
        await store().query(sql`update mutes set scopes = ${covered} where muter_id = ${viewer}`);
        expect(await mutingBy()).to.eql(scopes.map((scope) => scope !== 0 && scope === covered));
      }
      await store().query(sql`update mutes set expires_at = now() where muter_id = ${viewer}`);
      await store().mutes.mute(viewer, owner);
      expect(await mutingBy()).to.eql([false, true, true, true]);
    });

    it("show every audience of every setting", async () => {
      for (const setting of privacySettings) {
        for (const audience of audiences) {
          await store().settings.set(pair().owner, setting, audience);
          expect(await read(ask({ setting }))).to.eql([{ ...nothing, audience }]);
        }
      }
    });

    it("contain only what the audience needs", async () => {
      const { viewer, owner } = pair();
      await store().follows.follow(owner, viewer);
      await store().exceptions.update(owner, "groups", { add: [viewer], remove: [] });
      const found = { all: {}, contacts: { contact: true }, none: {} };
      for (const audience of ["all", "contacts", "none"] as const) {
        await store().settings.set(owner, "groups", audience);
        expect(await read(ask())).to.eql([{ ...nothing, audience, ...found[audience] }]);
      }
      await store().settings.set(owner, "groups", "contact_blacklist");
      expect(await read(ask())).to.eql([
        { ...nothing, audience: "contact_blacklist", contact: true, excepted: true },
      ]);
    });

    it("contain only what was requested", async () => {
      const { viewer, owner } = pair();
      await store().mutes.mute(viewer, owner);
      await store().follows.follow(owner, viewer);
      await store().settings.set(owner, "groups", "none");
      const kinds: [Partial<FactsQuery>, Partial<RelationshipFacts>][] = [
        [{ muteScope: 0, setting: null }, {}],
        [{ muteScope: 1, setting: null }, { muting: true }],
        [{ muteScope: 0, setting: "groups" }, { audience: "none" }],
        [
          { muteScope: 1, setting: "groups" },
          { muting: true, audience: "none" },
        ],
      ];
      for (const [asked, facts] of kinds) expect(await read(ask(asked))).to.eql([{ ...nothing, ...facts }]);
      expect(await read(...kinds.map(([asked]) => ask(asked)))).to.eql(
        kinds.map(([, facts]) => ({ ...nothing, ...facts })),
      );
    });

    it("of a signed-out viewer are the owner's audience", async () => {
      const { owner } = pair();
      await store().settings.set(owner, "groups", "contacts");
      expect(await read(ask({ viewer: null }), ask({ viewer: null, owner: unknownId() }))).to.eql([
        { ...nothing, audience: "contacts" },
        unknown,
      ]);
    });

    it("say when either is unknown", async () => {
      const stranger = unknownId();
      const questions = [{ viewer: stranger }, { owner: stranger }, { viewer: stranger, owner: stranger }];
      expect(await read(...questions.map(ask))).to.eql([unknown, unknown, unknown]);
      await store().users.delete(pair().owner);
      expect(await read(ask(), reversed())).to.eql([unknown, unknown]);
    });

    it("of oneself say that one is known", async () => {
      expect(await read(ask({ viewer: pair().owner }))).to.eql([nothing]);
    });

    it("come in the order of the questions, as often as asked", async () => {
      const { viewer, owner } = pair();
      await store().blocks.block(viewer, owner);
      const kinds: [FactsQuery, RelationshipFacts][] = [
        [ask(), { ...nothing, blocking: true }],
        [ask({ owner: unknownId() }), unknown],
        [reversed(), { ...nothing, blockedBy: true }],
        [ask({ viewer: null }), nothing],
      ];
      const all = Array.from(
        { length: 1_000 },
        (_, i) => kinds[((i * i + i) % 7) % kinds.length] ?? kinds[0],
      );
      const found = await readTogether(...all.map((kind) => kind?.[0] as FactsQuery));
      expect(found).to.eql(all.map((kind) => kind?.[1]));
    });

    it("are all of one moment", async () => {
      const { viewer, owner } = pair();
      await store().blocks.block(viewer, owner);
      const turns = async () => {
        for (let i = 0; i < 50; i++) {
          await store().query(
            sql`update blocks set blocker_id = blocked_id, blocked_id = blocker_id
                where blocker_id in (${viewer}, ${owner})`,
          );
        }
      };
      let turning = true;
      const turned = turns().finally(() => {
        turning = false;
      });
      while (turning) {
        const [facts, back] = await readTogether(ask(), reversed());
        expect([facts?.blocking, facts?.blockedBy]).to.eql([back?.blockedBy, back?.blocking]);
        expect(facts?.blocking).to.not.equal(facts?.blockedBy);
      }
      await turned;
    });
  });
}
