import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "chai";
import { sql } from "kysely";
import {
  ChangeKind,
  ChangeService,
  type WatchChangesRequestSchema,
} from "../../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { reasonOf } from "../../../src/call/errors.ts";
import { embedded, postgresql } from "../../support/backends.ts";
import { OpenedBackend } from "../../support/opened-backend.ts";
import { startService, type TestService } from "../../support/service.ts";
import { until } from "../../support/until.ts";
import { say, watch } from "../../support/watcher.ts";

const reason = (failure: unknown) => failure instanceof ConnectError && reasonOf(failure);

for (const { backend, databaseUrl } of [embedded, postgresql]) {
  describe(`following the changes on ${backend}`, function () {
    this.timeout(120_000);
    let database: OpenedBackend;
    let service: TestService;
    before(async function () {
      database = new OpenedBackend();
      service = await startService(await databaseUrl(this), {}, database.open);
    });
    after(() => service?.stop(0));

    const addUser = async () => {
      const id = randomUUID();
      const users = [{ id, userName: "someone" }];
      await service.graph.upsertUsers({ users }, await service.acting());
      return id;
    };
    const follow = async (followerId: string, followeeId: string) =>
      service.graph.followUser({ followerId, followeeId }, await service.acting());
    const block = (owner: string, target: string) =>
      service.rest("POST", `/api/v1/e-social/privacy-control/block/${target}`, { as: owner });
    const read = async (request: object) =>
      createClient(ChangeService, createGrpcTransport({ baseUrl: service.internalUrl })).readChanges(
        request,
        await service.acting(),
      );
    const failureOf = async (promise: Promise<unknown>) =>
      promise.then(
        () => undefined,
        (failure) => failure,
      );

    it("sends what is committed from the start of the call on, in its order, with its cause", async () => {
      const watcher = await (await watch(service)).begun();
      const ann = await addUser();
      const bob = await addUser();
      await follow(ann, bob);
      await block(bob, ann);
      const changes = await watcher.sees(5);
      expect(changes.map(say)).to.eql([
        `${ann} userAdded`,
        `${bob} userAdded`,
        `${ann} follow ${bob}`,
        `${bob} block ${ann}`,
        `${ann} unfollow ${bob}`,
      ]);
      expect(changes.map(({ cause }) => cause)).to.eql([2, 2, 2, 1, 4]);
      const versions = changes.map(({ version }) => version);
      expect(versions).to.eql([...versions].sort((a, b) => Number(a - b)));
      expect(watcher.last?.complete).to.equal(true);
      await watcher.stop();
    });

    it("misses nothing that is committed after the call has begun", async () => {
      const users = await Promise.all([addUser(), addUser()]);
      for (let i = 0; i < 10; i++) {
        const [watcher, id] = await Promise.all([watch(service), addUser()]);
        const later = await addUser();
        // That of the concurrent change may be committed on either side of the beginning.
        await until(() => watcher.changes.map(say).includes(`${later} userAdded`));
        const sent = watcher.changes.map(say);
        expect(sent.at(-1)).to.equal(`${later} userAdded`);
        expect(sent.filter((text) => text.includes(id)).length).to.be.at.most(1);
        await watcher.stop();
      }
      expect(users).to.have.length(2);
    });

    it("resumes after every message, and sends each change once then", async () => {
      const watcher = await (await watch(service)).begun();
      const users = [];
      for (let i = 0; i < 6; i++) users.push(await addUser());
      await watcher.sees(6);
      await watcher.stop();
      const all = watcher.changes.map(say);
      for (const [index, { cursor }] of watcher.messages.entries()) {
        const sent = watcher.messages.slice(0, index + 1).flatMap(({ changes }) => changes);
        const resumed = await watch(service, { start: { case: "cursor", value: cursor } });
        await until(
          () => resumed.changes.length === all.length - sent.length && resumed.last?.complete === true,
        );
        expect([...sent, ...resumed.changes].map(say)).to.eql(all);
        await resumed.stop();
      }
    });

    it("sends only the kinds that are asked for, erasures besides, and moves the cursor all the same", async () => {
      const watcher = await (
        await watch(service, { kinds: [ChangeKind.BLOCK], heartbeat: { nanos: 100_000_000 } })
      ).begun();
      const { cursor } = watcher.messages[0] ?? {};
      const ann = await addUser();
      const bob = await addUser();
      await follow(ann, bob);
      await until(() => watcher.last?.cursor !== cursor && watcher.last?.complete === true);
      await block(ann, bob);
      await service.graph.deleteUser({ userId: bob }, await service.acting());
      await watcher.sees(2);
      expect(watcher.changes.map(say)).to.eql([`${ann} block ${bob}`, `${bob} userErased`]);
      await watcher.stop();
    });

    it("is never silent for longer than the heartbeat, and goes on in time", async () => {
      const watcher = await (await watch(service, { heartbeat: { nanos: 100_000_000 } })).begun();
      await until(() => watcher.messages.length >= 5);
      const through = watcher.messages.map((message) => message.through?.seconds ?? 0n);
      expect(watcher.changes).to.eql([]);
      expect(through).to.eql([...through].sort());
      await watcher.stop();
    });

    it("sends a snapshot of what holds, then what changes", async () => {
      const ann = await addUser();
      const bob = await addUser();
      const eve = await addUser();
      await follow(ann, bob);
      await block(eve, ann);
      await service.rest("PATCH", "/api/v1/users/me/privacy", {
        as: ann,
        body: { setting: "last_seen", value: "contacts" },
      });
      const watcher = await watch(service, { start: { case: "snapshot", value: true } });
      const changes = (await watcher.isComplete()).map(say);
      expect(changes).to.include.members([
        ...[ann, bob, eve].map((id) => `${id} userAdded`),
        `${ann} follow ${bob}`,
        `${eve} block ${ann}`,
      ]);
      expect(watcher.messages[0]).to.include({ complete: false });
      expect(watcher.messages[0]?.through).to.equal(undefined);
      expect(watcher.last?.through).to.not.equal(undefined);
      await block(bob, ann);
      await until(() => watcher.changes.map(say).includes(`${bob} block ${ann}`));
      await watcher.stop();
    });

    it("resumes a snapshot after every message", async () => {
      const whole = await watch(service, { start: { case: "snapshot", value: true } });
      await whole.isComplete();
      await whole.stop();
      const all = new Set(whole.changes.map(say));
      for (const [index, { cursor }] of whole.messages.entries()) {
        const sent = whole.messages.slice(0, index + 1).flatMap(({ changes }) => changes);
        const resumed = await watch(service, { start: { case: "cursor", value: cursor } });
        await resumed.isComplete();
        expect(new Set([...sent, ...resumed.changes].map(say))).to.eql(all);
        await resumed.stop();
      }
    });

    it("is read message by message, at once or after a wait", async () => {
      const first = await read({});
      expect(first).to.deep.include({ changes: [], complete: true });
      const ann = await addUser();
      let next = await read({ start: { case: "cursor", value: first.cursor }, wait: { seconds: 20n } });
      expect(next.changes.map(say)).to.eql([`${ann} userAdded`]);
      expect(next.complete).to.equal(true);
      const waiting = read({ start: { case: "cursor", value: next.cursor }, wait: { seconds: 20n } });
      const bob = await addUser();
      expect((await waiting).changes.map(say)).to.eql([`${bob} userAdded`]);
      const copy = new Set<string>();
      next = await read({ start: { case: "snapshot", value: true } });
      for (;;) {
        for (const change of next.changes) copy.add(say(change));
        if (next.complete) break;
        next = await read({ start: { case: "cursor", value: next.cursor } });
      }
      expect([...copy]).to.include.members([`${ann} userAdded`, `${bob} userAdded`]);
    });

    it("refuses cursors that it did not make, and those of other kinds", async () => {
      const { cursor } = await read({ kinds: [ChangeKind.BLOCK] });
      const bytes = Buffer.from(cursor, "base64url");
      bytes.writeUInt8(bytes.readUInt8(5) ^ 1, 5);
      const requests = [
        { start: { case: "cursor", value: cursor } },
        { start: { case: "cursor", value: cursor }, kinds: [ChangeKind.MUTE] },
        { start: { case: "cursor", value: bytes.toString("base64url") }, kinds: [ChangeKind.BLOCK] },
        { start: { case: "cursor", value: cursor.slice(0, -2) }, kinds: [ChangeKind.BLOCK] },
        { start: { case: "cursor", value: "AAAA" } },
      ] satisfies MessageInitShape<typeof WatchChangesRequestSchema>[];
      for (const request of requests) {
        const failure = await failureOf(read(request));
        expect(reason(failure)).to.equal("INVALID_CURSOR");
        const watcher = await watch(service, request);
        const ended = await watcher.ended;
        expect(reason(ended)).to.equal("INVALID_CURSOR");
        expect(ended).to.include({ code: Code.InvalidArgument });
      }
      expect(reason(await failureOf(read({ kinds: [99] })))).to.equal("INVALID_REQUEST");
    });

    it("tells a time of the database that is later than what was acknowledged", async () => {
      const [ann, bob] = [await addUser(), await addUser()];
      for (let turn = 0; turn < 5; turn++) {
        await follow(ann, bob);
        const { readAt } = await read({});
        const [row] = await database.run(
          sql<{ made: string; now: string }>`select
            (extract(epoch from created_at) * 1000000)::bigint::text as made,
            (extract(epoch from clock_timestamp()) * 1000000)::bigint::text as now
            from follows where follower_id = ${ann}::uuid`,
        );
        const time = readAt === undefined ? 0n : readAt.seconds * 1_000_000n + BigInt(readAt.nanos / 1_000);
        expect(time > BigInt(row?.made ?? ""), "later than the change").to.equal(true);
        expect(time < BigInt(row?.now ?? ""), "not in the future").to.equal(true);
        await service.graph.unfollowUser({ followerId: ann, followeeId: bob }, await service.acting());
      }
      const refused = await failureOf(read({ consistencyToken: "none" }));
      expect(reason(refused)).to.equal("INVALID_CONSISTENCY_TOKEN");
    });

    it("ends watchers whose changes are no longer in the log with CURSOR_EXPIRED", async () => {
      const newestTick = async () => {
        const [row] = await database.run(sql<{ id: string }>`select max(id)::text as id from ticks`);
        return row?.id;
      };
      const { cursor } = await read({});
      // While nobody follows, what is read is not kept for those who resume.
      const before = await newestTick();
      await addUser();
      await until(async () => (await newestTick()) !== before);
      const watcher = await (await watch(service)).begun();
      await database.run(sql`delete from ticks where id < (select max(id) from ticks)`);
      const start = { case: "cursor", value: cursor } as const;
      expect(reason(await failureOf(read({ start })))).to.equal("CURSOR_EXPIRED");
      const ended = await (await watch(service, { start })).ended;
      expect(reason(ended)).to.equal("CURSOR_EXPIRED");
      expect(ended).to.include({ code: Code.OutOfRange });
      // The other one is at the end of the log.
      const ann = await addUser();
      await until(() => watcher.changes.length > 0);
      expect(watcher.changes.map(say).at(-1)).to.equal(`${ann} userAdded`);
      await watcher.stop();
    });

    it("ends every watcher with HISTORY_CHANGED when the history is another one", async () => {
      const { cursor } = await read({});
      const watchers = [await (await watch(service)).begun(), await (await watch(service)).begun()];
      await database.run(sql`update ticks set nonce = gen_random_uuid()`);
      for (const watcher of watchers) {
        const ended = await watcher.ended;
        expect(reason(ended)).to.equal("HISTORY_CHANGED");
        expect(ended).to.include({ code: Code.FailedPrecondition });
      }
      const start = { case: "cursor", value: cursor } as const;
      expect(reason(await failureOf(read({ start })))).to.equal("HISTORY_CHANGED");
      // A new one follows the new history.
      const watcher = await (await watch(service)).begun();
      const ann = await addUser();
      expect((await watcher.sees(1)).map(say)).to.eql([`${ann} userAdded`]);
      await watcher.stop();
    });
  });
}
