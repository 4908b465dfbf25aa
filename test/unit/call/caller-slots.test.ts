import { expect } from "chai";
import { CallerConcurrency } from "../../../src/call/caller-slots.ts";
import { PrivacyError } from "../../../src/domain/errors.ts";

const long = 60_000;
const never = () => new AbortController().signal;

describe("the concurrency of callers", () => {
  let calls: CallerConcurrency;
  beforeEach(() => {
    calls = new CallerConcurrency(2);
    for (let i = 0; i < 2; i++) expect(calls.acquire("one", long, never())).to.equal(undefined);
  });

  it("admits other callers at once", () => {
    expect(calls.acquire("other", long, never())).to.equal(undefined);
  });

  it("admits waiting calls one by one, in the order in which they came", async () => {
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

  it("refuses a call after its wait, with the time of the next attempt", async () => {
    const failure = await calls.acquire("one", 1, never())?.catch((reason: unknown) => reason);
    expect(failure).to.be.instanceOf(PrivacyError).and.include({ reason: "RATE_LIMITED", retryAfter: 1 });
  });

  it("gives no slot to a call that was cancelled", async () => {
    const controller = new AbortController();
    const gone = [controller.signal, AbortSignal.abort("gone")].map((signal) =>
      calls.acquire("one", long, signal)?.catch((reason: unknown) => reason),
    );
    controller.abort("gone");
    expect(await Promise.all(gone)).to.eql(["gone", "gone"]);
    calls.release("one");
    expect(calls.acquire("one", long, never())).to.equal(undefined);
  });

  it("keeps nothing of a caller without calls", async () => {
    const waiting = calls.acquire("one", long, never());
    calls.release("one");
    await waiting;
    await calls.acquire("one", 1, never())?.catch(() => {});
    expect(calls.callers).to.equal(1);
    for (let i = 0; i < 2; i++) calls.release("one");
    expect(calls.callers).to.equal(0);
  });
});
