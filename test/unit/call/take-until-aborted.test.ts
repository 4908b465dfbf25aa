import { expect } from "chai";
import { takeUntilAborted } from "../../../src/call/streams.ts";

describe("a stream until a signal", () => {
  async function collect(messages: AsyncIterable<number>): Promise<number[]> {
    const seen: number[] = [];
    for await (const message of messages) seen.push(message);
    return seen;
  }
  async function* three() {
    yield* [1, 2, 3];
  }

  it("is the stream, with its failure, while the signal is silent", async () => {
    const { signal } = new AbortController();
    expect(await collect(takeUntilAborted(three(), signal))).to.eql([1, 2, 3]);
    async function* broken() {
      yield 1;
      throw new Error("broken");
    }
    const failure = await collect(takeUntilAborted(broken(), signal)).catch((error) => error);
    expect(failure.message).to.equal("broken");
  });

  it("ends although no message comes, with what was given for that", async () => {
    const stopping = new AbortController();
    async function* stalled() {
      yield 1;
      await new Promise(() => {});
    }
    const plain = takeUntilAborted(stalled(), stopping.signal);
    const refused = takeUntilAborted(stalled(), stopping.signal, () => {
      throw new Error("stopped");
    });
    for (const stream of [plain, refused]) expect((await stream.next()).value).to.equal(1);
    const ends = [plain.next(), refused.next().catch((error) => error.message)];
    stopping.abort();
    expect(await Promise.all(ends)).to.eql([{ done: true, value: undefined }, "stopped"]);
  });

  it("does not begin after the signal", async () => {
    expect(await collect(takeUntilAborted(three(), AbortSignal.abort()))).to.eql([]);
  });

  it("closes its source when its reader stops", async () => {
    let isClosed = false;
    async function* source() {
      try {
        yield* [1, 2, 3];
      } finally {
        isClosed = true;
      }
    }
    for await (const _ of takeUntilAborted(source(), new AbortController().signal)) break;
    expect(isClosed).to.equal(true);
  });

  it("survives a source that fails after its end", async () => {
    const stopping = new AbortController();
    const late = Promise.withResolvers<never>();
    async function* failing() {
      yield await late.promise;
    }
    const end = takeUntilAborted(failing(), stopping.signal).next();
    await new Promise(setImmediate);
    stopping.abort();
    expect((await end).done).to.equal(true);
    late.reject(new Error("late"));
    await new Promise(setImmediate);
  });
});
