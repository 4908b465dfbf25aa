import { expect } from "chai";
import type { PrivacyError } from "../../../src/domain/errors.ts";
import { KeyedLimiter } from "../../../src/store/keyed-limiter.ts";

describe("the limiter of changes by their lock keys", () => {
  let limiter: KeyedLimiter;
  beforeEach(() => {
    limiter = new KeyedLimiter();
  });

  /** Whether a change with these lock keys could begin now. */
  async function isFree(...lockKeys: string[]): Promise<boolean> {
    const controller = new AbortController();
    const acquired = limiter.acquire(lockKeys, controller.signal).then(
      (release) => release(),
      () => "not",
    );
    await new Promise(setImmediate);
    controller.abort();
    return (await acquired) !== "not";
  }

  it("admits two changes with the same key at once, and another when one has ended", async () => {
    const release = await limiter.acquire(["a"]);
    await limiter.acquire(["a"]);
    expect(await isFree("a")).to.equal(false);
    release();
    expect(await isFree("a")).to.equal(true);
  });

  it("admits changes with other keys", async () => {
    await limiter.acquire(["a"]);
    await limiter.acquire(["a"]);
    expect(await isFree("b")).to.equal(true);
    expect(await isFree("a", "b")).to.equal(false);
    expect(await isFree()).to.equal(true);
  });

  it("ends the wait with the signal's reason", async () => {
    await limiter.acquire(["a"]);
    await limiter.acquire(["a"]);
    const reason = new Error("the caller has disconnected");
    const controller = new AbortController();
    const failure = limiter.acquire(["a"], controller.signal).catch((failure: PrivacyError) => failure);
    controller.abort(reason);
    expect(await failure).to.equal(reason);
  });

  it("holds no place of several keys when it does not get one of them", async () => {
    await limiter.acquire(["b"]);
    await limiter.acquire(["b"]);
    for (let i = 0; i < 3; i++) expect(await isFree("a", "b")).to.equal(false);
    expect(await isFree("a")).to.equal(true);
  });
});
