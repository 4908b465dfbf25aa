import { getEventListeners } from "node:events";
import { expect } from "chai";
import fc from "fast-check";
import { Coalescer, type CoalescerLimits } from "../../../src/service/coalescer.ts";

/** A statement that was sent, for a test to answer when it likes. */
interface Sent {
  readonly questions: readonly string[];
  readonly signal: AbortSignal;
  answer(): Promise<void>;
  answerWith(facts: string[]): Promise<void>;
  fail(reason: unknown): Promise<void>;
}

const factOf = (question: string) => `fact of ${question}`;
const never = new AbortController().signal;
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A coalescer of letters, and the statements that it sent. */
function start(limits: Partial<CoalescerLimits> = {}) {
  const sent: Sent[] = [];
  const sizes: number[] = [];
  const coalescer = new Coalescer<string, string>(
    (questions, signal) => {
      const { promise, resolve, reject } = Promise.withResolvers<string[]>();
      const answerWith = (facts: string[]) => {
        resolve(facts);
        return turn();
      };
      const fail = (reason: unknown) => {
        reject(reason);
        return turn();
      };
      sent.push({ questions, signal, answer: () => answerWith(questions.map(factOf)), answerWith, fail });
      return promise;
    },
    {
      ...{ statementSize: 1_000, fairShare: 250, inFlight: 4, company: 1_000, waiting: 20_000 },
      ...{ factsPerTurn: 250, ...limits },
    },
    { onSend: (questions) => sizes.push(questions) },
  );
  return {
    sent,
    sizes,
    coalescer,
    ask: (questions: string[], signal = never) => coalescer.ask(questions, signal),
  };
}

/** What became of a promise. */
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
const questionsOf = (sent: readonly Sent[]) => sent.map(({ questions }) => questions.join(" "));

