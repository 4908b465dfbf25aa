import { once } from "node:events";
import { PassThrough } from "node:stream";
import { expect } from "chai";
import { pino } from "pino";
import { Load } from "../../../src/rpc/load.ts";

const silent = pino({ level: "silent" });

describe("the load of a listener", () => {
  it("refuses what comes while there is no room, and nothing else", async () => {
    const load = new Load(2, silent);
    const [first, second] = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
    const one = load.during(() => first.promise);
    expect(load.refuses()).to.equal(false);
    const other = load.during(() => second.promise);
    expect(load.refuses()).to.equal(true);
    first.resolve("done");
    expect(await one).to.equal("done");
    expect(load.refuses()).to.equal(false);
    second.reject(new Error("failed"));
    expect(await other.catch(({ message }) => message)).to.equal("failed");
    expect(load.refuses()).to.equal(false);
  });

  it("leaves its place to others while it waits for a client", async () => {
    const load = new Load(1, silent);
    const client = Promise.withResolvers<void>();
    const rest = Promise.withResolvers<void>();
    const waited = Promise.withResolvers<void>();
    const call = load.during(async () => {
      await load.outside(() => client.promise);
      waited.resolve();
      await rest.promise;
    });
    expect(load.refuses()).to.equal(false);
    client.resolve();
    await waited.promise;
    expect(load.refuses()).to.equal(true);
    rest.resolve();
    await call;
    expect(load.refuses()).to.equal(false);
  });

  it("takes any number when it is off", () => {
    const load = new Load(0, silent);
    for (let i = 0; i < 10_000; i++) void load.during(() => new Promise(() => {}));
    expect(load.refuses()).to.equal(false);
  });

  it("logs how many it refused, not each of them", async () => {
    const output = new PassThrough();
    const load = new Load(1, pino(output));
    void load.during(() => new Promise(() => {}));
    for (let i = 0; i < 1_000; i++) load.refuses();
    const [line] = await once(output, "data");
    expect(JSON.parse(line)).to.include({ refused: 1_000, level: 40 });
    expect(output.read()).to.equal(null);
  });
});
