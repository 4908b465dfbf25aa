import { expect } from "chai";
import { PrivacyError } from "../../../src/domain/errors.ts";
import { DatabaseBreaker } from "../../../src/store/breaker.ts";

const unavailable = () => new PrivacyError("UNAVAILABLE", { cause: new Error("refused") });
const never = new Promise<never>(() => {});

/** A watch whose questions are answered by hand. */
class Scene {
  readonly changes: boolean[] = [];
  readonly watch: DatabaseBreaker;
  #asked = Promise.withResolvers<PromiseWithResolvers<void>>();
  #changed = Promise.withResolvers<boolean>();

  constructor(silenceMs: number) {
    const ask = () => {
      const question = Promise.withResolvers<void>();
      this.#asked.resolve(question);
      return question.promise;
    };
    this.watch = new DatabaseBreaker(ask, { pauseMs: 1, silenceMs });
    this.watch.start((present) => {
      this.changes.push(present);
      this.#changed.resolve(present);
      this.#changed = Promise.withResolvers();
    });
  }

  /** The next question, from now on the last one. */
  async question(): Promise<PromiseWithResolvers<void>> {
    const question = await this.#asked.promise;
    this.#asked = Promise.withResolvers();
    return question;
  }

  /** Answers the next question and waits for the one after it. */
  async answer(failure?: Error): Promise<PromiseWithResolvers<void>> {
    const question = await this.question();
    if (failure === undefined) question.resolve();
    else question.reject(failure);
    return this.question();
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

describe("the watch over a database", () => {
  const patient = 3_600_000;
  let scene: Scene;
  afterEach(() => scene.watch.stop());

  it("changes nothing while the database answers", async () => {
    scene = new Scene(patient);
    await scene.answer();
    expect(await scene.watch.execute(async () => 1)).to.equal(1);
    const failure = new Error("a statement failed");
    expect(await reasonOf(scene.watch.execute(() => Promise.reject(failure)))).to.equal(failure);
    expect(scene.changes).to.eql([]);
  });

  it("fails what waits and what comes when a question fails, until one is answered", async () => {
    scene = new Scene(patient);
    const waits = reasonOf(scene.watch.execute(() => never));
    const next = await scene.answer(unavailable());
    expect(await waits).to.equal("UNAVAILABLE");
    let begun = 0;
    const work = async () => {
      begun++;
    };
    expect(await reasonOf(scene.watch.execute(work))).to.equal("UNAVAILABLE");
    expect(begun).to.equal(0);
    const change = scene.change();
    next.resolve();
    expect(await change).to.equal(true);
    await scene.watch.execute(work);
    expect(begun).to.equal(1);
    expect(scene.changes).to.eql([false, true]);
  });

  it("tells of a change once", async () => {
    scene = new Scene(patient);
    const second = await scene.answer(unavailable());
    second.reject(unavailable());
    const third = await scene.question();
    third.resolve();
    await scene.question();
    expect(scene.changes).to.eql([false, true]);
  });

  it("takes any other failure for an answer", async () => {
    scene = new Scene(patient);
    await scene.answer(new Error("no such table"));
    expect(scene.changes).to.eql([]);
  });

  it("takes silence for a no, until the question is answered after all", async () => {
    scene = new Scene(1);
    const waits = reasonOf(scene.watch.execute(() => never));
    const question = await scene.question();
    expect(await waits).to.equal("UNAVAILABLE");
    const change = scene.change();
    question.resolve();
    expect(await change).to.equal(true);
  });

  it("hears calls that are answered", async () => {
    // Longer than a busy machine keeps this process from running.
    scene = new Scene(500);
    const question = await scene.question();
    const until = performance.now() + 1_500;
    while (performance.now() < until)
      await scene.watch.execute(() => new Promise((resolve) => setTimeout(resolve, 1)));
    expect(scene.changes).to.eql([]);
    question.resolve();
  });

  it("hears no calls that fail", async () => {
    scene = new Scene(50);
    await scene.question();
    const failing = () => scene.watch.execute(() => Promise.reject(new Error("late"))).catch(() => {});
    while (scene.changes.length === 0) {
      await failing();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(scene.changes).to.eql([false]);
  });
});
