import { expect } from "chai";
import pino from "pino";
import type { Change } from "../../../src/domain/changes.ts";
import { GraphFollower, type GraphSource } from "../../../src/service/graph-follower.ts";
import type { Tick } from "../../../src/store/change-log.ts";
import type { IndexRead } from "../../../src/store/read-index.ts";
import { changes, idOf } from "../graph/support.ts";

const server = 1n;
const { signal } = new AbortController();
const [viewer, owner] = [idOf(1), idOf(2)];

const tickOf = (id: bigint, next: number): Tick => ({
  id,
  nonce: `nonce ${id}`,
  snapshot: `${next}:${next}:`,
  at: id,
  server,
});

const readOf = (next: number, made: readonly [xid: bigint, Change][] | undefined): IndexRead => ({
  snapshot: `${next}:${next}:`,
  state: { kind: "state", server, snapshot: { next: BigInt(next), running: [] } },
  now: 0,
  changes: made?.map(([xid, change]) => ({ xid, change })),
});

/** A database that answers what a test says next. */
class Answers {
  ticks: Tick[] = [];
  batch: Change[] = [];
  read: IndexRead | undefined;
  run = 1n;
  #session = 0;

  readonly source = {
    changes: {
      newestTick: async () => tickOf(1n, 100),
      tick: async () => tickOf(2n, 100),
      ticksAfter: async ({ id }: Tick) => ({ ticks: this.ticks.filter((tick) => tick.id > id) }),
      read: async () => this.batch,
    },
    readIndex: {
      serverRun: async () => this.run,
      begin: async () => `session ${this.#session++}`,
      read: async () => this.read,
    },
    pages: { read: async () => ({ table: "users", rows: 0, data: new Uint8Array(), next: undefined }) },
    log: pino({ level: "silent" }),
  } as unknown as GraphSource;
}

describe("a follower of the change log", () => {
  let answers: Answers;
  let follower: GraphFollower;
  const effect = () => follower.journal.graph.decide({ viewer, owner, interaction: "MENTION" }, 0)?.effect;
  const catchUp = () => follower.catchUp(() => {}, signal);

  beforeEach(async () => {
    answers = new Answers();
    answers.batch = [changes.user(viewer), changes.user(owner)];
    answers.read = readOf(100, []);
    follower = await GraphFollower.load(
      answers.source,
      { maxBytes: Number.POSITIVE_INFINITY, keepsFollows: true },
      signal,
    );
    answers.batch = [];
    await catchUp();
  });

  it("takes back what a lost session showed after the ticks that it has replayed", async () => {
    follower.apply(readOf(102, [[101n, changes.edge("block", viewer, owner)]]));
    expect(effect()).to.equal("DENY");
    // Too many changes at once: the session goes on, and the tick does not see the block.
    answers.ticks = [tickOf(3n, 101)];
    answers.read = readOf(102, [[101n, changes.edge("block", viewer, owner)]]);
    await catchUp();
    expect(effect()).to.equal("DENY");
    follower.endSession();
    answers.read = readOf(101, []);
    await catchUp();
    expect(effect()).to.equal("ALLOW");
  });

  it("does not settle what a session showed by ticks that the session has not outlived", async () => {
    follower.apply(readOf(102, [[101n, changes.edge("block", viewer, owner)]]));
    // The server has crashed, and another transaction has the id.
    answers.ticks = [tickOf(3n, 102)];
    answers.read = undefined;
    expect(await catchUp().catch(String)).to.include("session");
    answers.read = readOf(102, []);
    await catchUp();
    expect(effect()).to.equal("ALLOW");
  });

  it("keeps an erasure that a lost session showed, unless the server has crashed", async () => {
    const erase = async (next: number) => {
      follower.apply(readOf(next, [[BigInt(next - 1), changes.user(owner, false)]]));
      follower.endSession();
      answers.read = readOf(next, []);
    };
    await erase(102);
    await catchUp();
    expect(follower.journal.graph.decide({ viewer, owner, interaction: "MENTION" }, 0)?.cause).to.equal(
      "UNKNOWN_USER",
    );
    // Between two attempts to catch up, too.
    follower.endSession();
    answers.run = 2n;
    answers.read = undefined;
    for (let attempt = 0; attempt < 2; attempt++)
      expect(await catchUp().catch(String)).to.include("cannot be taken back");
  });

  it("settles what a tick of the session sees", async () => {
    const block = changes.edge("block", viewer, owner);
    const read = readOf(102, [[101n, block]]);
    follower.apply(read);
    follower.settle({ read, sentAt: 0, tick: tickOf(3n, 102) });
    follower.endSession();
    answers.ticks = [];
    answers.read = readOf(102, []);
    await catchUp();
    expect(effect()).to.equal("DENY");
  });

  it("does not settle what a tick does not see, or of another server", async () => {
    for (const tick of [tickOf(3n, 101), { ...tickOf(3n, 102), server: 2n }]) {
      const read = readOf(102, [[101n, changes.edge("block", viewer, owner)]]);
      follower.apply(read);
      follower.settle({ read, sentAt: 0, tick });
      follower.endSession();
      answers.read = readOf(101, []);
      await catchUp();
      expect(effect()).to.equal("ALLOW");
    }
  });
});
