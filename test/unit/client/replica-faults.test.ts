import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import { RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { PrivacyReplica, type ReplicaOptions, ReplicaStaleError } from "../../../src/client/replica.ts";
import { until } from "../../support/until.ts";
import { idOf } from "../graph/support.ts";
import { changesOf, FakeService } from "./fake-service.ts";

const [ann, bob] = [idOf(1), idOf(2)];
const query = { viewer: bob, owner: ann, interaction: "FOLLOW" } as const;
const users = [ann, bob].map(changesOf.user);

describe("a replica under faults", function () {
  this.timeout(30_000);
  let service: FakeService;
  let replica: PrivacyReplica;
  const clocks = { wall: Date.now, monotonic: performance.now };
  /** By how much the clocks of this machine and of the database are ahead. */
  let passedMs: number;

  beforeEach(() => {
    service = new FakeService();
    passedMs = 0;
    Date.now = () => clocks.wall() + passedMs;
    performance.now = () => clocks.monotonic.call(performance) + passedMs;
  });
  afterEach(async () => {
    await replica.close();
    Date.now = clocks.wall;
    performance.now = clocks.monotonic;
  });

  const open = (options: Partial<ReplicaOptions> = {}) => {
    replica = new PrivacyReplica({
      transport: service.transport,
      token: () => "token",
      heartbeatMs: 30_000,
      ...options,
    });
  };
  const opened = async (options?: Partial<ReplicaOptions>) => {
    open(options);
    const stream = await service.stream(1);
    stream.send({ changes: users, cursor: "loaded", complete: true, through: Date.now() });
    await replica.ready();
    return stream;
  };
  const anyAge = { maxStalenessMs: Number.MAX_VALUE };

  it("refuses while it has no state, whatever age is accepted", async () => {
    open();
    const infinite = { maxStalenessMs: Number.POSITIVE_INFINITY };
    expect(() => replica.check(query, infinite)).to.throw(ReplicaStaleError);
    expect(() => replica.filter(bob, [ann], "FOLLOW", infinite)).to.throw(ReplicaStaleError);
  });

  it("does not answer by half of the changes of a moment, of which one cannot be applied", async () => {
    const stream = await opened();
    stream.send({ changes: [changesOf.block(ann, bob)], cursor: "a", complete: true, through: Date.now() });
    await until(() => replica.check(query, anyAge).effect === "DENY");
    stream.send({
      changes: [changesOf.noBlock(ann, bob), changesOf.block("nobody", ann)],
      cursor: "b",
      complete: true,
      through: Date.now(),
    });
    await service.stream(2);
    expect(() => replica.check(query, anyAge)).to.throw(ReplicaStaleError);
  });

  it("does not end a wait by the time of a clock that was set back", async () => {
    await opened();
    service.now = () => Date.now() - 60_000;
    const ended = new AbortController();
    const wait = replica.waitFor("token", ended.signal).then(
      () => "has it",
      () => "failed",
    );
    await service.stream(2);
    ended.abort();
    expect(await wait).to.equal("failed");
  });

  it("knows how late a message came, however long the answer about the clock of the database took", async () => {
    service.now = () => {
      const shown = Date.now();
      passedMs += 3_000;
      return shown;
    };
    const stream = await opened();
    const through = Date.now() - 2_000;
    stream.send({ changes: [changesOf.block(ann, bob)], cursor: "a", complete: true, through });
    await until(() => replica.check(query, anyAge).effect === "DENY");
    expect(replica.metrics.ageMs).to.be.at.least(2_000);
  });

  it("gets older by signs of life of one time, also where the clock of the database was set forward", async () => {
    const stream = await opened();
    const through = Date.now() + 3_600_000;
    stream.send({ changes: [changesOf.block(ann, bob)], cursor: "a", complete: true, through });
    await until(() => replica.check(query, anyAge).effect === "DENY");
    passedMs = 5_000;
    stream.send({ changes: [changesOf.noBlock(ann, bob)], cursor: "b", complete: true, through });
    await until(() => replica.check(query, anyAge).effect === "ALLOW");
    expect(replica.metrics.ageMs).to.be.at.least(5_000);
  });

  it("closes at once in a listener of a failure", async () => {
    const stream = await opened();
    const closed = new Promise<void>((resolve) => {
      replica.on("failed", () => resolve(replica.close()));
    });
    stream.send(asksForPause(3_600n));
    await closed;
  });

  it("pauses for as long as a timer can, whatever it is asked for", async () => {
    const pauses: (number | undefined)[] = [];
    const { setTimeout: begin } = globalThis;
    globalThis.setTimeout = ((callback: () => void, ms?: number) => {
      pauses.push(ms);
      return begin(callback, ms);
    }) as typeof setTimeout;
    try {
      service.failure = asksForPause(10_000_000n);
      open();
      await until(() => pauses.includes(60_000));
    } finally {
      globalThis.setTimeout = begin;
    }
  });

  it("answers nothing from the moment on when it is closed", async () => {
    await opened();
    const closed = replica.close();
    expect(() => replica.check(query, anyAge)).to.throw("closed");
    await closed;
  });

  it("is ready also when a token never came", async () => {
    let calls = 0;
    open({
      token: () => {
        calls += 1;
        return calls === 2 ? new Promise(() => {}) : "token";
      },
    });
    const stream = await service.stream(1);
    await until(() => {
      stream.send({ changes: users, cursor: "loaded", complete: true, through: Date.now() });
      return replica.metrics.ageMs < 1_000;
    });
  });
});

function asksForPause(seconds: bigint): ConnectError {
  return new ConnectError("later", Code.Unavailable, undefined, [
    { desc: RetryInfoSchema, value: { retryDelay: { seconds } } },
  ]);
}
