import { expect } from "chai";
import type { PrivacyError } from "../../../src/domain/errors.ts";
import { ThingGate } from "../../../src/store/thing-gate.ts";

describe("the gate before changes of one thing", () => {
  let gate: ThingGate;
  beforeEach(() => {
    gate = new ThingGate();
  });

  /** Whether a change may begin now. */
  async function mayEnter(...things: string[]): Promise<boolean> {
    const controller = new AbortController();
    const entered = gate.enter(things, controller.signal).then(
      (leave) => leave(),
      () => "not",
    );
    await new Promise(setImmediate);
    controller.abort();
    return (await entered) !== "not";
  }

  it("lets two changes of a thing begin at once, and another when one has ended", async () => {
    const leave = await gate.enter(["a"]);
    await gate.enter(["a"]);
    expect(await mayEnter("a")).to.equal(false);
    leave();
    expect(await mayEnter("a")).to.equal(true);
  });

  it("keeps no change of another thing", async () => {
    await gate.enter(["a"]);
    await gate.enter(["a"]);
    expect(await mayEnter("b")).to.equal(true);
    expect(await mayEnter("a", "b")).to.equal(false);
    expect(await mayEnter()).to.equal(true);
  });

  it("ends the wait with the signal's reason", async () => {
    await gate.enter(["a"]);
    await gate.enter(["a"]);
    const reason = new Error("the caller went away");
    const controller = new AbortController();
    const failure = gate.enter(["a"], controller.signal).catch((failure: PrivacyError) => failure);
    controller.abort(reason);
    expect(await failure).to.equal(reason);
  });

  it("holds nothing of many when it does not get one of them", async () => {
    await gate.enter(["b"]);
    await gate.enter(["b"]);
    for (let i = 0; i < 3; i++) expect(await mayEnter("a", "b")).to.equal(false);
    expect(await mayEnter("a")).to.equal(true);
  });
});
