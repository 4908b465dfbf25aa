import { randomUUID } from "node:crypto";
import { BlockList } from "node:net";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { expect } from "chai";
import { RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { Audience, PrivacySetting } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { reasonOf } from "../../src/call/errors.ts";
import { readConfig } from "../../src/config/config.ts";
import { openDatabase } from "../../src/store/database.ts";
import { postgresUrl } from "../support/cluster.ts";
import { noInFlightLimits, noRates, startService, type TestService } from "../support/service.ts";

const control = "/api/v1/e-social/privacy-control";
const settings = "/users/me/privacy";
const change = { body: { setting: "groups", value: "none" } };

/** So few that none comes back while a test runs. */
const fewWrites = { ...noRates, writesPerMinute: 1, writesBurst: 5 };

const transports: [string, (baseUrl: string) => Transport][] = [
  ["gRPC", (baseUrl) => createGrpcTransport({ baseUrl })],
  ["gRPC-Web", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })],
  ["Connect", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2" })],
];

describe("the limits of callers", () => {
  const services: TestService[] = [];
  const start = async (
    rates: Partial<typeof noRates>,
    url?: string,
    further: Parameters<typeof startService>[1] = {},
  ) => {
    const service = await startService(url ?? (await postgresUrl()), {
      ...further,
      rates: { ...noRates, ...rates },
    });
    services.push(service);
    return service;
  };
  after(() => Promise.all(services.map((service) => service.stop(0))));

  async function newUser(service: TestService): Promise<string> {
    const id = randomUUID();
    await service.graph.upsertUsers({ users: [{ id, userName: `user-${id}` }] }, await service.acting());
    return id;
  }

  /** Writes as a user until refused, and returns how many went well. */
  async function writeUntilRefused(service: TestService, as: string): Promise<number> {
    for (let done = 0; done < 100; done++) {
      const { status } = await service.rest("PATCH", settings, { as, ...change });
      if (status === 429) return done;
      expect(status).to.equal(200);
    }
    throw new Error("the writes were never refused");
  }

  async function failure(call: Promise<unknown>): Promise<ConnectError> {
    try {
      await call;
    } catch (reason) {
      return ConnectError.from(reason);
    }
    throw new Error("the call succeeded");
  }

  describe("on a user's writes", () => {
    let service: TestService;
    let user: string;
    before(async () => {
      service = await start(fewWrites);
    });
    beforeEach(async () => {
      user = await newUser(service);
    });

    it("answer 429 with `Retry-After` over REST, in each envelope", async () => {
      expect(await writeUntilRefused(service, user)).to.equal(5);
      const status = await service.rest("PATCH", settings, { as: user, ...change });
      expect(status.json).to.eql({
        status: false,
        code: 429,
        message: "Too many requests",
        error: "Too many requests",
      });
      const globe = await service.rest("POST", `${control}/block/${randomUUID()}`, { as: user });
      expect(globe.json).to.deep.include({
        success: false,
        httpStatus: "TOO_MANY_REQUESTS",
        message: "Too many requests",
        data: "Too many requests",
      });
      for (const { headers } of [status, globe]) {
        expect(Number(headers.get("retry-after"))).to.be.within(1, 60);
        expect(headers.get("ratelimit-policy")).to.equal('"writes";q=5;w=300');
        expect(headers.get("ratelimit")).to.match(/^"writes";r=0;t=(?:2[4-9]\d|300)$/);
      }
    });

    it("report the remaining quota with every write, and not with reads", async () => {
      const first = await service.rest("PATCH", settings, { as: user, ...change });
      expect(first.headers.get("ratelimit")).to.equal('"writes";r=4;t=60');
      expect(first.headers.get("ratelimit-policy")).to.equal('"writes";q=5;w=300');
      const read = await service.rest("GET", settings, { as: user });
      expect(read.headers.get("ratelimit")).to.equal(null);
    });

    it("do not affect other users, or reads", async () => {
      const others = [await newUser(service), await newUser(service)];
      const flood = Promise.all(
        Array.from({ length: 100 }, () => service.rest("PATCH", settings, { as: user, ...change })),
      );
      for (const other of others) expect(await writeUntilRefused(service, other)).to.equal(5);
      const statuses = (await flood).map(({ status }) => status);
      expect(statuses.filter((status) => status === 200)).to.have.length(5);
      expect(statuses.filter((status) => status === 429)).to.have.length(95);
      for (const path of [settings, `${control}/blocked`])
        expect((await service.rest("GET", path, { as: user })).status).to.equal(200);
    });

    it("count failed calls too, before their bodies are read", async () => {
      const wrong = { as: user, body: "{" };
      for (let i = 0; i < 3; i++) expect((await service.rest("PATCH", settings, wrong)).status).to.equal(400);
      for (let i = 0; i < 2; i++)
        expect(
          (await service.rest("POST", `${control}/block/${randomUUID()}`, { as: user })).status,
        ).to.equal(404);
      expect((await service.rest("PATCH", settings, wrong)).status).to.equal(429);
    });

    it("stop a block that flaps", async () => {
      const other = await newUser(service);
      const statuses: number[] = [];
      for (let i = 0; i < 4; i++) {
        statuses.push((await service.rest("POST", `${control}/block/${other}`, { as: user })).status);
        statuses.push((await service.rest("DELETE", `${control}/unblock/${other}`, { as: user })).status);
      }
      expect(statuses).to.eql([200, 200, 200, 200, 200, 429, 429, 429]);
    });

    for (const [name, transport] of transports)
      it(`apply over ${name}, and to services that act for the user`, async () => {
        const client = createClient(PrivacyControlService, transport(service.publicUrl));
        const internal = createClient(PrivacyControlService, transport(service.internalUrl));
        const own = { headers: { authorization: `Bearer ${await service.userToken(user)}` } };
        const acting = await service.acting(user);
        const request = { setting: PrivacySetting.GROUPS, value: Audience.ALL };
        let told: string | null = null;
        const onHeader = (headers: Headers) => {
          told = headers.get("ratelimit");
        };
        await client.updatePrivacySetting(request, { ...own, onHeader });
        expect(told).to.equal('"writes";r=4;t=60');
        for (let i = 0; i < 2; i++) await internal.updatePrivacySetting(request, acting);
        for (let i = 0; i < 2; i++) await client.updatePrivacySetting(request, own);
        for (const call of [
          () => client.updatePrivacySetting(request, own),
          () => internal.updatePrivacySetting(request, acting),
          () => client.blockUser({ userId: "nobody" }, own),
        ]) {
          const error = await failure(call());
          expect([error.code, reasonOf(error)]).to.eql([Code.ResourceExhausted, "RATE_LIMITED"]);
          const [info] = error.findDetails(RetryInfoSchema);
          expect(Number(info?.retryDelay?.seconds)).to.be.within(1, 60);
          expect(error.metadata.get("retry-after")).to.equal(String(info?.retryDelay?.seconds));
          expect(error.metadata.get("ratelimit")).to.match(/^"writes";r=0;t=\d+$/);
        }
        await client.getPrivacySettings({}, own);
        await internal.updatePrivacySetting(request, await service.acting(await newUser(service)));
      });

    it("use no slot while a rejection is delayed", async () => {
      const maxInFlight = { ...noInFlightLimits, publicCalls: 10 };
      const rates = { ...noRates, writesPerMinute: 1, writesBurst: 5 };
      const tight = await start(rates, undefined, { maxInFlight });
      const [greedy, other] = [await newUser(tight), await newUser(tight)];
      // The first look at a token takes a while, and a place; a token made in another second is another one.
      const [greedyToken, otherToken] = [await tight.userToken(greedy), await tight.userToken(other)];
      for (const token of [greedyToken, otherToken]) await tight.rest("GET", settings, { token });
      const statuses: number[] = [];
      let left = 40;
      const flood = Array.from({ length: left }, async () => {
        const { status } = await tight.rest("PATCH", settings, { token: greedyToken, ...change });
        left -= 1;
        statuses.push(status);
      });
      while (left > 0)
        expect((await tight.rest("GET", settings, { token: otherToken })).status).to.equal(200);
      await Promise.all(flood);
      const count = (status: number) => statuses.filter((one) => one === status).length;
      expect([count(200), count(429)]).to.eql([5, 35]);
    });

    it("are 200 at once by default", async () => {
      const usual = await start(readConfig({}).rates);
      const id = await newUser(usual);
      const answer = await usual.rest("PATCH", settings, { as: id, ...change });
      expect(answer.headers.get("ratelimit-policy")).to.equal('"writes";q=200;w=20');
      expect(answer.headers.get("ratelimit")).to.equal('"writes";r=199;t=1');
    });
  });

  describe("on calls in flight", () => {
    const blocked = "/api/v1/e-social/privacy-control/blocked";

    /** A service in which reading settings waits for `held`, with one such call of a user under way on each port. */
    async function startHeld(limits: Partial<typeof noInFlightLimits>) {
      const held = Promise.withResolvers<void>();
      let reading = 0;
      const maxInFlight = { ...noInFlightLimits, ...limits };
      const service = await startService(undefined, { maxInFlight }, async (options) => {
        const database = await openDatabase(options);
        const get = database.settings.get.bind(database.settings);
        database.settings.get = async (actor, signal) => {
          reading++;
          await held.promise;
          return get(actor, signal);
        };
        return database;
      });
      services.push(service);
      const internal = createClient(
        PrivacyControlService,
        createGrpcTransport({ baseUrl: service.internalUrl }),
      );
      const [one, other] = [await newUser(service), await newUser(service)];
      const begin = async (call: Promise<unknown>) => {
        for (const before = reading; reading === before; ) await new Promise(setImmediate);
        return { ended: call };
      };
      return { service, internal, one, other, begin, held };
    }

    it("count a user's calls over both ports together, and no other user's", async () => {
      const { service, internal, one, other, begin, held } = await startHeld({ perUser: 1 });
      const first = await begin(service.rest("GET", settings, { as: one }));
      const beyond = await service.rest("GET", blocked, { as: one });
      expect([beyond.status, beyond.headers.get("retry-after")]).to.eql([429, "1"]);
      const error = await failure(internal.listBlockedUsers({}, await service.acting(one)));
      expect([error.code, reasonOf(error)]).to.eql([Code.ResourceExhausted, "RATE_LIMITED"]);
      expect((await service.rest("GET", blocked, { as: other })).status).to.equal(200);
      await internal.listBlockedUsers({}, await service.acting(other));
      held.resolve();
      await first.ended;
      expect((await service.rest("GET", blocked, { as: one })).status).to.equal(200);
    });

    it("count a service's calls for all users together, and no user's own", async () => {
      const { service, internal, one, other, begin, held } = await startHeld({ perService: 1 });
      const first = await begin(internal.getPrivacySettings({}, await service.acting(one)));
      const error = await failure(internal.listBlockedUsers({}, await service.acting(other)));
      expect([error.code, reasonOf(error)]).to.eql([Code.ResourceExhausted, "RATE_LIMITED"]);
      expect((await service.rest("GET", blocked, { as: one })).status).to.equal(200);
      held.resolve();
      await first.ended;
      await internal.listBlockedUsers({}, await service.acting(other));
    });

    it("are four of a user by default", () => {
      expect(readConfig({}).maxInFlight).to.include({ perUser: 4, perService: 0 });
    });
  });

  describe("on the tokens that an address gets wrong", () => {
    const proxies = new BlockList();
    proxies.addAddress("127.0.0.1");
    let behind: TestService;
    let direct: TestService;
    before(async () => {
      direct = await start({ failedTokensPerMinute: 3 });
      behind = await start({ failedTokensPerMinute: 3, trustedProxies: proxies });
    });

    const bad = async (service: TestService, token: string, forwarded?: string) => {
      const headers = forwarded === undefined ? {} : { "x-forwarded-for": forwarded };
      return (await service.rest("GET", settings, { token, headers })).status;
    };

    it("answer 429 to the bad ones alone", async () => {
      const id = await newUser(direct);
      const expired = await direct.userToken(id, -1);
      const internal = await direct.serviceToken();
      const statuses = [];
      const forged = `${expired.slice(0, expired.lastIndexOf(".") + 1)}${"A".repeat(43)}`;
      for (const token of ["nonsense", forged, internal, "nonsense", forged, internal])
        statuses.push(await bad(direct, token));
      expect(statuses).to.eql([401, 401, 401, 429, 429, 429]);
      const refused = await direct.rest("GET", settings, { token: "nonsense" });
      expect(refused.json.error).to.equal("Too many requests");
      expect(Number(refused.headers.get("retry-after"))).to.be.within(1, 20);
      expect((await direct.rest("GET", settings, { as: id })).status).to.equal(200);
      expect((await direct.rest("GET", settings)).status).to.equal(401);
      for (const [, transport] of transports) {
        const options = { headers: { authorization: "nonsense" } };
        for (const url of [direct.publicUrl, direct.internalUrl]) {
          const client = createClient(PrivacyControlService, transport(url));
          expect((await failure(client.getPrivacySettings({}, options))).code).to.equal(
            Code.ResourceExhausted,
          );
        }
      }
      const own = { headers: { authorization: `Bearer ${await direct.userToken(id)}` } };
      for (const [, transport] of transports)
        await createClient(PrivacyControlService, transport(direct.publicUrl)).getPrivacySettings({}, own);
    });

    it("answer an expired token with 401, and do not count it", async () => {
      const service = await start({ failedTokensPerMinute: 3 });
      const expired = await service.userToken(await newUser(service), -1);
      const mixed = [];
      for (let i = 0; i < 10; i++) mixed.push(await bad(service, expired));
      for (let i = 0; i < 4; i++) mixed.push(await bad(service, "nonsense"));
      for (let i = 0; i < 10; i++) mixed.push(await bad(service, expired));
      expect(mixed).to.eql([...Array(10).fill(401), 401, 401, 401, 429, ...Array(10).fill(401)]);
      const { json } = await service.rest("GET", settings, { token: expired });
      expect(json.error).to.equal("Invalid or expired JWT token");
      for (const [, transport] of transports) {
        const client = createClient(PrivacyControlService, transport(service.publicUrl));
        const error = await failure(client.getPrivacySettings({}, { headers: { authorization: expired } }));
        expect([error.code, reasonOf(error)]).to.eql([Code.Unauthenticated, "TOKEN_EXPIRED"]);
      }
    });

    it("do not count a missing one", async () => {
      for (let i = 0; i < 10; i++) expect((await behind.rest("GET", settings)).status).to.equal(401);
      expect(await bad(behind, "nonsense")).to.equal(401);
    });

    it("use the address that a trusted proxy reports, and no other", async () => {
      const alone = await start({ failedTokensPerMinute: 3 });
      const spoofed = [];
      for (let i = 0; i < 6; i++) spoofed.push(await bad(alone, "nonsense", `192.0.2.${i}`));
      expect(spoofed).to.eql([401, 401, 401, 429, 429, 429]);
      const through = [];
      for (let i = 0; i < 6; i++) through.push(await bad(behind, "nonsense", `192.0.2.${i}, 198.51.100.1`));
      expect(through).to.eql([401, 401, 401, 429, 429, 429]);
      expect(await bad(behind, "nonsense", "198.51.100.2")).to.equal(401);
    });
  });

  it("on a service count its calls, and no other's", async () => {
    const service = await start({ serviceCallsPerMinute: 3 });
    const userId = await newUser(service);
    for (let i = 0; i < 2; i++) await service.graph.getUser({ userId }, await service.acting());
    const error = await failure(service.graph.getUser({ userId }, await service.acting()));
    expect([error.code, reasonOf(error)]).to.eql([Code.ResourceExhausted, "RATE_LIMITED"]);
    expect((await service.rest("GET", settings, { as: userId })).status).to.equal(200);
  });

  it("on a service count the calls that it may not make", async () => {
    const service = await start({ serviceCallsPerMinute: 3 });
    const headers = { authorization: `Bearer ${await service.serviceToken("access.read")}` };
    const reasons: (string | undefined)[] = [];
    for (let i = 0; i < 4; i++)
      reasons.push(reasonOf(await failure(service.graph.getUser({ userId: randomUUID() }, { headers }))));
    expect(reasons).to.eql(["SCOPE_MISSING", "SCOPE_MISSING", "SCOPE_MISSING", "RATE_LIMITED"]);
  });

  it("are counted by each instance on its own", async function () {
    const url = await postgresUrl();
    if (url === undefined) return this.skip();
    const rates = { ...fewWrites, writesBurst: 5 };
    const [one, other] = [await start(rates, url), await start(rates, url)];
    const user = await newUser(one);
    expect(await writeUntilRefused(one, user)).to.equal(5);
    expect(await writeUntilRefused(other, user)).to.equal(5);
  });
});
