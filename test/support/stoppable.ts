import { pino } from "pino";
import { stopOnSignal } from "../../src/stop-on-signal.ts";

// Run as a process of its own: ends as the service does, with a service whose end the command line describes.
const [drainDelayMs = "0", ending = "well"] = process.argv.slice(2);
const log = pino();

const begun = stopOnSignal({ drainDelayMs: Number(drainDelayMs), graceMs: 100, closingMs: 500, log });
if (ending !== "starting") {
  begun({
    retire: () => log.info("retired"),
    async stop() {
      log.info("stops");
      if (ending === "never") await new Promise(() => {});
      if (ending === "failing") throw new Error("the database is gone");
      if (ending === "rejecting") {
        Promise.reject(new Error("late"));
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      return ending === "cut" ? 3 : 0;
    },
  });
}
process.stdin.resume().on("data", () => Promise.reject(new Error("nobody caught this")));
log.info("running");
