import { getEventListeners } from "node:events";
import { expect } from "chai";
import fc from "fast-check";
import { type BatchLimits, CheckBatcher, checkBatchLimits } from "../../../src/service/check-batcher.ts";

/** A batch that was sent, for the test to answer. */
interface Sent {
  readonly queries: readonly string[];
  readonly signal: AbortSignal;
  answer(): Promise<void>;
  answerWith(results: string[]): Promise<void>;
  fail(reason: unknown): Promise<void>;
}

const resultOf = (query: string) => `result of ${query}`;
const never = new AbortController().signal;
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A batcher of strings, and the batches that it sent. */
function start(limits: Partial<BatchLimits> = {}) {
  const sent: Sent[] = [];
  const sizes: number[] = [];
  const batcher = new CheckBatcher<string, string>(
    (queries, signal) => {
      const { promise, resolve, reject } = Promise.withResolvers<string[]>();
      const answerWith = (results: string[]) => {
        resolve(results);
        return turn();
      };
      const fail = (reason: unknown) => {
        reject(reason);
        return turn();
      };
      sent.push({ queries, signal, answer: () => answerWith(queries.map(resultOf)), answerWith, fail });
      return promise;
    },
    {
      ...{ batchSize: 1_000, largeCallQuota: 250, concurrency: 4, maxPending: 20_000 },
      ...limits,
    },
    { onSend: (queries) => sizes.push(queries) },
  );
  return {
    sent,
    sizes,
    batcher,
    load: (queries: string[], signal = never) => batcher.load(queries, signal),
  };
}

/** The outcome of a promise so far. */
function watch(promise: Promise<unknown>): { state: unknown } {
  const seen: { state: unknown } = { state: "waits" };
  promise.then(
    (value) => {
      seen.state = value;
    },
    (reason: unknown) => {
      seen.state = { reason };
    },
  );
  return seen;
}

const many = (count: number, name = "q") => Array.from({ length: count }, (_, i) => `${name}${i}`);
const queriesOf = (sent: readonly Sent[]) => sent.map(({ queries }) => queries.join(" "));

