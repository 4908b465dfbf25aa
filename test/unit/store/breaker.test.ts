import { expect } from "chai";
import { PrivacyError } from "../../../src/domain/errors.ts";
import { DatabaseBreaker } from "../../../src/store/breaker.ts";

const unavailable = () => new PrivacyError("UNAVAILABLE", { cause: new Error("refused") });
const never = new Promise<never>(() => {});

/** A breaker whose probes are answered by the test. */
class ProbedBreaker {
  readonly changes: boolean[] = [];
  readonly breaker: DatabaseBreaker;
  #probed = Promise.withResolvers<PromiseWithResolvers<void>>();
  #changed = Promise.withResolvers<boolean>();

  constructor(timeoutMs: number) {
    const probe = () => {
      const started = Promise.withResolvers<void>();
      this.#probed.resolve(started);
      return started.promise;
    };
    this.breaker = new DatabaseBreaker(probe, { intervalMs: 1, timeoutMs });
    this.breaker.start((isAvailable) => {
      this.changes.push(isAvailable);
      this.#changed.resolve(isAvailable);
      this.#changed = Promise.withResolvers();
    });
  }

  /** The next probe. */
  async probe(): Promise<PromiseWithResolvers<void>> {
    const probe = await this.#probed.promise;
    this.#probed = Promise.withResolvers();
    return probe;
  }

  /** Answers the next probe and waits for the one after it. */
  async answer(failure?: Error): Promise<PromiseWithResolvers<void>> {
    const probe = await this.probe();
    if (failure === undefined) probe.resolve();
    else probe.reject(failure);
    return this.probe();
  }

  change(): Promise<boolean> {
    return this.#changed.promise;
  }
}

async function reasonOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => "ok",
    (failure) => (failure instanceof PrivacyError ? failure.reason : failure),
  );
}

describe("the circuit breaker of a database", () => {
  const patient = 3_600_000;
  let probed: ProbedBreaker;
  afterEach(() => probed.breaker.stop());

  it("changes nothing while the database answers", async () => {
    probed = new ProbedBreaker(patient);
    await probed.answer();
    expect(await probed.breaker.execute(async () => 1)).to.equal(1);
    const failure = new Error("a statement failed");
    expect(await reasonOf(probed.breaker.execute(() => Promise.reject(failure)))).to.equal(failure);
    expect(probed.changes).to.eql([]);
  });

  it("fails pending and new work from a failed probe to a successful one", async () => {
    probed = new ProbedBreaker(patient);
    const waits = reasonOf(probed.breaker.execute(() => never));
    const next = await probed.answer(unavailable());
    expect(await waits).to.equal("UNAVAILABLE");
    let begun = 0;
    const work = async () => {
      begun++;
    };
    expect(await reasonOf(probed.breaker.execute(work))).to.equal("UNAVAILABLE");
    expect(begun).to.equal(0);
    const change = probed.change();
    next.resolve();
    expect(await change).to.equal(true);
    await probed.breaker.execute(work);
    expect(begun).to.equal(1);
    expect(probed.changes).to.eql([false, true]);
  });

  it("reports a change once", async () => {
    probed = new ProbedBreaker(patient);
    const second = await probed.answer(unavailable());
    second.reject(unavailable());
    const third = await probed.probe();
    third.resolve();
    await probed.probe();
    expect(probed.changes).to.eql([false, true]);
  });

  it("takes any other failure of a probe for an answer", async () => {
    probed = new ProbedBreaker(patient);
    await probed.answer(new Error("no such table"));
    expect(probed.changes).to.eql([]);
  });

  it("opens when a probe is not answered in time, until it is", async () => {
    probed = new ProbedBreaker(1);
    const waits = reasonOf(probed.breaker.execute(() => never));
    const probe = await probed.probe();
    expect(await waits).to.equal("UNAVAILABLE");
    const change = probed.change();
    probe.resolve();
    expect(await change).to.equal(true);
  });

  it("stays closed while work succeeds", async () => {
    // Longer than a busy machine keeps this process from running.
    probed = new ProbedBreaker(500);
    const probe = await probed.probe();
    const until = performance.now() + 1_500;
    while (performance.now() < until)
      await probed.breaker.execute(() => new Promise((resolve) => setTimeout(resolve, 1)));
    expect(probed.changes).to.eql([]);
    probe.resolve();
  });

  it("opens though work fails", async () => {
    probed = new ProbedBreaker(50);
    await probed.probe();
    const failing = () => probed.breaker.execute(() => Promise.reject(new Error("late"))).catch(() => {});
    while (probed.changes.length === 0) {
      await failing();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(probed.changes).to.eql([false]);
  });
});
