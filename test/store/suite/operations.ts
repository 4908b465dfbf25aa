import { randomUUID } from "node:crypto";
import type { ImportRecord } from "../../../src/domain/imports.ts";
import type { UserId } from "../../../src/domain/users.ts";
import type { FactsQuery } from "../../../src/store/access.ts";
import type { StatePosition } from "../../../src/store/change-log.ts";
import type { Database } from "../../../src/store/database.ts";

interface Users {
  readonly actor: UserId;
  readonly target: UserId;
  /** A user who has long lists. */
  readonly owner: UserId;
  readonly others: readonly UserId[];
}

/** Calls of the store that send all of its statements, by name. The last one erases the owner. */
export function storeOperations({
  actor,
  target,
  owner,
  others,
}: Users): Record<string, (database: Database) => Promise<unknown>> {
  const position = { createdAt: 1_700_000_000_000_000n, id: randomUUID() };
  const queries = (count: number, asked: Partial<FactsQuery> = {}): FactsQuery[] =>
    others
      .slice(0, count)
      .map((other) => ({ viewer: owner, owner: other, muteScope: 1, setting: "groups", ...asked }));
  const edges = others.flatMap((other): ImportRecord[] =>
    (["follow", "block", "mute"] as const).map((kind) => ({
      kind,
      edge: { owner, target: other, createdAt: null },
    })),
  );
  const choices = others.flatMap((target): ImportRecord[] => [
    { kind: "setting", setting: { owner: target, setting: "groups", audience: "contact_blacklist" } },
    { kind: "exception", exception: { owner: target, setting: "groups", target: owner, createdAt: null } },
  ]);
  const importName = () => ({ service: "accounts", id: randomUUID() });
  const described = {
    userName: "ann",
    firstName: "",
    lastName: "",
    profilePictureUrls: [],
    isVerified: true,
  };
  return {
    "a check": ({ relationshipFacts }) => relationshipFacts.read(queries(1)),
    "a check of blocks alone": ({ relationshipFacts }) =>
      relationshipFacts.read(queries(1, { muteScope: 0, setting: null })),
    "a thousand checks": ({ relationshipFacts }) => relationshipFacts.read(queries(1_000)),
    "checks of blocks alone": ({ relationshipFacts }) =>
      relationshipFacts.read(queries(1_000, { muteScope: 0, setting: null })),
    "a check that is explained": ({ explainedFacts }) => explainedFacts.read(owner, others[0] as UserId),
    "a page of hidden users": ({ hiddenUsers }) =>
      hiddenUsers.read({ viewer: owner, scope: 1, limit: 1_000, from: actor }),
    "a hundred relationships": ({ relationships }) => relationships.read(owner, others.slice(0, 100)),
    "a preview": ({ previews }) => previews.read(owner, target),
    "a block": ({ blocks }) => blocks.block(actor, target),
    "an update of a block": ({ blocks }) => blocks.update(actor, target, { expiresAt: null }),
    "an unblock": ({ blocks }) => blocks.unblock(actor, target),
    "a mute": ({ mutes }) => mutes.mute(actor, target),
    "an update of a mute": ({ mutes }) => mutes.update(actor, target, { scopes: 1 }),
    "an unmute": ({ mutes }) => mutes.unmute(actor, target),
    "mutes with idempotency keys": async ({ mutes }) => {
      const mute = (key: string) => mutes.mute(actor, target, undefined, key);
      await mute("key");
      await mute("key");
      await mute("another key").catch(() => {});
      await mutes.unmute(actor, target);
    },
    "a sweep of idempotency keys": ({ idempotencyKeys }) => idempotencyKeys.sweepLapsed(),
    "the first page of blocks": ({ blocks }) => blocks.list(owner, 51),
    "a later page of blocks": ({ blocks }) => blocks.list(owner, 51, position),
    "a page of a complete list": ({ blocks }) => blocks.list(owner, 1_001, position),
    "a page of mutes": ({ mutes }) => mutes.list(owner, 51, position),
    "the settings": ({ settings }) => settings.get(actor),
    "a change of a setting": ({ settings }) => settings.set(actor, "groups", "none"),
    "a page of exceptions": ({ exceptions }) => exceptions.list(actor, "groups", 51, position),
    "a change of exceptions": ({ exceptions }) =>
      exceptions.update(actor, "groups", { add: others.slice(0, 100), remove: [target] }),
    "a look for a write": ({ consistency }) =>
      consistency.isSatisfied({ kind: "write", server: 1n, xid: 1_000n, at: 1n }),
    "a follow": ({ follows }) => follows.follow(actor, target),
    "an unfollow": ({ follows }) => follows.unfollow(actor, target),
    "a relationship": ({ follows }) => follows.relationship(actor, target),
    "a user": ({ users }) => users.find(actor),
    "the users of a name": ({ users }) => users.findByName("ann"),
    "a change of users": ({ users }) => users.upsert([{ id: actor, ...described }]),
    "the progress of an import": ({ imports }) => imports.progress(importName()),
    "an import": ({ imports }) => imports.store(importName(), 0, edges.slice(0, 1_000)),
    "an import of settings and exceptions": ({ imports }) =>
      imports.store(importName(), 0, choices.slice(0, 1_000)),
    "an import of users in part": ({ imports }) =>
      imports.store(
        importName(),
        0,
        others.map((id) => ({ kind: "user", user: { id, userName: "renamed" } })),
      ),
    "a tick": ({ changes }) => changes.tick(),
    "a forced tick, and the changes up to it": async ({ changes }) => {
      const from = await changes.newestTick();
      await changes.tick({ force: true });
      for (const to of (await changes.ticksAfter(from, 10)).ticks) await changes.read(from, to, 0n, 1_000);
    },
    "a load of the graph": async ({ graphPages }) => {
      for (let at: StatePosition | undefined = { table: 0, key: [] }; at !== undefined; )
        ({ next: at } = await graphPages.read(at, 1_000));
    },
    "what is new for the graph": async ({ changes, readIndex }) => {
      const [base, session] = [await changes.newestTick(), await readIndex.begin()];
      await readIndex.serverRun();
      const { snapshot = "" } =
        (await readIndex.read({ session, base, snapshot: base.snapshot }, 1_000)) ?? {};
      const next = BigInt(snapshot.split(":")[1] ?? 0);
      // As when another transaction was running.
      const start = { session, base, snapshot: `${next - 1n}:${next}:${next - 1n}` };
      await readIndex.read(start, 1_000);
      await readIndex.audit(start, 1_000, queries(100));
      await readIndex.sampleEdges(100);
    },
    "the figures of the log": ({ changeLogFigures }) => changeLogFigures.read(),
    "a sweep of what has ended": async ({ expiry }) => {
      await expiry.sweepExpired();
    },
    "the size of an export": ({ exports }) => exports.count(undefined),
    "an export while a user changes": async ({ exports, users }) => {
      for await (const _ of exports.read(undefined)) {
        await users.upsert([{ id: actor, ...described, firstName: randomUUID() }]);
      }
    },
    "the size of a user's export": ({ exports }) => exports.count(owner),
    "a user's export": async ({ exports }) => {
      for await (const _ of exports.read(owner));
    },
    "an erasure that was begun": ({ users }) => users.resumeErasures(),
    "the erasure of a user": ({ users }) => users.delete(owner),
  };
}
