import { expect } from "chai";
import { PrivacyError } from "../../../src/domain/errors.ts";
import { KeyedSemaphore, Semaphore } from "../../../src/store/semaphore.ts";

const anHour = 3_600_000;
const failure = "no connection came free in time";

/** What becomes of an acquire: `undefined` while it waits. */
function outcomeOf(acquired: Promise<unknown>): () => Promise<unknown> {
  let outcome: unknown;
  acquired.then(
    () => {
      outcome = "acquired";
    },
    (failure: unknown) => {
      outcome = failure;
    },
  );
  return async () => {
    await new Promise(setImmediate);
    return outcome;
  };
}

async function expectUnavailable(acquired: Promise<unknown>): Promise<void> {
  const caught = await acquired.catch((failure: unknown) => failure);
  expect(caught).to.be.instanceOf(PrivacyError).with.property("reason", "UNAVAILABLE");
  expect((caught as Error).cause).to.have.property("message", failure);
}

describe("a semaphore", () => {
  const make = (limits: { permits?: number; acquireTimeoutMs?: number; maxWaiting?: number } = {}) =>
    new Semaphore({ permits: 2, acquireTimeoutMs: anHour, maxWaiting: 2, failure, ...limits });

  it("grants its permits at once, then in the order of arrival", async () => {
    const semaphore = make();
    await semaphore.acquire();
    await semaphore.acquire();
    const waiting = [semaphore.acquire(), semaphore.acquire()].map(outcomeOf);
    expect(semaphore.waiting).to.equal(2);
    semaphore.release();
    expect(await Promise.all(waiting.map((outcome) => outcome()))).to.eql(["acquired", undefined]);
    semaphore.release();
    expect(await Promise.all(waiting.map((outcome) => outcome()))).to.eql(["acquired", "acquired"]);
    expect(semaphore.waiting).to.equal(0);
  });

  it("refuses at once when as many wait as may", async () => {
    const semaphore = make({ permits: 1, maxWaiting: 1 });
    await semaphore.acquire();
    expect(semaphore.isSaturated).to.equal(false);
    const waiting = semaphore.acquire();
    expect(semaphore.isSaturated).to.equal(true);
    await expectUnavailable(semaphore.acquire());
    semaphore.release();
    await waiting;
    expect(semaphore.isSaturated).to.equal(false);
  });

  it("answers whether it is saturated as often as it is asked, and changes nothing", async () => {
    const semaphore = make({ permits: 1, maxWaiting: 1 });
    for (let i = 0; i < 3; i++) expect(semaphore.isSaturated).to.equal(false);
    await semaphore.acquire();
    const waiting = semaphore.acquire();
    for (let i = 0; i < 3; i++) expect(semaphore.isSaturated).to.equal(true);
    semaphore.release();
    await waiting;
    semaphore.release();
    await semaphore.acquire();
  });

  it("ends a wait that takes too long, and gives that permit to the next one", async () => {
    const semaphore = make({ permits: 1, acquireTimeoutMs: 1 });
    await semaphore.acquire();
    await expectUnavailable(semaphore.acquire());
    expect(semaphore.waiting).to.equal(0);
    semaphore.release();
    expect(semaphore.isIdle).to.equal(true);
    await semaphore.acquire();
  });

  it("ends a wait with the signal's reason, and refuses one whose signal has aborted", async () => {
    const semaphore = make({ permits: 1 });
    await semaphore.acquire();
    const reason = new Error("the caller has disconnected");
    const controller = new AbortController();
    const waiting = outcomeOf(semaphore.acquire(controller.signal));
    controller.abort(reason);
    expect(await waiting()).to.equal(reason);
    expect(semaphore.waiting).to.equal(0);
    expect(await outcomeOf(semaphore.acquire(controller.signal))()).to.equal(reason);
  });

  it("is idle when every permit was given back", async () => {
    const semaphore = make();
    await semaphore.waitUntilIdle();
    await semaphore.acquire();
    await semaphore.acquire();
    const idle = outcomeOf(semaphore.waitUntilIdle());
    semaphore.release();
    expect(await idle()).to.equal(undefined);
    semaphore.release();
    expect(await idle()).to.equal("acquired");
  });
});

describe("a semaphore for each key", () => {
  let semaphore: KeyedSemaphore;
  beforeEach(() => {
    semaphore = new KeyedSemaphore({ permits: 2, acquireTimeoutMs: anHour, maxWaiting: 10, failure });
  });

  /** Whether one who needs these keys could begin now. */
  async function isFree(...keys: string[]): Promise<boolean> {
    const controller = new AbortController();
    const acquired = semaphore.acquire(keys, controller.signal).then(
      (release) => release(),
      () => "not",
    );
    await new Promise(setImmediate);
    controller.abort();
    return (await acquired) !== "not";
  }

  it("admits two holders of the same key at once, and another when one has ended", async () => {
    const release = await semaphore.acquire(["a"]);
    await semaphore.acquire(["a"]);
    expect(await isFree("a")).to.equal(false);
    release();
    expect(await isFree("a")).to.equal(true);
  });

  it("admits holders of other keys", async () => {
    await semaphore.acquire(["a"]);
    await semaphore.acquire(["a"]);
    expect(await isFree("b")).to.equal(true);
    expect(await isFree("a", "b")).to.equal(false);
    expect(await isFree()).to.equal(true);
  });

  it("ends the wait with the signal's reason", async () => {
    await semaphore.acquire(["a"]);
    await semaphore.acquire(["a"]);
    const reason = new Error("the caller has disconnected");
    const controller = new AbortController();
    const failure = semaphore.acquire(["a"], controller.signal).catch((failure: unknown) => failure);
    controller.abort(reason);
    expect(await failure).to.equal(reason);
  });

  it("holds no permit of several keys when it does not get one of them", async () => {
    await semaphore.acquire(["b"]);
    await semaphore.acquire(["b"]);
    for (let i = 0; i < 3; i++) expect(await isFree("a", "b")).to.equal(false);
    expect(await isFree("a")).to.equal(true);
  });
});
