import { fork } from "node:child_process";
import { once } from "node:events";
import { expect } from "chai";

const pieces = 20_000;
const script = new URL("./processes/count-buffers.ts", import.meta.url);

describe("a body that arrives byte by byte", () => {
  for (const kind of ["gRPC", "REST"])
    it(`does not take a buffer for each byte, over ${kind}`, async () => {
      const child = fork(script, [kind, String(pieces)], { execArgv: ["--no-warnings"] });
      const [count] = await Promise.race([
        once(child, "message"),
        once(child, "exit").then(([code]) => {
          throw new Error(`it ended with ${code}`);
        }),
      ]);
      expect(count).to.be.within(0, pieces / 20);
    });
});
