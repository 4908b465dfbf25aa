import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const stoppable = fileURLToPath(new URL("../support/stoppable.ts", import.meta.url));

describe("stopping on a signal", () => {
  const children: ChildProcess[] = [];
  afterEach(() => {
    for (const child of children.splice(0)) child.kill("SIGKILL");
  });

  async function start(...args: string[]) {
    const child = spawn(process.execPath, [stoppable, ...args]);
    children.push(child);
    const chunks: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    const output = () => Buffer.concat(chunks).toString();
    const exit = once(child, "close").then(([code]) => ({ code: code as number | null, output: output() }));
    const sees = async (text: string) => {
      while (!output().includes(text)) await once(child.stdout, "data");
    };
    await sees("running");
    return { child, exit, sees };
  }

  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it(`drains, stops and exits with code 0 after ${signal}`, async () => {
      const { child, exit } = await start();
      child.kill(signal);
      const { code, output } = await exit;
      expect(code).to.equal(0);
      for (const said of [`"reason":"${signal}"`, '"retired"', '"stops"', '"stopped"'])
        expect(output).to.contain(said);
    });
  }

  it("treats two signals within a second as one", async () => {
    const { child, exit } = await start("400");
    child.kill("SIGINT");
    child.kill("SIGTERM");
    expect((await exit).code).to.equal(0);
  });

  it("exits with code 1 at once after a later second signal", async () => {
    const { child, exit, sees } = await start("60000");
    child.kill("SIGTERM");
    await sees('"retired"');
    await new Promise((resolve) => setTimeout(resolve, 1_050));
    child.kill("SIGTERM");
    const { code, output } = await exit;
    expect([code, output.includes('"stops"')]).to.eql([1, false]);
  });

  it("exits with code 1 when calls were cut off, and logs how many", async () => {
    const { child, exit } = await start("0", "cut");
    child.kill("SIGTERM");
    const { code, output } = await exit;
    expect(code).to.equal(1);
    expect(output).to.match(/"calls":3,"msg":"calls were cut off"/);
  });

  it("exits with code 1 when the service cannot stop, and logs why", async () => {
    const { child, exit } = await start("0", "failing");
    child.kill("SIGTERM");
    const { code, output } = await exit;
    expect(code).to.equal(1);
    expect(output).to.contain("the database is gone");
  });

  it("exits with code 1 when the service does not stop in time", async () => {
    const { child, exit } = await start("0", "never");
    child.kill("SIGTERM");
    const { code, output } = await exit;
    expect(code).to.equal(1);
    expect(output).to.contain("stopping takes too long");
  });

  it("drains after an uncaught error, and exits with code 1", async () => {
    const { child, exit } = await start();
    child.stdin?.write("now");
    const { code, output } = await exit;
    expect(code).to.equal(1);
    for (const said of ["nobody caught this", '"retired"', '"stops"']) expect(output).to.contain(said);
  });

  it("completes the stop after an unhandled rejection during it, and exits with code 1", async () => {
    const { child, exit } = await start("1200", "rejecting");
    child.kill("SIGTERM");
    const { code, output } = await exit;
    expect(code).to.equal(1);
    for (const said of ['"message":"late"', '"stopped"']) expect(output).to.contain(said);
  });

  it("exits at once while the service still starts", async () => {
    const { child, exit } = await start("60000", "starting");
    child.kill("SIGTERM");
    expect((await exit).code).to.equal(0);
  });
});
