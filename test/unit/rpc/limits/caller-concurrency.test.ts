import { expect } from "chai";
import { PrivacyError } from "../../../../src/domain/errors.ts";
import { CallerConcurrency } from "../../../../src/rpc/limits/caller-concurrency.ts";

const long = 60_000;
const never = () => new AbortController().signal;

describe("the concurrency of callers", () => {
  let calls: CallerConcurrency;
  beforeEach(() => {
    calls = new CallerConcurrency(2);
    for (let i = 0; i < 2; i++) expect(calls.acquire("one", long, never())).to.equal(undefined);
  });

  it("lets other callers in at once", () => {
    expect(calls.acquire("other", long, never())).to.equal(undefined);
  });

  it("lets those who wait in one by one, in the order in which they came", async () => {
    const admitted: number[] = [];
    const waiting = [1, 2, 3].map((n) => calls.acquire("one", long, never())?.then(() => admitted.push(n)));
    for (const [index, one] of waiting.entries()) {
      await new Promise(setImmediate);
      expect(admitted).to.eql([1, 2, 3].slice(0, index));
      calls.release("one");
      await one;
    }
    expect(admitted).to.eql([1, 2, 3]);
  });

  it("refuses who has waited in vain, with the time of the next attempt", async () => {
    const failure = await calls.acquire("one", 1, never())?.catch((reason: unknown) => reason);
    expect(failure).to.be.instanceOf(PrivacyError).and.include({ reason: "RATE_LIMITED", retryAfter: 1 });
  });

  it("lets nobody in for who has gone", async () => {
    const controller = new AbortController();
    const gone = [controller.signal, AbortSignal.abort("gone")].map((signal) =>
      calls.acquire("one", long, signal)?.catch((reason: unknown) => reason),
    );
    controller.abort("gone");
    expect(await Promise.all(gone)).to.eql(["gone", "gone"]);
    calls.release("one");
    expect(calls.acquire("one", long, never())).to.equal(undefined);
  });

  it("forgets a caller with no more calls", async () => {
    const waiting = calls.acquire("one", long, never());
    calls.release("one");
    await waiting;
    await calls.acquire("one", 1, never())?.catch(() => {});
    expect(calls.callers).to.equal(1);
    for (let i = 0; i < 2; i++) calls.release("one");
    expect(calls.callers).to.equal(0);
  });
});
