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
      ...{ batchSize: 10, largeCalls: 2, maxPending: 20_000 },
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
  it("refuses a call when too many queries are pending, not counting those answered or cancelled", async () => {
    const { sent, batcher, load } = start({ maxPending: 4 });
    const controller = new AbortController();
    const first = watch(load(["a", "b"]));
    const cancelled = watch(load(["c", "d", "e"], controller.signal));
    expect(batcher.isFull).to.equal(true);
    const refused = watch(load(["f"]));
    await turn();
    expect(refused.state).to.have.nested.property("reason.reason", "OVERLOADED");
    controller.abort("cancelled");
    await turn();
    expect(cancelled.state).to.eql({ reason: "cancelled" });
    expect(batcher.isFull).to.equal(false);
    const taken = watch(load(["g", "h"]));
    expect(batcher.isFull).to.equal(true);
    await sent[0]?.answer();
    expect(batcher.isFull).to.equal(false);
    await sent[1]?.answer();
    expect(queriesOf(sent)).to.eql(["a b", "g h"]);
    expect([first.state, taken.state]).to.eql([
      ["result of a", "result of b"],
      ["result of g", "result of h"],
    ]);
  });

  it("accepts a burst of 300 calls of 100 queries", async () => {
    const { sent, batcher, load } = start(checkBatchLimits);
    const calls = Array.from({ length: 300 }, (_, i) => watch(load(many(100, `${i} `))));
    for (let i = 0; i < sent.length; i++) await sent[i]?.answer();
    expect(calls.map(({ state }) => Array.isArray(state))).to.not.include(false);
    expect(batcher.waiting).to.equal(0);
  });

  it("sends a call at once when no statement is running", () => {
    const { sent, load } = start();
    void load(["a"]);
    expect(queriesOf(sent)).to.eql(["a"]);
  });

  it("answers a call without queries without a statement", async () => {
    const { sent, load } = start();
    expect(await load([])).to.eql([]);
    expect(sent).to.eql([]);
  });

  it("sends the calls that arrive while a statement is running by one statement", async () => {
    const { sent, load } = start();
    const calls = [load(["a"]), load(["b"])];
    await turn();
    calls.push(load(["c", "d"]), load(["b"]));
    expect(queriesOf(sent)).to.eql(["a"]);
    await sent[0]?.answer();
    expect(queriesOf(sent)).to.eql(["a", "b c d b"]);
    await sent[1]?.answer();
    expect(await Promise.all(calls)).to.eql([
      ["result of a"],
      ["result of b"],
      ["result of c", "result of d"],
      ["result of b"],
    ]);
  });

  it("never adds a query to a running statement, and caches nothing", async () => {
    const { sent, load } = start();
    const first = load(["a"]);
    const second = load(["a"]);
    expect(queriesOf(sent)).to.eql(["a"]);
    await sent[0]?.answerWith(["old"]);
    const third = load(["a"]);
    expect(queriesOf(sent)).to.eql(["a", "a"]);
    await sent[1]?.answerWith(["middle"]);
    await sent[2]?.answerWith(["new"]);
    expect([await first, await second, await third]).to.eql([["old"], ["middle"], ["new"]]);
    void load(["a"]);
    expect(sent).to.have.length(4);
  });

  it("reports the size of each statement, and how many calls wait", async () => {
    const { sent, sizes, batcher, load } = start();
    const calls = [load(["a"]), load(["b", "c"]), load(["d"])];
    expect([sizes, batcher.waiting]).to.eql([[1], 2]);
    await sent[0]?.answer();
    expect([sizes, batcher.waiting]).to.eql([[1, 3], 0]);
    await sent[1]?.answer();
    await Promise.all(calls);
  });

  it("sends the calls that have waited longest first, as many as fit", async () => {
    const { sent, load } = start({ batchSize: 4 });
    void load(["first"]);
    for (const [size, name] of [
      [2, "a"],
      [1, "b"],
      [3, "c"],
      [1, "d"],
    ] as const)
      void load(many(size, name));
    for (let i = 0; i < 3; i++) await sent[i]?.answer();
    expect(queriesOf(sent)).to.eql(["first", "a0 a1 b0", "c0 c1 c2 d0"]);
  });

  it("gives each large call a statement of its own, a few at once, in the order of arrival", async () => {
    const { sent, load } = start({ batchSize: 2, largeCalls: 2 });
    const calls = ["a", "b", "c", "d"].map((name) => watch(load(many(3, name))));
    const [a, b, c, d] = ["a", "b", "c", "d"].map((name) => many(3, name).join(" "));
    expect(queriesOf(sent)).to.eql([a, b]);
    await sent[1]?.answer();
    expect(queriesOf(sent)).to.eql([a, b, c]);
    await sent[0]?.answer();
    expect(queriesOf(sent)).to.eql([a, b, c, d]);
    expect(calls.map(({ state }) => state !== "waits")).to.eql([true, true, false, false]);
  });

  it("sends a single query at once, however many large calls wait", async () => {
    const { sent, load } = start();
    for (let i = 0; i < 9; i++) void load(many(1_000, `large ${i} `));
    const single = watch(load(["single"]));
    expect(sent.map(({ queries }) => queries.length)).to.eql([1_000, 1_000, 1]);
    await sent[2]?.answer();
    expect(single.state).to.eql(["result of single"]);
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

    it("while it waits is left out of the next statement", async () => {
      const { sent, load } = start();
      void load(["a"]);
      const controller = new AbortController();
      const cancelled = watch(load(["b"], controller.signal));
      const stays = watch(load(["c"]));
      controller.abort(reason);
      await turn();
      expect(cancelled.state).to.eql({ reason });
      await sent[0]?.answer();
      await sent[1]?.answer();
      expect(queriesOf(sent)).to.eql(["a", "c"]);
      expect(stays.state).to.eql(["result of c"]);
    });

    it("while its statement runs does not affect the other calls", async () => {
      const { sent, load } = start();
      void load(["a"]);
      const controller = new AbortController();
      const cancelled = watch(load(["b"], controller.signal));
      const stays = watch(load(["c"]));
      await sent[0]?.answer();
      controller.abort(reason);
      await turn();
      expect(cancelled.state).to.eql({ reason });
      expect(sent[1]?.signal.aborted).to.equal(false);
      await sent[1]?.answer();
      expect(stays.state).to.eql(["result of c"]);
      expect(cancelled.state).to.eql({ reason });
    });

    it("cancels a statement only when no other call waits for it", async () => {
      const { sent, load } = start();
      void load(["a"]);
      const controller = [new AbortController(), new AbortController()];
      for (const { signal } of controller) watch(load(["b"], signal));
      await sent[0]?.answer();
      controller[0]?.abort(reason);
      expect(sent[1]?.signal.aborted).to.equal(false);
      const next = watch(load(["c"]));
      controller[1]?.abort(reason);
      expect(sent.map(({ signal }) => signal.aborted)).to.eql([false, true]);
      await sent[1]?.fail(new Error("cancelled"));
      await sent[2]?.answer();
      expect(next.state).to.eql(["result of c"]);
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

  describe("a statement that fails", () => {
    const failure = new Error("no connection");

    it("fails all of its calls and no others, and the next calls work", async () => {
      const { sent, load } = start();
      const before = watch(load(["a"]));
      const together = [watch(load(["b"])), watch(load(["c", "d"]))];
      const large = watch(load(many(11)));
      await sent[0]?.answer();
      const after = watch(load(["e"]));
      await sent[2]?.fail(failure);
      expect(together.map(({ state }) => state)).to.eql([{ reason: failure }, { reason: failure }]);
      expect([before.state, large.state, after.state]).to.eql([["result of a"], "waits", "waits"]);
      await sent[3]?.answer();
      await sent[1]?.answer();
      expect([after.state, large.state]).to.eql([["result of e"], many(11).map(resultOf)]);
    });

    it("synchronously fails its calls too", async () => {
      const broken = new CheckBatcher<string, string>(
        () => {
          throw failure;
        },
        { batchSize: 10, largeCalls: 1, maxPending: 1_000 },
      );
      const calls = ["a", "b"].map((query) => watch(broken.load([query], never)));
      await turn();
      expect(calls.map(({ state }) => state)).to.eql([{ reason: failure }, { reason: failure }]);
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

  it("leaves no listener on a signal", async () => {
    const { sent, load } = start();
    const { signal } = new AbortController();
    const controller = new AbortController();
    const calls = [load(["a"], signal), load(["b"], signal), load(["c"], controller.signal)].map(watch);
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
      largeCalls: fc.integer({ min: 1, max: 3 }),
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
            const large = running().filter(({ queries }) => queries.length > limits.batchSize);
            expect(large).to.have.length.at.most(limits.largeCalls);
            expect(running()).to.have.length.at.most(large.length + 1);
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
          const callOf = (query: string) => query.slice(0, query.indexOf("-"));
          for (const { queries } of sent.filter(({ queries }) => queries.length > limits.batchSize))
            expect(new Set(queries.map(callOf)).size).to.equal(1);
          const all = sent.flatMap(({ queries }) => queries);
          expect(new Set(all).size).to.equal(all.length);
        },
      ),
      { numRuns: 300 },
    );
  });
});