describe("the check batcher", () => {
  it("refuses a call when too many queries are pending, not counting those sent or cancelled", async () => {
    const { sent, batcher, load } = start({ batchSize: 2, largeCallQuota: 2, concurrency: 1, maxPending: 4 });
    const controller = new AbortController();
    const first = watch(load(["a", "b"]));
    const cancelled = watch(load(["c", "d", "e"], controller.signal));
    const last = watch(load(["f"]));
    expect(batcher.isFull).to.equal(true);
    const refused = watch(load(["g"]));
    await turn();
    expect(refused.state).to.have.nested.property("reason.reason", "OVERLOADED");
    controller.abort("cancelled");
    await turn();
    expect(cancelled.state).to.eql({ reason: "cancelled" });
    expect(batcher.isFull).to.equal(false);
    const taken = watch(load(["h", "i", "j"]));
    await sent[0]?.answer();
    await sent[1]?.answer();
    await sent[2]?.answer();
    expect(queriesOf(sent)).to.eql(["a b", "h i", "f j"]);
    for (const { state } of [first, last, taken]) expect(state).to.be.an("array");
    for (let i = 0; i < 4; i++) void load([`k${i}`]);
    expect(watch(load(["l"])).state).to.equal("waits");
  });

  it("accepts a burst of 300 calls of 100 queries, and counts what is pending", async () => {
    const { sent, batcher, load } = start(checkBatchLimits);
    const calls = Array.from({ length: 300 }, (_, i) => watch(load(many(100, `${i} `))));
    await turn();
    expect(batcher.pendingQueries).to.equal(
      300 * 100 - sent.reduce((sum, { queries }) => sum + queries.length, 0),
    );
    for (let i = 0; i < sent.length; i++) await sent[i]?.answer();
    for (let i = 0; i < 10; i++) await turn();
    expect(calls.map(({ state }) => Array.isArray(state))).to.not.include(false);
    expect(batcher.pendingQueries).to.equal(0);
  });

  it("sends a call at once when no batch is running", () => {
    const { sent, load } = start();
    void load(["a"]);
    expect(queriesOf(sent)).to.eql(["a"]);
  });

  it("answers a call without queries without a batch", async () => {
    const { sent, load } = start();
    expect(await load([])).to.eql([]);
    expect(sent).to.eql([]);
  });

  it("puts the calls of one turn into one batch", async () => {
    const { sent, load } = start();
    const calls = [load(["a"]), load(["b"]), load(["c", "d"]), load(["b"])];
    await turn();
    expect(queriesOf(sent)).to.eql(["a", "b c d b"]);
    for (const batch of sent) await batch.answer();
    expect(await Promise.all(calls)).to.eql([
      ["result of a"],
      ["result of b"],
      ["result of c", "result of d"],
      ["result of b"],
    ]);
  });

  it("never adds a query to a running batch, and caches nothing", async () => {
    const { sent, load } = start();
    const first = load(["a"]);
    const second = load(["a"]);
    await turn();
    const third = load(["a"]);
    await turn();
    expect(queriesOf(sent)).to.eql(["a", "a", "a"]);
    await sent[0]?.answerWith(["old"]);
    await sent[2]?.answerWith(["new"]);
    await sent[1]?.answerWith(["middle"]);
    expect([await first, await second, await third]).to.eql([["old"], ["middle"], ["new"]]);
    void load(["a"]);
    expect(sent).to.have.length(4);
  });

  it("runs at most as many batches at once as allowed, and sends the next when one ends", async () => {
    const { sent, load } = start({ concurrency: 2 });
    for (const query of ["a", "b", "c", "d"]) {
      void load([query]);
      await turn();
    }
    expect(queriesOf(sent)).to.eql(["a", "b"]);
    await sent[1]?.answer();
    expect(queriesOf(sent)).to.eql(["a", "b", "c d"]);
  });

  it("reports the size of each batch, and what is waiting and running", async () => {
    const { sent, sizes, batcher, load } = start({ concurrency: 1 });
    const calls = [load(["a"]), load(["b", "c"]), load(["d"])];
    await turn();
    expect([sizes, batcher.waiting, batcher.inFlight]).to.eql([[1], 2, 1]);
    await sent[0]?.answer();
    expect([sizes, batcher.waiting, batcher.inFlight]).to.eql([[1, 3], 0, 1]);
    await sent[1]?.answer();
    await Promise.all(calls);
    expect(batcher.inFlight).to.equal(0);
  });

  it("splits a call that is larger than a batch", async () => {
    const { sent, load } = start({ batchSize: 10, largeCallQuota: 4, concurrency: 2 });
    void load(many(25));
    await turn();
    expect(sent.map(({ queries }) => queries.length)).to.eql([10, 10]);
    await sent[0]?.answer();
    expect(queriesOf(sent.slice(2))).to.eql([many(25).slice(20).join(" ")]);
  });

  it("sends a single query with the next batch, however many large calls wait", async () => {
    const { sent, load } = start({ concurrency: 1 });
    void load(["running"]);
    for (let i = 0; i < 9; i++) void load(many(1_000, `batch ${i} `));
    const single = watch(load(["single"]));
    await sent[0]?.answer();
    expect(sent[1]?.queries).to.include("single").and.to.have.length(1_000);
    await sent[1]?.answer();
    expect(single.state).to.eql(["result of single"]);
  });

  it("finishes the oldest large call first", async () => {
    const { sent, load } = start({ batchSize: 4, largeCallQuota: 2, concurrency: 1 });
    void load(["first"]);
    void load(many(5, "a"));
    void load(many(4, "b"));
    void load(many(2, "c"));
    for (let i = 0; i < 4; i++) await sent[i]?.answer();
    expect(queriesOf(sent)).to.eql(["first", "c0 c1 a0 a1", "a2 a3 a4 b0", "b1 b2 b3"]);
  });

  it("makes progress with a large call, however many small ones arrive", async () => {
    const { sent, load } = start({ batchSize: 4, largeCallQuota: 2, concurrency: 1 });
    void load(["first"]);
    const large = watch(load(many(6, "a")));
    for (let i = 0; i < 3; i++) {
      void load(many(2, `b${i} `));
      void load(many(2, `c${i} `));
      await sent[i]?.answer();
    }
    await sent[3]?.answer();
    expect(large.state).to.have.length(6);
  });

  it("handles other events between results of many calls", async () => {
    const { sent, load } = start({ largeCallQuota: 1_000 });
    void load(["running"]);
    const calls = [many(200, "a"), many(100, "b"), many(400, "c"), ["d"]].map((asked) => ({
      asked,
      seen: watch(load(asked)),
    }));
    await turn();
    const answered = () => calls.filter(({ seen }) => seen.state !== "waits").length;
    const counts = [];
    await sent[1]?.answer();
    for (; answered() < calls.length; await turn()) counts.push(answered());
    expect(counts).to.eql([2, 3]);
    for (const { asked, seen } of calls) expect(seen.state).to.eql(asked.map(resultOf));
  });

  describe("a call that is cancelled", () => {
    const reason = new Error("cancelled");

    it("before it starts rejects with the reason, and nothing is sent", async () => {
      const { sent, load } = start();
      const call = watch(load(["a"], AbortSignal.abort(reason)));
      await turn();
      expect(call.state).to.eql({ reason });
      expect(sent).to.eql([]);
    });

    it("while it waits is left out of the next batch", async () => {
      const { sent, load } = start({ concurrency: 1 });
      void load(["a"]);
      const controller = new AbortController();
      const cancelled = watch(load(["b"], controller.signal));
      const stays = watch(load(["c"]));
      controller.abort(reason);
      await Promise.resolve();
      expect(cancelled.state).to.eql({ reason });
      await sent[0]?.answer();
      await sent[1]?.answer();
      expect(queriesOf(sent)).to.eql(["a", "c"]);
      expect(stays.state).to.eql(["result of c"]);
    });

    it("while its batch runs does not affect the other calls of the batch", async () => {
      const { sent, load } = start();
      void load(["a"]);
      const controller = new AbortController();
      const cancelled = watch(load(["b"], controller.signal));
      const stays = watch(load(["c"]));
      await turn();
      controller.abort(reason);
      await Promise.resolve();
      expect(cancelled.state).to.eql({ reason });
      expect(sent[1]?.signal.aborted).to.equal(false);
      await sent[1]?.answer();
      expect(stays.state).to.eql(["result of c"]);
      expect(cancelled.state).to.eql({ reason });
    });

    it("cancels a batch only when no other call waits for it", async () => {
      const { sent, load } = start();
      const alone = watch(load(["a"]));
      const controller = [new AbortController(), new AbortController()];
      for (const { signal } of controller) watch(load(["b"], signal));
      await turn();
      controller[0]?.abort(reason);
      expect(sent[1]?.signal.aborted).to.equal(false);
      controller[1]?.abort(reason);
      expect(sent.map(({ signal }) => signal.aborted)).to.eql([false, true]);
      await sent[1]?.fail(new Error("cancelled"));
      await sent[0]?.answer();
      expect(alone.state).to.eql(["result of a"]);
    });

    it("cancels every batch that it was alone in, and sends no more", async () => {
      const { sent, load } = start({ batchSize: 2, largeCallQuota: 2, concurrency: 2 });
      const controller = new AbortController();
      watch(load(many(6), controller.signal));
      controller.abort(reason);
      expect(sent.map(({ signal }) => signal.aborted)).to.eql([true, true]);
      for (const batch of [...sent]) await batch.fail(new Error("cancelled"));
      expect(sent).to.have.length(2);
    });

    it("after it was answered changes nothing", async () => {
      const { sent, load } = start();
      const controller = new AbortController();
      const call = watch(load(["a"], controller.signal));
      await sent[0]?.answer();
      controller.abort(reason);
      expect(call.state).to.eql(["result of a"]);
      expect(sent[0]?.signal.aborted).to.equal(false);
    });
  });

  describe("a batch that fails", () => {
    const failure = new Error("no connection");

    it("fails all of its calls and no others, and the next calls work", async () => {
      const { sent, load } = start();
      const before = watch(load(["a"]));
      const together = [watch(load(["b"])), watch(load(["c", "d"]))];
      await turn();
      await sent[1]?.fail(failure);
      expect(together.map(({ state }) => state)).to.eql([{ reason: failure }, { reason: failure }]);
      expect(before.state).to.equal("waits");
      const after = watch(load(["e"]));
      await turn();
      await sent[0]?.answer();
      await sent[2]?.answer();
      expect([before.state, after.state]).to.eql([["result of a"], ["result of e"]]);
    });

    it("synchronously fails its calls too", async () => {
      const broken = new CheckBatcher<string, string>(
        () => {
          throw failure;
        },
        { batchSize: 10, largeCallQuota: 10, concurrency: 1, maxPending: 1_000 },
      );
      const calls = ["a", "b"].map((query) => watch(broken.load([query], never)));
      await turn();
      expect(calls.map(({ state }) => state)).to.eql([{ reason: failure }, { reason: failure }]);
    });

    it("fails a call whose other batches succeed, and cancels those that no other call needs", async () => {
      const { sent, load } = start({ batchSize: 2, largeCallQuota: 2, concurrency: 2 });
      const call = watch(load(many(6)));
      await sent[1]?.fail(failure);
      expect(call.state).to.eql({ reason: failure });
      expect(sent[0]?.signal.aborted).to.equal(true);
      expect(sent).to.have.length(2);
    });

    it("is one with another number of results than queries", async () => {
      for (const results of [[], ["result of a"], ["result of a", "result of b", "result of c"]]) {
        const { sent, load } = start();
        const call = watch(load(["a", "b"]));
        await sent[0]?.answerWith(results);
        expect(call.state).to.have.property("reason").that.is.instanceOf(Error);
      }
    });
  });

  it("cancelAfter no listener on a signal", async () => {
    const { sent, load } = start();
    const { signal } = new AbortController();
    const controller = new AbortController();
    const calls = [load(["a"], signal), load(["b"], signal), load(["c"], controller.signal)].map(watch);
    await turn();
    expect(getEventListeners(signal, "abort")).to.have.length(2);
    controller.abort();
    await sent[0]?.answer();
    await sent[1]?.fail(new Error("no connection"));
    expect(calls.map(({ state }) => state)).to.not.include("waits");
    for (const one of [signal, controller.signal]) expect(getEventListeners(one, "abort")).to.eql([]);
  });

  it("answers every call with its own results, in order, whichever calls arrive, are cancelled or fail", async () => {
    const caller = fc.record({
      size: fc.integer({ min: 0, max: 12 }),
      /** Whether the next call arrives in another turn. */
      newTurn: fc.boolean(),
      cancelAfter: fc.option(fc.nat(20), { freq: 4 }),
    });
    const limits = fc.record({
      batchSize: fc.integer({ min: 1, max: 8 }),
      largeCallQuota: fc.integer({ min: 1, max: 8 }),
      concurrency: fc.integer({ min: 1, max: 3 }),
    });
    const often = fc.constantFrom(false, false, false, false, true);
    await fc.assert(
      fc.asyncProperty(
        fc.array(caller, { maxLength: 12 }),
        limits,
        fc.array(fc.record({ which: fc.nat(20), fails: often }), { maxLength: 60 }),
        async (callers, limits, ends) => {
          const { sent, load } = start(limits);
          const failure = new Error("no connection");
          const ended = new Set<Sent>();
          const failed = new Set<string>();
          const calls: { asked: string[]; seen: { state: unknown }; cancelled: boolean }[] = [];
          const cancellations: { at: number; cancel: () => void }[] = [];

          const running = () => sent.filter((batch) => !ended.has(batch));
          const endOne = async ({ which, fails }: { which: number; fails: boolean }) => {
            const open = running();
            const batch = open[which % open.length];
            if (batch === undefined) return;
            ended.add(batch);
            if (fails) for (const query of batch.queries) failed.add(query);
            await (fails ? batch.fail(failure) : batch.answer());
          };
          /** Ends one batch, and cancels the calls that are due. */
          const pass = async (moment: number) => {
            await endOne(ends[moment] ?? { which: 0, fails: false });
            for (const { at, cancel } of cancellations) if (at === moment) cancel();
            expect(running()).to.have.length.at.most(limits.concurrency);
          };

          for (const [i, { size, newTurn, cancelAfter }] of callers.entries()) {
            const controller = new AbortController();
            const asked = many(size, `${i}-`);
            const call = { asked, seen: watch(load(asked, controller.signal)), cancelled: false };
            calls.push(call);
            const cancel = () => {
              call.cancelled = call.seen.state === "waits";
              controller.abort("cancelled");
            };
            if (cancelAfter !== null) cancellations.push({ at: i + cancelAfter, cancel });
            if (newTurn) await pass(i);
          }
          await turn();
          for (let moment = callers.length; running().length > 0; moment++) await pass(moment);

          for (const { asked, seen, cancelled } of calls) {
            if (cancelled) expect(seen.state).to.eql({ reason: "cancelled" });
            else if (asked.some((query) => failed.has(query))) expect(seen.state).to.eql({ reason: failure });
            else expect(seen.state).to.eql(asked.map(resultOf));
          }
          for (const { queries } of sent) expect(queries).to.have.length.within(1, limits.batchSize);
          const all = sent.flatMap(({ queries }) => queries);
          expect(new Set(all).size).to.equal(all.length);
        },
      ),
      { numRuns: 300 },
    );
  });
});
