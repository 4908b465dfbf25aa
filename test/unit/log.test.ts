import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect } from "chai";

/** Starts a script that has `log`. */
function run(script: string) {
  const source = `import { createLog } from "./src/log.ts"; const log = createLog("info"); ${script}`;
  return spawn(process.execPath, ["--input-type=module", "-e", source]);
}

/** Runs a script that has `log`; resolves to the messages on its standard output as soon as there are so many. */
async function messages(script: string, count: number): Promise<string[]> {
  const child = run(script);
  const exited = once(child, "close");
  let output = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
    if (output.split("\n").length > count) child.kill();
  });
  await exited;
  return output
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line).msg);
}

describe("the log", () => {
  it("is written while the process goes on", async () => {
    const script = `log.info("one"); log.info("two"); setTimeout(() => log.info("three"), 10); setInterval(() => {}, 1000);`;
    expect(await messages(script, 3)).to.eql(["one", "two", "three"]);
  });

  it("is written after what the turn has begun to answer", async () => {
    const answer = `writeSync(1, '{"msg":"answer"}\\n')`;
    const script = `import { writeSync } from "node:fs"; log.info("call"); setImmediate(() => ${answer}); setInterval(() => {}, 1000);`;
    expect(await messages(script, 2)).to.eql(["answer", "call"]);
  });

  for (const [end, script] of [
    ["exits", `process.exit(0);`],
    ["fails", `throw new Error("expected");`],
  ]) {
    it(`is complete when the process ${end} right after a line`, async () => {
      expect(await messages(`for (let i = 0; i < 3; i++) log.info("line"); ${script}`, 9)).to.have.length(3);
    });
  }

  it("is complete when much is written in one turn", async () => {
    const script = `for (let i = 0; i < 5000; i++) log.info("x".repeat(100)); process.exit(0);`;
    expect(await messages(script, 9_999)).to.have.length(5_000);
  });

  it("does not end the process when its reader has closed the pipe", async () => {
    const script = `let lines = 0; setInterval(() => (log.info("line"), ++lines === 20 && process.exit(7)), 5);`;
    const child = run(script);
    await once(child.stdout, "data");
    child.stdout.destroy();
    expect(await once(child, "close")).to.eql([7, null]);
  });
});
