import { expect } from "chai";
import { type Patience, WaitingLine } from "../../../src/store/waiting-line.ts";

const aDay = 86_400_000;

describe("a waiting line", () => {
  let now = 0;
  const lines: WaitingLine[] = [];
  beforeEach(() => {
    now = 0;
  });
  afterEach(() => {
    for (const line of lines.splice(0)) while (line.length > 0) line.leave();
  });
  const lineWith = (places: number, patience: Patience) => {
    const line = new WaitingLine(places, patience, () => now);
    lines.push(line);
    return line;
  };
  /** A line in which a burst waits for a day, and nobody else for longer than a moment. */
  const lineOf = (places: number) => lineWith(places, { burstMs: aDay, standingMs: 1 });

  it("lets in as many as there are places", async () => {
    const line = lineOf(2);
    expect([await line.enter(), await line.enter()]).to.eql([true, true]);
    expect(line.length).to.equal(0);
  });

  it("lets the others in by their order", async () => {
    const line = lineOf(1);
    await line.enter();
    const order: number[] = [];
    const waits = [1, 2, 3].map((n) => line.enter().then(() => order.push(n)));
    for (const wait of waits) {
      line.leave();
      await wait;
    }
    expect(order).to.eql([1, 2, 3]);
    line.leave();
    expect(await line.enter()).to.equal(true);
  });

  it("soon sends away who comes when no place has been free for long", async () => {
    const line = lineOf(1);
    await line.enter();
    const early = line.enter();
    now = aDay + 1;
    expect(await line.enter()).to.equal(false);
    expect(line.length).to.equal(1);
    line.leave();
    expect(await early).to.equal(true);
  });

  it("is patient again when a place was free for long, and not before", async () => {
    const line = lineOf(1);
    await line.enter();
    now = 2 * aDay;
    line.leave();
    now += aDay - 1;
    await line.enter();
    expect(await line.enter()).to.equal(false);
    line.leave();
    now += aDay;
    await line.enter();
    const wait = line.enter();
    line.leave();
    expect(await wait).to.equal(true);
  });

  it("is patient while those who come are soon let in", async () => {
    const busy = lineOf(1);
    const standing = lineOf(1);
    for (const line of [busy, standing]) await line.enter();
    now = 2 * aDay;
    const soon = busy.enter();
    busy.leave();
    expect(await soon).to.equal(true);
    const waits = busy.enter();
    // Whoever came later to a line that stands has been sent away by now.
    expect(await standing.enter()).to.equal(false);
    expect(busy.length).to.equal(1);
    busy.leave();
    expect(await waits).to.equal(true);
  });

  it("is not patient for one who is let in soon by chance, before nobody has waited in vain for long", async () => {
    const line = lineOf(1);
    const standing = lineOf(1);
    for (const each of [line, standing]) await each.enter();
    now = 2 * aDay;
    expect(await line.enter()).to.equal(false);
    now += aDay - 1;
    const byChance = line.enter();
    line.leave();
    expect(await byChance).to.equal(true);
    const inVain = line.enter();
    // Who came earlier to a line that stands has been sent away by then.
    expect(await standing.enter()).to.equal(false);
    expect(line.length).to.equal(0);
    expect(await inVain).to.equal(false);
    now += aDay;
    const soon = line.enter();
    line.leave();
    expect(await soon).to.equal(true);
    const waits = line.enter();
    expect(await standing.enter()).to.equal(false);
    expect(line.length).to.equal(1);
    line.leave();
    expect(await waits).to.equal(true);
  });

  it("tells beforehand who is sent away at once", async () => {
    const standingMs = 60_000;
    const line = lineWith(1, { burstMs: aDay, standingMs });
    expect(line.sendsAway()).to.equal(false);
    await line.enter();
    now = aDay - standingMs;
    for (let n = 0; n < 200; n++) void line.enter();
    now += standingMs / 2;
    for (let n = 0; n < 199; n++, now += 3_000) line.leave();
    for (let n = 0; n < 20 && !line.sendsAway(); n++) {
      const before = line.length;
      void line.enter();
      expect(line.length).to.equal(before + 1);
    }
    expect(line.sendsAway()).to.equal(true);
    expect(await line.enter()).to.equal(false);
    while (line.length > 0) line.leave();
    line.leave();
    expect(line.sendsAway()).to.equal(false);
  });

  it("that stands is no longer than can be waited in", async () => {
    const standingMs = 60_000;
    const stepMs = 3_000;
    const line = lineWith(1, { burstMs: aDay, standingMs });
    await line.enter();
    now = aDay - standingMs;
    for (let n = 0; n < 200; n++) void line.enter();
    now += standingMs / 2;
    for (let n = 0; n < 190; n++, now += stepMs) line.leave();
    let late: Promise<boolean> | undefined;
    for (let before = 0; before < line.length && line.length < 100; late = line.enter()) before = line.length;
    expect(line.length * stepMs)
      .to.be.above(standingMs / 4)
      .and.at.most(standingMs / 2);
    expect(await late).to.equal(false);
  });

  it("takes as many as come while it moves fast, though others have waited in vain", async () => {
    const line = lineWith(1, { burstMs: aDay, standingMs: 60_000 });
    await line.enter();
    now = aDay;
    for (let n = 0; n < 200; n++) void line.enter();
    for (let n = 0; n < 1_000; n++, now++) {
      line.leave();
      void line.enter();
    }
    expect(line.length).to.equal(200);
  });

  it("forgets how long it stood", async () => {
    const line = lineWith(1, { burstMs: aDay, standingMs: 60_000 });
    await line.enter();
    now = aDay;
    for (let n = 0; n < 2; n++) void line.enter();
    line.leave();
    now += 2 * aDay;
    line.leave();
    expect(line.length).to.equal(0);
    void line.enter();
    expect(line.length).to.equal(1);
    now += 30_000;
    for (let n = 0; n < 2; n++) line.leave();
    for (let n = 0; n < 6; n++) void line.enter();
    expect(line.length).to.equal(5);
  });

  it("is shorter for a while when some have waited in vain in it", async () => {
    const standingMs = 20;
    const stepMs = 0.1;
    const line = lineWith(1, { burstMs: aDay, standingMs });
    const fill = () => {
      const waits: Promise<boolean>[] = [];
      for (let before = -1; before < line.length && line.length < 1_000; waits.push(line.enter()))
        before = line.length;
      return { length: line.length, waits };
    };
    const empty = () => {
      for (; line.length > 0; now += stepMs) line.leave();
    };
    await line.enter();
    now = aDay;
    for (let n = 0; n < 200; n++) void line.enter();
    now += standingMs;
    empty();
    const usual = fill();
    expect(usual.length * stepMs).to.be.within(standingMs / 4, standingMs / 2);
    expect(await Promise.all(usual.waits)).to.not.include(true);
    expect(fill().length).to.be.within(usual.length / 3, usual.length / 1.5);
    empty();
    now += 600_000;
    expect(fill().length).to.be.within(usual.length / 1.1, usual.length * 1.1);
  });

  it("is left by who goes away", async () => {
    const line = lineOf(1);
    await line.enter();
    const controller = new AbortController();
    const gone = [line.enter(controller.signal), line.enter(controller.signal)];
    const stays = line.enter();
    controller.abort();
    expect(await Promise.all([...gone, line.enter(controller.signal)])).to.eql([false, false, false]);
    expect(line.length).to.equal(1);
    line.leave();
    expect(await stays).to.equal(true);
  });

  it("is idle when every place was given back", async () => {
    const line = lineOf(2);
    await line.idle();
    await Promise.all([line.enter(), line.enter()]);
    const waits = line.enter();
    let isIdle = false;
    const idle = line.idle().then(() => {
      isIdle = true;
    });
    for (const wait of [waits, undefined]) {
      line.leave();
      await wait;
      expect(isIdle).to.equal(false);
    }
    line.leave();
    await idle;
  });
});
