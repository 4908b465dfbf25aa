import { randomUUID } from "node:crypto";
import { ConnectError, createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { expect } from "chai";
import { ChangeService } from "../../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { codeName, reasonOf } from "../../../src/call/errors.ts";
import { PrivacyError } from "../../../src/domain/errors.ts";
import { embedded, postgresql } from "../../support/backends.ts";
import { OpenedBackend } from "../../support/opened-backend.ts";
import { scrape } from "../../support/scrape.ts";
import { noInFlightLimits, startService, type TestService } from "../../support/service.ts";
import { until } from "../../support/until.ts";
import { say, type Watcher, watch } from "../../support/watcher.ts";

const addUser = async (service: TestService) => {
  const id = randomUUID();
  await service.graph.upsertUsers({ users: [{ id, userName: "someone" }] }, await service.acting());
  return id;
};
const outcome = (failure: unknown) =>
  failure instanceof ConnectError ? `${codeName(failure.code)} ${reasonOf(failure)}` : failure;
const metric = async (service: TestService, name: string) =>
  (await scrape(service.adminUrl)).value(`privacy_control_${name}`);

for (const { backend, databaseUrl } of [embedded, postgresql]) {
  describe(`streams of changes on ${backend}`, function () {
    this.timeout(120_000);
    const databases = new Map<TestService, OpenedBackend>();
    let url: string | undefined;
    let service: TestService;
    const services = new Set<TestService>();
    const start = async (overrides = {}) => {
      const database = new OpenedBackend();
      const started = await startService(url, overrides, database.open);
      databases.set(started, database);
      services.add(started);
      return started;
    };
    const stop = async (stopped: TestService, graceMs = 0) => {
      services.delete(stopped);
      return stopped.stop(graceMs);
    };
    before(async function () {
      url = await databaseUrl(this);
      service = await start();
    });
    after(async () => {
      for (const left of services) await left.stop(0);
    });

    it("are spoken over gRPC, gRPC-Web and Connect, in binary and in JSON", async () => {
      const baseUrl = service.internalUrl;
      const http2 = { baseUrl, httpVersion: "2" } as const;
      const http1 = { baseUrl, httpVersion: "1.1" } as const;
      const transports = [
        createGrpcTransport({ baseUrl }),
        createGrpcTransport({ baseUrl, useBinaryFormat: false }),
        createGrpcWebTransport(http2),
        createGrpcWebTransport({ ...http1, useBinaryFormat: false }),
        createConnectTransport(http2),
        createConnectTransport({ ...http2, useBinaryFormat: false }),
        createConnectTransport(http1),
        createConnectTransport({ ...http1, useBinaryFormat: false }),
      ];
      const watchers = await Promise.all(
        transports.map(async (transport) => (await watch(service, {}, transport)).begun()),
      );
      const id = await addUser(service);
      for (const watcher of watchers) {
        expect((await watcher.sees(1)).map(say)).to.eql([`${id} userAdded`]);
        expect(watcher.last?.complete).to.equal(true);
        await watcher.stop();
      }
      await until(async () => (await metric(service, "change_watchers")) === 0);
    });

    it("are JSON for a content type of JSON in capitals", async () => {
      const request = Buffer.from("{}");
      const envelope = Buffer.alloc(5);
      envelope.writeUInt32BE(request.length, 1);
      const disconnected = new AbortController();
      const response = await fetch(`${service.internalUrl}/${ChangeService.typeName}/WatchChanges`, {
        method: "POST",
        headers: {
          "content-type": "application/connect+JSON",
          authorization: `Bearer ${await service.serviceToken("changes.read")}`,
        },
        body: Buffer.concat([envelope, request]),
        signal: disconnected.signal,
      });
      let text = "";
      const reading = (async () => {
        for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString();
      })().catch(() => {});
      await until(() => text.includes("cursor"));
      const id = await addUser(service);
      await until(() => text.includes(id));
      disconnected.abort();
      await reading;
    });

    it("need the scope", async () => {
      const token = await service.serviceToken("access.read graph.read graph.write users.act");
      const client = createClient(ChangeService, createGrpcTransport({ baseUrl: service.internalUrl }));
      const headers = { authorization: `Bearer ${token}` };
      const failure = await client.readChanges({}, { headers }).catch((error) => error);
      expect(outcome(failure)).to.equal("permission_denied SCOPE_MISSING");
      const stream = client.watchChanges({}, { headers })[Symbol.asyncIterator]();
      expect(outcome(await stream.next().catch((error) => error))).to.equal(
        "permission_denied SCOPE_MISSING",
      );
    });

    it("hold no slot of the service or of their caller, and are no calls in flight", async () => {
      const maxInFlight = { ...noInFlightLimits, internalCalls: 1, perService: 1 };
      const limited = await start({ maxInFlight });
      const watchers: Watcher[] = [];
      // One by one: while a token is checked, the call is in flight.
      for (let i = 0; i < 3; i++) watchers.push(await (await watch(limited)).begun());
      await addUser(limited);
      for (const watcher of watchers) await watcher.sees(1);
      expect(await metric(limited, "calls_in_flight")).to.equal(0);
      expect(await metric(limited, "change_watchers")).to.equal(3);
      for (const watcher of watchers) await watcher.stop();
      await stop(limited);
    });

    it("end with UNAVAILABLE at once when the service stops, and go on elsewhere", async () => {
      const stopping = url === undefined ? service : await start();
      const watchers: Watcher[] = [];
      for (let i = 0; i < 20; i++) watchers.push(await (await watch(stopping)).begun());
      const beganAt = performance.now();
      expect(await stop(stopping, 20_000)).to.equal(0);
      expect(performance.now() - beganAt).to.be.below(10_000);
      for (const watcher of watchers)
        expect(outcome(await watcher.ended)).to.equal("unavailable UNAVAILABLE");
      // The embedded database of a stopped service is gone.
      if (url === undefined) service = await start();
      else {
        const value = watchers[0]?.last?.cursor ?? "";
        const resumed = await (await watch(service, { start: { case: "cursor", value } })).begun();
        const id = await addUser(service);
        expect((await resumed.sees(1)).map(say)).to.eql([`${id} userAdded`]);
        await resumed.stop();
      }
    });

    it("are forgotten when their client disconnects", async () => {
      const watchers = await Promise.all(Array.from({ length: 10 }, () => watch(service)));
      for (const watcher of watchers) await watcher.begun();
      expect(await metric(service, "change_watchers")).to.equal(10);
      for (const watcher of watchers) await watcher.stop();
      await until(async () => (await metric(service, "change_watchers")) === 0);
      const counted = await scrape(service.adminUrl);
      const labels = {
        method: "nexgate.privacy.v1.ChangeService/WatchChanges",
        protocol: "grpc",
        code: "canceled",
      };
      expect(counted.value("privacy_control_calls_total", labels)).to.be.at.least(10);
    });

    it("stay during an outage of the database, and go on when it is back", async () => {
      const watcher = await (await watch(service, { heartbeat: { nanos: 100_000_000 } })).begun();
      const database = databases.get(service);
      if (database === undefined) throw new Error("no service");
      database.beforeRead = () => {
        throw new PrivacyError("UNAVAILABLE");
      };
      const before = watcher.messages.length;
      await until(() => watcher.messages.length > before + 10);
      const [a, b] = watcher.messages.slice(-2).map(({ through }) => through);
      expect(a).to.eql(b);
      database.beforeRead = () => {};
      const id = await addUser(service);
      expect((await watcher.sees(1)).map(say)).to.eql([`${id} userAdded`]);
      await watcher.stop();
    });
  });
}
