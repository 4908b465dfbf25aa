import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import { PrivacyReplica, type ReplicaOptions, ReplicaStaleError } from "../../../src/client/replica.ts";
import { until } from "../../support/until.ts";
import { idOf } from "../graph/support.ts";
import { changesOf, FakeService, failureOf, gone } from "./fake-service.ts";

const [ann, bob, carol] = [idOf(1), idOf(2), idOf(3)];
const users = [ann, bob].map(changesOf.user);
const query = { viewer: bob, owner: ann, interaction: "FOLLOW" } as const;
const anyAge = { maxStalenessMs: Number.MAX_VALUE };

describe("a replica", function () {
  this.timeout(30_000);
  let service: FakeService;
  let replica: PrivacyReplica;
  let events: string[];
  const clocks = { wall: Date.now, monotonic: performance.now };
  /** By how much both clocks of the process are ahead, and the wall clock alone. */
  let passedMs: number;
  let setByMs: number;

  beforeEach(() => {
    service = new FakeService();
    events = [];
    passedMs = 0;
    setByMs = 0;
    Date.now = () => clocks.wall() + passedMs + setByMs;
    performance.now = () => clocks.monotonic.call(performance) + passedMs;
    service.now = () => databaseNow();
  });
  afterEach(async () => {
    await replica.close();
    Date.now = clocks.wall;
    performance.now = clocks.monotonic;
  });

  /** An hour behind: nothing may depend on it. */
  const databaseNow = () => clocks.wall() + passedMs - 3_600_000;
  const open = (options: Partial<ReplicaOptions> = {}) => {
    replica = new PrivacyReplica({
      transport: service.transport,
      token: () => "token",
      // So long that no slow machine makes a stream look silent.
      heartbeatMs: 30_000,
      ...options,
    });
    for (const name of ["ready", "stale", "fresh", "reconnected", "reloaded", "failed"] as const)
      replica.on(name, () => events.push(name));
  };
  const snapshot = (changes = users) =>
    ({ changes, cursor: "after the snapshot", complete: true, through: databaseNow() }) as const;
  const opened = async (options?: Partial<ReplicaOptions>) => {
    open(options);
    const stream = await service.stream(1);
    stream.send(snapshot());
    await replica.ready();
    return stream;
  };
  const effect = () => replica.check(query, anyAge).effect;
  /** Sends signs of life until a condition is true: of a state that does not change. */
  const during = async (stream: { send(message: object): void }, condition: () => boolean) => {
    const through = databaseNow();
    await until(() => {
      stream.send({ cursor: "after the snapshot", complete: true, through });
      return condition();
    });
  };

  describe("that was never complete", () => {
    it("refuses, and asks the service where it may", async () => {
      open();
      const failure = await Promise.resolve()
        .then(() => replica.check(query, anyAge))
        .catch((reason) => reason);
      expect(failure).to.be.instanceOf(ReplicaStaleError);
      expect(failure).to.include({ ageMs: Number.POSITIVE_INFINITY, maxStalenessMs: Number.MAX_VALUE });
      expect(await replica.checkOrAsk(query)).to.deep.include({ effect: "HIDE", cause: "MUTING" });
      expect(await replica.filterOrAsk(bob, [ann, carol], "FOLLOW")).to.deep.include({ ownerIds: [ann] });
      expect(replica.metrics).to.include({
        refusedTotal: 3,
        askedTotal: 2,
        users: 0,
        loading: 1,
        connected: 0,
      });
    });

    it("refuses also where it could ask, when it is told so", async () => {
      open({ fallback: false });
      const failure = await replica.checkOrAsk(query).catch((reason) => reason);
      expect(failure).to.be.instanceOf(ReplicaStaleError);
      expect(service.questions).to.eql([]);
    });

    it("is not ready while it does not know the clock of the database", async () => {
      service.now = () => undefined;
      open();
      (await service.stream(1)).send(snapshot());
      await until(() => replica.metrics.users === 2);
      expect(replica.metrics.ageMs).to.equal(Number.POSITIVE_INFINITY);
      service.now = databaseNow;
      await during(service.streams[0] as never, () => replica.metrics.ageMs < 1_000);
      await replica.ready();
    });

    for (const code of [Code.Unauthenticated, Code.PermissionDenied])
      it(`tells those who wait of ${Code[code]}, and goes on trying with other tokens`, async () => {
        const given = ["old", "new"];
        service.failure = failureOf("TOKEN_EXPIRED", code);
        open({ token: () => given.shift() ?? "last" });
        const failure = await replica.ready().catch((reason) => reason);
        expect(failure).to.be.instanceOf(ConnectError).that.includes({ code });
        service.failure = undefined;
        const stream = await service.stream(1);
        expect(stream.authorization).to.not.equal("Bearer old");
        stream.send(snapshot());
        await replica.ready();
        expect(events.filter((name) => name !== "failed")).to.eql(["ready"]);
      });

    it("tells those who wait that it has no token", async () => {
      open({ token: () => Promise.reject(new Error("no token")) });
      expect(await replica.ready().catch(String)).to.equal("Error: no token");
    });

    it("waits on when the service is away, and logs it once", async () => {
      service.failure = gone();
      const lines: string[] = [];
      const note = (_: object, text: string) => lines.push(text);
      open({ log: { info: note, warn: note } });
      const ready = replica.ready();
      await until(() => replica.metrics.failuresTotal > 1);
      service.failure = undefined;
      (await service.stream(1)).send(snapshot());
      await ready;
      expect(lines).to.eql(["the replica cannot follow the service", "the replica is ready"]);
    });

    it("waits on when the service is silent", async () => {
      open({ heartbeatMs: 100 });
      const ready = replica.ready();
      (await service.stream(2)).send(snapshot());
      await ready;
      expect(events).to.include("failed");
    });

    it("goes on from the last page of its snapshot", async () => {
      open();
      const first = await service.stream(1);
      expect(first.request.start).to.eql({ case: "snapshot", value: true });
      first.send({ changes: users, cursor: "within the snapshot" }, gone());
      const second = await service.stream(2);
      expect(second.request.start).to.eql({ case: "cursor", value: "within the snapshot" });
      second.send(snapshot([changesOf.block(ann, bob)]));
      await replica.ready();
      expect(effect()).to.equal("DENY");
    });
  });

  describe("that is complete", () => {
    it("answers, with the age of the answer", async () => {
      await opened();
      const answer = replica.check(query);
      expect(answer).to.deep.include({ effect: "ALLOW", cause: null });
      expect(answer.ageMs).to.be.within(0, 5_000);
      passedMs = 700;
      expect(replica.check(query, anyAge).ageMs).to.be.at.least(answer.ageMs + 700);
    });

    it("reads ids in either case, and knows who is unknown from what is no id", async () => {
      await opened();
      for (const viewer of [bob, bob.toUpperCase()])
        expect(replica.check({ ...query, viewer, owner: ann.toUpperCase() }).effect).to.equal("ALLOW");
      expect(replica.check({ ...query, viewer: ann, owner: ann.toUpperCase() }).cause).to.equal("SELF");
      expect(replica.check({ ...query, owner: carol })).to.deep.include({
        effect: "DENY",
        cause: "UNKNOWN_USER",
      });
      expect(replica.filter(ann, [bob.toUpperCase(), carol, bob], "FOLLOW").ownerIds).to.eql([bob, bob]);
      expect(replica.check({ ...query, viewer: null }).cause).to.equal("SIGNED_OUT");
    });

    it("throws for what is no query", async () => {
      const stream = await opened();
      // It has decided about them, and a change made it forget whom it was asked about.
      replica.check(query, anyAge);
      stream.send({
        changes: [changesOf.user(carol)],
        cursor: "a",
        complete: true,
        through: databaseNow(),
      });
      await until(() => replica.metrics.users === 3);
      for (const [wrong, message] of [
        [{ viewer: undefined }, "the viewer is no UUID"],
        [{ viewer: "bob" }, "the viewer is no UUID"],
        [{ owner: `${ann} ` }, "the owner is no UUID"],
        [{ owner: undefined }, "the owner is no UUID"],
        [{ owner: null }, "the owner is no UUID"],
        [{ interaction: "toString" }, "there is no interaction toString"],
        [{ interaction: undefined }, "there is no interaction undefined"],
      ] as const)
        expect(() => replica.check({ ...query, ...wrong } as never)).to.throw(TypeError, message);
      expect(() => replica.filter(bob, ["ann"], "FOLLOW")).to.throw(TypeError, "the owner is no UUID");
      expect(() => replica.explain(bob, "ann")).to.throw(TypeError, "the owner is no UUID");
      expect(() => replica.check(query, { maxStalenessMs: Number.NaN })).to.throw(ReplicaStaleError);
    });

    it("explains as it decides", async () => {
      const stream = await opened();
      const ends = databaseNow() + 60_000;
      stream.send({
        changes: [changesOf.block(ann, bob, ends)],
        cursor: "a",
        complete: true,
        through: databaseNow(),
      });
      await until(() => effect() === "DENY");
      const { facts, decisions } = replica.explain(bob.toUpperCase(), ann, anyAge);
      expect(facts).to.deep.include({ viewerKnown: true, ownerKnown: true, blocking: null, muting: null });
      expect(facts.blockedBy?.scopes).to.equal(-1);
      expect(facts.settings?.status).to.eql({ audience: "all", excepted: false });
      for (const { interaction, effect, cause } of decisions)
        expect(replica.check({ ...query, interaction }, anyAge)).to.deep.include({ effect, cause });
      expect(replica.explain(null, carol, anyAge).facts).to.deep.include({
        ownerKnown: false,
        settings: null,
      });
    });

    it("asks the service when it is older than a call accepts, and says how old that answer is", async () => {
      const stream = await opened();
      passedMs = 60_000;
      await during(stream, () => replica.metrics.ageMs < 1_000);
      service.beforeDecision = () => {
        passedMs += 1_000;
      };
      const answer = await replica.checkOrAsk(query, { maxStalenessMs: 0 });
      expect(answer).to.deep.include({ effect: "HIDE", cause: "MUTING" });
      expect(answer.ageMs).to.be.at.least(1_000);
      expect(replica.metrics).to.include({ refusedTotal: 1, askedTotal: 1 });
    });

    it("waits for what a token names", async () => {
      const stream = await opened();
      const before = databaseNow() - 1_000;
      let isOver = false;
      const waited = replica.waitFor("token").then(() => {
        isOver = true;
      });
      stream.send({ changes: [changesOf.block(bob, ann)], cursor: "a", complete: true, through: before });
      await until(() => effect() === "DENY");
      expect(isOver).to.equal(false);
      await until(() => {
        stream.send({ cursor: "b", complete: true, through: databaseNow() });
        return isOver;
      });
      await waited;
    });

    it("fails to wait for what is no token, after a signal, and without an answer", async () => {
      await opened();
      const failure = await replica.waitFor("no token").catch((reason) => reason);
      expect(failure).to.be.instanceOf(ConnectError).that.includes({ code: Code.InvalidArgument });
      const ended = new AbortController();
      const waited = replica.waitFor("token", ended.signal).catch((reason) => reason);
      ended.abort("enough");
      expect(await waited).to.equal("enough");
      service.failure = gone();
      expect(await replica.waitFor("token").catch(({ code }) => code)).to.equal(Code.Unavailable);
    });
  });

  describe("that gets older", () => {
    it("refuses what accepts less, and tells once that it is stale and fresh", async () => {
      const stream = await opened({ maxStalenessMs: 2_000, heartbeatMs: 100 });
      passedMs = 3_000;
      expect(() => replica.check(query)).to.throw(ReplicaStaleError);
      expect(replica.check(query, { maxStalenessMs: 60_000 }).ageMs).to.be.at.least(3_000);
      const through = databaseNow() - 3_000;
      await until(() => {
        stream.send({ cursor: "a", complete: true, through });
        return events.includes("stale");
      });
      await until(() => {
        stream.send({ cursor: "a", complete: true, through: databaseNow() });
        return events.includes("fresh");
      });
      expect(events).to.eql(["ready", "stale", "fresh"]);
      expect(replica.check(query, { maxStalenessMs: 60_000 }).effect).to.equal("ALLOW");
    });

    it("counts the time while messages bring no later state", async () => {
      const stream = await opened();
      const through = databaseNow();
      passedMs = 4_000;
      stream.send({ changes: [changesOf.user(carol)], cursor: "a", complete: true, through });
      await until(() => replica.metrics.users === 3);
      passedMs = 8_000;
      stream.send({ changes: [changesOf.noUser(carol)], cursor: "b", complete: true, through });
      await until(() => replica.metrics.users === 2);
      expect(replica.metrics.ageMs).to.be.at.least(7_990);
    });

    it("does not look younger when the clock of this machine is set back", async () => {
      await opened();
      passedMs = 4_000;
      const before = replica.metrics.ageMs;
      setByMs = -3_600_000;
      expect(replica.metrics.ageMs).to.be.at.least(before);
    });

    it("counts the time for which the machine was suspended", async () => {
      await opened();
      setByMs = 60_000;
      // The wall clock has steps of a millisecond.
      expect(replica.metrics.ageMs).to.be.at.least(59_990);
    });

    it("counts from when a message came where the clock of the database was set forward", async () => {
      const stream = await opened();
      const changes = [changesOf.user(carol)];
      stream.send({ changes, cursor: "a", complete: true, through: databaseNow() + 600_000 });
      await until(() => replica.metrics.users === 3);
      passedMs = 5_000;
      expect(replica.metrics.ageMs).to.be.at.least(5_000);
    });

    it("looks at the clock of the database again soon when that took long", async () => {
      service.now = () => {
        passedMs += 1_000;
        return databaseNow();
      };
      const stream = await opened();
      service.now = databaseNow;
      expect(replica.metrics.ageMs).to.be.at.least(990);
      passedMs += 5_000;
      await until(() => {
        stream.send({ cursor: "a", complete: true, through: databaseNow() });
        return replica.metrics.ageMs < 900;
      });
    });

    it("begins another stream when the clock of the database was set back", async () => {
      const stream = await opened();
      service.now = () => databaseNow() - 600_000;
      passedMs = 61_000;
      stream.send({ cursor: "a", complete: true, through: databaseNow() });
      const second = await service.stream(2);
      second.send({ cursor: "a", complete: true, through: databaseNow() - 600_000 });
      await until(() => replica.metrics.ageMs < 5_000);
    });
  });

  describe("that was cut off", () => {
    it("resumes after the last message", async () => {
      const stream = await opened();
      stream.send(
        { changes: [changesOf.block(ann, bob)], cursor: "a", complete: true, through: databaseNow() },
        gone(),
      );
      const second = await service.stream(2);
      expect(second.request.start).to.eql({ case: "cursor", value: "a" });
      expect(effect()).to.equal("DENY");
      second.send({ cursor: "a", complete: true, through: databaseNow() });
      await until(() => events.includes("reconnected"));
      expect(replica.metrics).to.include({ reconnectsTotal: 1, reloadsTotal: 0, connected: 1 });
    });

    it("resumes when a stream brings nothing", async () => {
      const stream = await opened({ heartbeatMs: 100 });
      await service.stream(2);
      expect(stream.isOpen).to.equal(false);
    });

    for (const reason of ["CURSOR_EXPIRED", "HISTORY_CHANGED", "INVALID_CURSOR"])
      it(`loads another copy after ${reason}, and answers from the old one meanwhile`, async () => {
        const stream = await opened();
        stream.send({
          changes: [changesOf.block(ann, bob)],
          cursor: "a",
          complete: true,
          through: databaseNow(),
        });
        await until(() => effect() === "DENY");
        stream.send(failureOf(reason, Code.OutOfRange));
        const second = await service.stream(2);
        expect(second.request.start.case).to.equal("snapshot");
        second.send({ changes: users, cursor: "b" });
        await until(() => replica.metrics.changesTotal === 5);
        expect(effect()).to.equal("DENY");
        expect(replica.metrics).to.include({ loading: 1, reloadsTotal: 0 });
        second.send({ cursor: "c", complete: true, through: databaseNow() });
        await until(() => events.includes("reloaded"));
        expect(effect()).to.equal("ALLOW");
        second.send(gone());
        expect((await service.stream(3)).request.start).to.eql({ case: "cursor", value: "c" });
      });

    it("loads another copy when a change cannot be applied", async () => {
      const stream = await opened();
      stream.send({
        changes: [changesOf.block("nobody", ann)],
        cursor: "a",
        complete: true,
        through: databaseNow(),
      });
      const second = await service.stream(2);
      expect(stream.isOpen).to.equal(false);
      expect(second.request.start.case).to.equal("snapshot");
      second.send(snapshot());
      await until(() => events.includes("reloaded"));
      expect(effect()).to.equal("ALLOW");
    });
  });

  it("follows no follows when it is told so, and asks the service for what depends on them", async () => {
    const stream = await opened({ keepsFollows: false });
    expect(stream.request.kinds).to.have.length(5);
    stream.send({
      changes: [changesOf.statusOfContacts(ann)],
      cursor: "a",
      complete: true,
      through: databaseNow(),
    });
    await until(() => replica.metrics.changesTotal === 3);
    const status = { ...query, interaction: "VIEW_STATUS" } as const;
    expect(() => replica.check(status, anyAge)).to.throw("depends on follows");
    expect(() => replica.explain(bob, ann, anyAge)).to.throw("depends on follows");
    expect((await replica.checkOrAsk(status)).effect).to.equal("HIDE");
    expect(effect()).to.equal("ALLOW");
  });

  it("ends everything when it is closed", async () => {
    const stream = await opened();
    const waiting = [replica.waitFor("token"), new Promise((resolve) => setTimeout(resolve))];
    const waited = (waiting[0] as Promise<void>).catch(({ name }) => name);
    await replica.close();
    expect(await waited).to.equal("ReplicaClosedError");
    await until(() => !stream.isOpen);
    for (const call of [
      () => replica.ready(),
      () => replica.waitFor("token"),
      () => replica.checkOrAsk(query, anyAge),
      async () => replica.check(query, anyAge),
    ])
      expect(await call().catch(({ name }) => name)).to.equal("ReplicaClosedError");
  });

  for (const wrong of [{ maxStalenessMs: -1 }, { maxStalenessMs: Number.NaN }, { heartbeatMs: 10 }])
    it(`is not made with ${JSON.stringify(wrong)}`, async () => {
      expect(() => open(wrong)).to.throw(RangeError);
      open();
    });

  for (const missing of ["transport", "token"])
    it(`is not made without a ${missing}`, async () => {
      expect(() => open({ [missing]: undefined })).to.throw(TypeError, missing);
      open();
    });

  it("says in a refusal how old it is", async () => {
    open();
    expect(() => replica.check(query)).to.throw("the replica has no copy, and may be 5000 ms old");
    expect(new ReplicaStaleError(2_347.36, 2_000).message).to.equal(
      "the replica is 2348 ms old, and may be 2000 ms old",
    );
  });
});
