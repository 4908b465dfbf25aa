import { expect } from "chai";
import { PrivacyReplica } from "../../../src/client/replica.ts";
import { until } from "../../support/until.ts";
import { idOf } from "../graph/support.ts";
import { changesOf, FakeService, type FakeStream } from "./fake-service.ts";

const [ann, bob, carol] = [idOf(1), idOf(2), idOf(3)];
const query = { viewer: bob, owner: ann, interaction: "FOLLOW" } as const;

describe("a replica that has a change already", function () {
  this.timeout(30_000);
  const clocks = { wall: Date.now, monotonic: performance.now };
  let service: FakeService;
  let replica: PrivacyReplica;
  /** By how much all clocks are ahead. */
  let passedMs: number;

  beforeEach(() => {
    service = new FakeService();
    passedMs = 0;
    Date.now = () => clocks.wall() + passedMs;
    performance.now = () => clocks.monotonic.call(performance) + passedMs;
    service.now = () => databaseNow();
  });
  afterEach(async () => {
    await replica.close();
    Date.now = clocks.wall;
    performance.now = clocks.monotonic;
  });

  const databaseNow = () => clocks.wall() + passedMs;
  const effect = () => replica.check(query, { maxStalenessMs: Number.MAX_VALUE }).effect;

  async function opened(): Promise<FakeStream> {
    // So long that no slow machine makes a stream look silent.
    replica = new PrivacyReplica({ transport: service.transport, token: () => "token", heartbeatMs: 30_000 });
    const stream = await service.stream(1);
    const users = [ann, bob].map(changesOf.user);
    // Earlier than all that is asked for, also within a millisecond.
    const through = databaseNow() - 1_000;
    stream.send({ changes: users, cursor: "after the snapshot", complete: true, through });
    await replica.ready();
    return stream;
  }

  it("waits for no sign of life when nothing came after its state", async () => {
    const stream = await opened();
    const asked: string[] = [];
    service.after = (cursor) => {
      asked.push(cursor);
      return { complete: true, through: databaseNow() };
    };
    stream.send({
      changes: [changesOf.block(bob, ann, databaseNow() + 60_000)],
      cursor: "a",
      complete: true,
      through: databaseNow(),
    });
    await until(() => effect() === "DENY");
    passedMs = 120_000;
    await replica.waitFor("token");
    expect(asked).to.eql(["a"]);
    expect(replica.metrics.ageMs).to.be.below(60_000);
    expect(effect()).to.equal("ALLOW");
    // What was sent before that does not take it back.
    const earlier = databaseNow() - 110_000;
    stream.send({ changes: [changesOf.user(carol)], cursor: "b", complete: true, through: earlier });
    await until(() => replica.metrics.users === 3);
    expect(effect()).to.equal("ALLOW");
  });

  for (const [what, answer] of Object.entries({
    "something came": () => ({ changes: [changesOf.user(carol)], complete: true, through: databaseNow() }),
    "it is told of a part of a moment": () => ({ complete: false, through: databaseNow() }),
    "the service does not know": () => ({ complete: true }),
  }))
    it(`waits for the stream when ${what}`, async () => {
      const stream = await opened();
      service.after = answer;
      let isOver = false;
      const waited = replica.waitFor("token").then(() => {
        isOver = true;
      });
      const before = databaseNow() - 1_000;
      stream.send({ changes: [changesOf.block(bob, ann)], cursor: "a", complete: true, through: before });
      await until(() => effect() === "DENY");
      expect(isOver).to.equal(false);
      await until(() => {
        stream.send({ cursor: "b", complete: true, through: databaseNow() });
        return isOver;
      });
      await waited;
    });

  it("takes no answer about a place that it has left", async () => {
    const stream = await opened();
    const { promise, resolve } = Promise.withResolvers<object>();
    const begun = Promise.withResolvers<void>();
    service.after = () => {
      begun.resolve();
      return promise;
    };
    let isOver = false;
    const waited = replica.waitFor("token").then(() => {
      isOver = true;
    });
    await begun.promise;
    const before = databaseNow() - 1_000;
    stream.send({ changes: [changesOf.block(bob, ann)], cursor: "a", complete: true, through: before });
    await until(() => effect() === "DENY");
    resolve({ complete: true, through: databaseNow() });
    // An answer to a later question comes after that one.
    await replica.waitFor("no token").catch(() => {});
    expect(isOver).to.equal(false);
    stream.send({ cursor: "a", complete: true, through: databaseNow() });
    await waited;
  });
});