describe("the coalescer", () => {
  it("refuses a call that finds too many questions waiting, and counts none of those that were sent or have gone", async () => {
    const { sent, coalescer, ask } = start({ statementSize: 2, fairShare: 2, inFlight: 1, waiting: 3 });
    const leaving = new AbortController();
    const first = watch(ask(["a", "b"]));
    const gone = watch(ask(["c", "d", "e"], leaving.signal));
    const last = watch(ask(["f"]));
    expect(coalescer.full).to.equal(true);
    const refused = watch(ask(["g"]));
    await turn();
    expect(refused.state).to.have.nested.property("reason.reason", "OVERLOADED");
    leaving.abort("gone");
    await turn();
    expect(gone.state).to.eql({ reason: "gone" });
    expect(coalescer.full).to.equal(false);
    const taken = watch(ask(["h", "i", "j"]));
    await sent[0]?.answer();
    await sent[1]?.answer();
    await sent[2]?.answer();
    expect(questionsOf(sent)).to.eql(["a b", "h i", "f j"]);
    for (const { state } of [first, last, taken]) expect(state).to.be.an("array");
    for (let i = 0; i < 4; i++) void ask([`k${i}`]);
    expect(watch(ask(["l"])).state).to.equal("waits");
  });

  it("sends a lone call at once", () => {
    const { sent, ask } = start();
    void ask(["a"]);
    expect(questionsOf(sent)).to.eql(["a"]);
  });

  it("sends many before the turn is over, while statements may be under way, and the others after it", async () => {
    const { sent, ask } = start({ company: 2, inFlight: 3 });
    for (const question of ["a", "b", "c", "d", "e", "f", "g"]) void ask([question]);
    expect(questionsOf(sent)).to.eql(["a", "b c", "d e"]);
    await turn();
    expect(sent).to.have.length(3);
    await sent[1]?.answer();
    expect(questionsOf(sent.slice(3))).to.eql(["f g"]);
  });

  it("answers no questions without a statement", async () => {
    const { sent, ask } = start();
    expect(await ask([])).to.eql([]);
    expect(sent).to.eql([]);
  });

  it("lets the calls of one turn share a statement", async () => {
    const { sent, ask } = start();
    const calls = [ask(["a"]), ask(["b"]), ask(["c", "d"]), ask(["b"])];
    await turn();
    expect(questionsOf(sent)).to.eql(["a", "b c d b"]);
    for (const statement of sent) await statement.answer();
    expect(await Promise.all(calls)).to.eql([
      ["fact of a"],
      ["fact of b"],
      ["fact of c", "fact of d"],
      ["fact of b"],
    ]);
  });

  it("lets nobody join a statement under way, and remembers nothing", async () => {
    const { sent, ask } = start();
    const first = ask(["a"]);
    const second = ask(["a"]);
    await turn();
    const third = ask(["a"]);
    await turn();
    expect(questionsOf(sent)).to.eql(["a", "a", "a"]);
    await sent[0]?.answerWith(["old"]);
    await sent[2]?.answerWith(["new"]);
    await sent[1]?.answerWith(["middle"]);
    expect([await first, await second, await third]).to.eql([["old"], ["middle"], ["new"]]);
    void ask(["a"]);
    expect(sent).to.have.length(4);
  });

  it("has no more statements under way than it may, and goes on as they end", async () => {
    const { sent, ask } = start({ inFlight: 2 });
    for (const question of ["a", "b", "c", "d"]) {
      void ask([question]);
      await turn();
    }
    expect(questionsOf(sent)).to.eql(["a", "b"]);
    await sent[1]?.answer();
    expect(questionsOf(sent)).to.eql(["a", "b", "c d"]);
  });

  it("tells the size of each statement, and what waits and is under way", async () => {
    const { sent, sizes, coalescer, ask } = start({ inFlight: 1 });
    const calls = [ask(["a"]), ask(["b", "c"]), ask(["d"])];
    await turn();
    expect([sizes, coalescer.waiting, coalescer.inFlight]).to.eql([[1], 2, 1]);
    await sent[0]?.answer();
    expect([sizes, coalescer.waiting, coalescer.inFlight]).to.eql([[1, 3], 0, 1]);
    await sent[1]?.answer();
    await Promise.all(calls);
    expect(coalescer.inFlight).to.equal(0);
  });

  it("asks no more by one statement than it may", async () => {
    const { sent, ask } = start({ statementSize: 10, fairShare: 4, inFlight: 2 });
    void ask(many(25));
    await turn();
    expect(sent.map(({ questions }) => questions.length)).to.eql([10, 10]);
    await sent[0]?.answer();
    expect(questionsOf(sent.slice(2))).to.eql([many(25).slice(20).join(" ")]);
  });

  it("sends a single question by the next statement, however many batches wait before it", async () => {
    const { sent, ask } = start({ inFlight: 1 });
    void ask(["under way"]);
    for (let i = 0; i < 9; i++) void ask(many(1_000, `batch ${i} `));
    const single = watch(ask(["single"]));
    await sent[0]?.answer();
    expect(sent[1]?.questions).to.include("single").and.to.have.length(1_000);
    await sent[1]?.answer();
    expect(single.state).to.eql(["fact of single"]);
  });

  it("ends the oldest of large batches first", async () => {
    const { sent, ask } = start({ statementSize: 4, fairShare: 2, inFlight: 1 });
    void ask(["first"]);
    void ask(many(5, "a"));
    void ask(many(4, "b"));
    void ask(many(2, "c"));
    for (let i = 0; i < 4; i++) await sent[i]?.answer();
    expect(questionsOf(sent)).to.eql(["first", "c0 c1 a0 a1", "a2 a3 a4 b0", "b1 b2 b3"]);
  });

  it("goes on with a large batch, however many small ones come", async () => {
    const { sent, ask } = start({ statementSize: 4, fairShare: 2, inFlight: 1 });
    void ask(["first"]);
    const large = watch(ask(many(6, "a")));
    for (let i = 0; i < 3; i++) {
      void ask(many(2, `b${i} `));
      void ask(many(2, `c${i} `));
      await sent[i]?.answer();
    }
    await sent[3]?.answer();
    expect(large.state).to.have.length(6);
  });

  it("lets other things happen while it answers many", async () => {
    const { sent, ask } = start({ statementSize: 12, fairShare: 12, factsPerTurn: 4 });
    void ask(["under way"]);
    const calls = [many(3, "a"), many(2, "b"), many(6, "c"), ["d"]].map((asked) => ({
      asked,
      seen: watch(ask(asked)),
    }));
    await turn();
    const answered = () => calls.filter(({ seen }) => seen.state !== "waits").length;
    const counts = [];
    await sent[1]?.answer();
    for (; answered() < calls.length; await turn()) counts.push(answered());
    expect(counts).to.eql([2, 3]);
    for (const { asked, seen } of calls) expect(seen.state).to.eql(asked.map(factOf));
  });

  describe("a caller that goes away", () => {
    const reason = new Error("gone");

    it("before it asks is refused with the reason, and nothing is sent", async () => {
      const { sent, ask } = start();
      const call = watch(ask(["a"], AbortSignal.abort(reason)));
      await turn();
      expect(call.state).to.eql({ reason });
      expect(sent).to.eql([]);
    });

    it("while it waits is not asked for", async () => {
      const { sent, ask } = start({ inFlight: 1 });
      void ask(["a"]);
      const leaving = new AbortController();
      const gone = watch(ask(["b"], leaving.signal));
      const stays = watch(ask(["c"]));
      leaving.abort(reason);
      await Promise.resolve();
      expect(gone.state).to.eql({ reason });
      await sent[0]?.answer();
      await sent[1]?.answer();
      expect(questionsOf(sent)).to.eql(["a", "c"]);
      expect(stays.state).to.eql(["fact of c"]);
    });

    it("with a statement under way takes nobody along", async () => {
      const { sent, ask } = start();
      void ask(["a"]);
      const leaving = new AbortController();
      const gone = watch(ask(["b"], leaving.signal));
      const stays = watch(ask(["c"]));
      await turn();
      leaving.abort(reason);
      await Promise.resolve();
      expect(gone.state).to.eql({ reason });
      expect(sent[1]?.signal.aborted).to.equal(false);
      await sent[1]?.answer();
      expect(stays.state).to.eql(["fact of c"]);
      expect(gone.state).to.eql({ reason });
    });

    it("ends a statement only as its last caller", async () => {
      const { sent, ask } = start();
      const alone = watch(ask(["a"]));
      const leaving = [new AbortController(), new AbortController()];
      for (const { signal } of leaving) watch(ask(["b"], signal));
      await turn();
      leaving[0]?.abort(reason);
      expect(sent[1]?.signal.aborted).to.equal(false);
      leaving[1]?.abort(reason);
      expect(sent.map(({ signal }) => signal.aborted)).to.eql([false, true]);
      await sent[1]?.fail(new Error("cancelled"));
      await sent[0]?.answer();
      expect(alone.state).to.eql(["fact of a"]);
    });

    it("ends every statement that it was alone in, and sends no more", async () => {
      const { sent, ask } = start({ statementSize: 2, fairShare: 2, inFlight: 2 });
      const leaving = new AbortController();
      watch(ask(many(6), leaving.signal));
      leaving.abort(reason);
      expect(sent.map(({ signal }) => signal.aborted)).to.eql([true, true]);
      for (const statement of [...sent]) await statement.fail(new Error("cancelled"));
      expect(sent).to.have.length(2);
    });

    it("after its answer changes nothing", async () => {
      const { sent, ask } = start();
      const leaving = new AbortController();
      const call = watch(ask(["a"], leaving.signal));
      await sent[0]?.answer();
      leaving.abort(reason);
      expect(call.state).to.eql(["fact of a"]);
      expect(sent[0]?.signal.aborted).to.equal(false);
    });
  });

  describe("a statement that fails", () => {
    const failure = new Error("no connection");

    it("fails all of its callers and no others; the next calls work", async () => {
      const { sent, ask } = start();
      const before = watch(ask(["a"]));
      const together = [watch(ask(["b"])), watch(ask(["c", "d"]))];
      await turn();
      await sent[1]?.fail(failure);
      expect(together.map(({ state }) => state)).to.eql([{ reason: failure }, { reason: failure }]);
      expect(before.state).to.equal("waits");
      const after = watch(ask(["e"]));
      await turn();
      await sent[0]?.answer();
      await sent[2]?.answer();
      expect([before.state, after.state]).to.eql([["fact of a"], ["fact of e"]]);
    });

    it("by throwing fails its callers too", async () => {
      const broken = new Coalescer<string, string>(
        () => {
          throw failure;
        },
        { statementSize: 10, fairShare: 10, inFlight: 1, company: 10, waiting: 1_000, factsPerTurn: 250 },
      );
      const calls = ["a", "b"].map((question) => watch(broken.ask([question], never)));
      await turn();
      expect(calls.map(({ state }) => state)).to.eql([{ reason: failure }, { reason: failure }]);
    });

    it("fails a call whose other statements go well, and ends those that nobody else waits for", async () => {
      const { sent, ask } = start({ statementSize: 2, fairShare: 2, inFlight: 2 });
      const call = watch(ask(many(6)));
      await sent[1]?.fail(failure);
      expect(call.state).to.eql({ reason: failure });
      expect(sent[0]?.signal.aborted).to.equal(true);
      expect(sent).to.have.length(2);
    });

    it("is one with another number of answers than questions", async () => {
      for (const facts of [[], ["fact of a"], ["fact of a", "fact of b", "fact of c"]]) {
        const { sent, ask } = start();
        const call = watch(ask(["a", "b"]));
        await sent[0]?.answerWith(facts);
        expect(call.state).to.have.property("reason").that.is.instanceOf(Error);
      }
    });
  });

  it("leaves no listener on a signal", async () => {
    const { sent, ask } = start();
    const { signal } = new AbortController();
    const leaving = new AbortController();
    const calls = [ask(["a"], signal), ask(["b"], signal), ask(["c"], leaving.signal)].map(watch);
    await turn();
    expect(getEventListeners(signal, "abort")).to.have.length(2);
    leaving.abort();
    await sent[0]?.answer();
    await sent[1]?.fail(new Error("no connection"));
    expect(calls.map(({ state }) => state)).to.not.include("waits");
    for (const one of [signal, leaving.signal]) expect(getEventListeners(one, "abort")).to.eql([]);
  });

  it("answers every caller with its own facts, in order, whoever comes, goes or fails", async () => {
    const caller = fc.record({
      size: fc.integer({ min: 0, max: 12 }),
      /** Calls of one turn come together. */
      newTurn: fc.boolean(),
      leaves: fc.option(fc.nat(20), { freq: 4 }),
    });
    const limits = fc.record({
      statementSize: fc.integer({ min: 1, max: 8 }),
      fairShare: fc.integer({ min: 1, max: 8 }),
      inFlight: fc.integer({ min: 1, max: 3 }),
    });
    const often = fc.constantFrom(false, false, false, false, true);
    await fc.assert(
      fc.asyncProperty(
        fc.array(caller, { maxLength: 12 }),
        limits,
        fc.array(fc.record({ which: fc.nat(20), fails: often }), { maxLength: 60 }),
        async (callers, limits, ends) => {
          const { sent, ask } = start(limits);
          const failure = new Error("no connection");
          const ended = new Set<Sent>();
          const failed = new Set<string>();
          const calls: { asked: string[]; seen: { state: unknown }; gone: boolean }[] = [];
          const leavings: { at: number; leave: () => void }[] = [];

          const underWay = () => sent.filter((statement) => !ended.has(statement));
          const endOne = async ({ which, fails }: { which: number; fails: boolean }) => {
            const open = underWay();
            const statement = open[which % open.length];
            if (statement === undefined) return;
            ended.add(statement);
            if (fails) for (const question of statement.questions) failed.add(question);
            await (fails ? statement.fail(failure) : statement.answer());
          };
          /** One statement ends, and those leave whose moment it is. */
          const pass = async (moment: number) => {
            await endOne(ends[moment] ?? { which: 0, fails: false });
            for (const { at, leave } of leavings) if (at === moment) leave();
            expect(underWay()).to.have.length.at.most(limits.inFlight);
          };

          for (const [i, { size, newTurn, leaves }] of callers.entries()) {
            const leaving = new AbortController();
            const asked = many(size, `${i}-`);
            const call = { asked, seen: watch(ask(asked, leaving.signal)), gone: false };
            calls.push(call);
            const leave = () => {
              call.gone = call.seen.state === "waits";
              leaving.abort("gone");
            };
            if (leaves !== null) leavings.push({ at: i + leaves, leave });
            if (newTurn) await pass(i);
          }
          await turn();
          for (let moment = callers.length; underWay().length > 0; moment++) await pass(moment);

          for (const { asked, seen, gone } of calls) {
            if (gone) expect(seen.state).to.eql({ reason: "gone" });
            else if (asked.some((question) => failed.has(question)))
              expect(seen.state).to.eql({ reason: failure });
            else expect(seen.state).to.eql(asked.map(factOf));
          }
          for (const { questions } of sent) expect(questions).to.have.length.within(1, limits.statementSize);
          const all = sent.flatMap(({ questions }) => questions);
          expect(new Set(all).size).to.equal(all.length);
        },
      ),
      { numRuns: 300 },
    );
  });
});
