import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { promisify } from "node:util";
import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { expect } from "chai";
import { sql } from "kysely";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { consistencyTokenOf } from "../../../src/client/call-headers.ts";
import {
  PrivacyReplica,
  type Query,
  type ReplicaOptions,
  ReplicaStaleError,
} from "../../../src/client/replica.ts";
import { embedded, postgresql } from "../../support/backends.ts";
import { type FreezingProxy, startFreezingProxy } from "../../support/freezing-proxy.ts";
import { OpenedBackend } from "../../support/opened-backend.ts";
import { scrape } from "../../support/scrape.ts";
import { startService, type TestService } from "../../support/service.ts";
import { until } from "../../support/until.ts";

const watchers = "privacy_control_change_watchers";
const anyAge = { maxStalenessMs: Number.MAX_VALUE };

for (const { backend, databaseUrl } of [embedded, postgresql])
  describe(`a replica of a service on ${backend}`, function () {
    this.timeout(120_000);
    let database: OpenedBackend;
    let service: TestService;
    const opened = new Set<PrivacyReplica>();
    before(async function () {
      database = new OpenedBackend();
      service = await startService(await databaseUrl(this), {}, database.open);
    });
    afterEach(async () => {
      for (const replica of opened) await replica.close();
      opened.clear();
    });
    after(() => service?.stop(1_000));

    const open = async (transport: Transport, options: Partial<ReplicaOptions> = {}) => {
      const token = () => service.serviceToken("access.read changes.read");
      const replica = new PrivacyReplica({ transport, token, heartbeatMs: 200, ...options });
      opened.add(replica);
      await replica.ready();
      return replica;
    };
    const overGrpc = () => createGrpcTransport({ baseUrl: service.internalUrl });
    const newPair = async (): Promise<Query & { viewer: string }> => {
      const [viewer, owner] = [randomUUID(), randomUUID()];
      const users = [viewer, owner].map((id) => ({ id, userName: id }));
      await service.graph.upsertUsers({ users }, await service.acting());
      return { viewer, owner, interaction: "FOLLOW" };
    };
    /** Blocks the viewer, or ends that; resolves to the token. */
    const act = async (call: "blockUser" | "unblockUser", { viewer, owner }: Query & { viewer: string }) => {
      let token: string | undefined;
      const control = createClient(PrivacyControlService, overGrpc());
      await control[call](
        { userId: viewer },
        {
          ...(await service.acting(owner)),
          onHeader: (headers) => {
            token = consistencyTokenOf(headers);
          },
        },
      );
      return token ?? "";
    };

    for (const [name, newTransport] of [
      ["gRPC", overGrpc],
      [
        "Connect over HTTP/1.1",
        () => createConnectTransport({ baseUrl: service.internalUrl, httpVersion: "1.1" }),
      ],
      [
        "Connect over HTTP/2",
        () => createConnectTransport({ baseUrl: service.internalUrl, httpVersion: "2" }),
      ],
    ] as const)
      it(`has what a token names, over ${name}`, async () => {
        const query = await newPair();
        const replica = await open(newTransport());
        for (const [call, effect] of [
          ["blockUser", "DENY"],
          ["unblockUser", "ALLOW"],
        ] as const) {
          await replica.waitFor(await act(call, query));
          expect(replica.check(query, anyAge).effect).to.equal(effect);
        }
        const failure = await replica.waitFor("no token").catch(({ message }) => message);
        expect(failure).to.contain("Invalid consistency token");
        // The service decides the same, and says so of unknown users in another way.
        await act("blockUser", query);
        const accepted = { maxStalenessMs: -1 };
        expect(await replica.checkOrAsk(query, accepted)).to.deep.include({
          effect: "DENY",
          cause: "BLOCKED_BY",
        });
        const unknown = { ...query, owner: randomUUID() };
        expect(await replica.checkOrAsk(unknown, accepted)).to.deep.include({
          effect: "DENY",
          cause: "UNKNOWN_USER",
        });
        const { viewer, owner } = query;
        const owners = [owner, unknown.owner, ...Array.from({ length: 1_500 }, () => viewer.toUpperCase())];
        const { ownerIds } = await replica.filterOrAsk(viewer, owners, "FOLLOW", accepted);
        expect(ownerIds).to.eql(owners.slice(2).map((id) => id.toLowerCase()));
        await replica.waitFor("");
        expect(replica.filter(viewer, owners, "FOLLOW", anyAge).ownerIds).to.eql(ownerIds);
      });

    it("waits for no sign of life where it has what a token names", async () => {
      const query = await newPair();
      const replica = await open(overGrpc(), { heartbeatMs: 30_000 });
      const token = await act("blockUser", query);
      await until(() => replica.check(query, anyAge).effect === "DENY");
      await replica.waitFor(token, AbortSignal.timeout(20_000));
    });

    it("lets a block hold until its end, by the clock of the database", async () => {
      const query = await newPair();
      const replica = await open(overGrpc());
      await act("blockUser", query);
      const { rows } = await inDatabase(
        sql<{ end: string }>`update blocks set expires_at = clock_timestamp() + interval '1500 ms'
          where blocker_id = ${query.owner}::uuid
          returning (extract(epoch from expires_at) * 1000000)::bigint::text as end`,
      );
      const end = BigInt(rows[0]?.end ?? "");
      await replica.waitFor("");
      const seen = new Set<string>();
      await until(() => {
        const { facts, decisions } = replica.explain(query.viewer, query.owner, anyAge);
        const { effect } = decisions.find(({ interaction }) => interaction === "FOLLOW") ?? {};
        expect(effect).to.equal(facts.readAt < end ? "DENY" : "ALLOW");
        expect(replica.check(query, anyAge).effect).to.equal(effect);
        seen.add(effect ?? "");
        return effect === "ALLOW";
      });
      expect([...seen]).to.eql(["DENY", "ALLOW"]);
    });

    /** Ends the stream of a replica, and keeps it away while something is done. */
    const whileAway = async (work: () => Promise<void>) => {
      const sessionManager = new Http2SessionManager(service.internalUrl);
      const transport = createGrpcTransport({ baseUrl: service.internalUrl, sessionManager });
      let away: Promise<void> | undefined;
      const replica = await open(transport, {
        token: async () => {
          await away;
          return service.serviceToken("changes.read");
        },
      });
      const { promise, resolve } = Promise.withResolvers<void>();
      away = promise;
      sessionManager.abort();
      // What is read while nobody follows is not kept for those who resume.
      await until(async () => (await scrape(service.adminUrl)).value(watchers) === 0);
      await work();
      resolve();
      return replica;
    };
    const newestTick = async () => {
      const { rows } = await inDatabase(sql<{ id: string }>`select max(id)::text as id from ticks`);
      return rows[0]?.id;
    };
    const inDatabase = async <Row>(statement: ReturnType<typeof sql<Row>>) => ({
      rows: (await database.run(statement)) as Row[],
    });

    it("resumes where it was cut off", async () => {
      const query = await newPair();
      const replica = await whileAway(async () => {
        await act("blockUser", query);
        expect(replicaSays(query)).to.equal("ALLOW");
      });
      await until(() => replica.check(query, anyAge).effect === "DENY");
      expect(replica.metrics.reconnectsTotal).to.be.at.least(1);
      expect(replica.metrics.reloadsTotal).to.equal(0);
    });
    const replicaSays = (query: Query) => [...opened].at(-1)?.check(query, anyAge).effect;

    it("loads another copy when the log does not reach back any more", async () => {
      const query = await newPair();
      const replica = await whileAway(async () => {
        const before = await newestTick();
        await act("blockUser", query);
        await until(async () => (await newestTick()) !== before);
        await inDatabase(sql`delete from ticks where id < (select max(id) from ticks)`);
      });
      await until(() => replica.metrics.reloadsTotal === 1);
      expect(replica.check(query, anyAge).effect).to.equal("DENY");
      // It follows from where the other copy ends.
      await replica.waitFor(await act("unblockUser", query));
      expect(replica.check(query, anyAge).effect).to.equal("ALLOW");
    });

    it("loads another copy when the history is another one", async () => {
      const query = await newPair();
      const replica = await open(overGrpc());
      expect(replica.check(query, anyAge).effect).to.equal("ALLOW");
      await inDatabase(sql`update ticks set nonce = gen_random_uuid()`);
      await until(() => replica.metrics.reloadsTotal === 1);
      await replica.waitFor(await act("blockUser", query));
      expect(replica.check(query, anyAge).effect).to.equal("DENY");
    });

    describe("behind a connection that passes nothing on", () => {
      let proxy: FreezingProxy;
      before(async () => {
        proxy = await startFreezingProxy(service.internalUrl);
      });
      after(() => proxy?.close());
      const transport = () =>
        createGrpcTransport({
          baseUrl: proxy.url.replace(/\/$/, ""),
          pingIntervalMs: 300,
          pingTimeoutMs: 300,
        });

      it("refuses what is older than accepted, and catches up", async () => {
        const query = await newPair();
        const maxStalenessMs = 2_000;
        const replica = await open(transport(), { maxStalenessMs });
        proxy.freeze();
        await act("blockUser", query);
        const blockedAt = performance.now();
        let refused = 0;
        while (refused < 3) {
          const askedAt = performance.now();
          try {
            const { effect, ageMs } = replica.check(query);
            expect(ageMs).to.be.at.most(maxStalenessMs);
            expect(askedAt - blockedAt > maxStalenessMs && effect === "ALLOW").to.equal(false);
          } catch (failure) {
            expect(failure).to.be.instanceOf(ReplicaStaleError);
            refused++;
          }
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        expect(await replica.checkOrAsk(query, { timeoutMs: 200 }).catch(({ name }) => name)).to.equal(
          "ConnectError",
        );
        proxy.thaw();
        await until(() => replica.check(query, anyAge).effect === "DENY");
        await until(() => replica.metrics.ageMs < maxStalenessMs);
      });

      it("makes another connection when the one that it has is dead", async () => {
        const query = await newPair();
        const replica = await open(transport());
        proxy.abandon();
        await act("blockUser", query);
        await until(() => replica.metrics.reconnectsTotal > 0);
        await until(() => replica.check(query, anyAge).effect === "DENY");
      });
    });

    it("ends its stream as a call that is cancelled, not as one that failed", async () => {
      const ended = async (code: string) => {
        const labels = { method: "nexgate.privacy.v1.ChangeService/WatchChanges", protocol: "grpc", code };
        return (await scrape(service.adminUrl)).value("privacy_control_calls_total", labels) ?? 0;
      };
      const replica = await open(overGrpc());
      // Streams of earlier tests have ended.
      await until(async () => (await scrape(service.adminUrl)).value(watchers) === 1);
      const [cancelled, failed] = [await ended("canceled"), await ended("internal")];
      await replica.close();
      await until(async () => (await ended("canceled")) + (await ended("internal")) > cancelled + failed);
      expect(await ended("internal")).to.equal(failed);
    });

    it("lets the process end when it is closed", async () => {
      const script = `
        import { createGrpcTransport } from "@connectrpc/connect-node";
        import { PrivacyReplica } from "./src/client/replica.ts";
        const { baseUrl, token } = JSON.parse(process.env.TARGET);
        const replica = new PrivacyReplica({ transport: createGrpcTransport({ baseUrl }), token: () => token });
        await replica.ready();
        const { connected } = replica.metrics;
        await replica.close();
        console.log(connected);`;
      const target = { baseUrl: service.internalUrl, token: await service.serviceToken("changes.read") };
      const { stdout } = await promisify(execFile)(
        process.execPath,
        ["--input-type=module", "--eval", script],
        { env: { ...process.env, TARGET: JSON.stringify(target) }, timeout: 60_000 },
      );
      expect(stdout).to.equal("1\n");
    });
  });
