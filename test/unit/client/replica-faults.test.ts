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

  beforeEach(() => {
    service = new FakeService();
  });
  afterEach(() => replica.close());

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
