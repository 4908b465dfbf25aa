import { expect } from "chai";
import { Upkeep, type UpkeepTask } from "../../../src/service/upkeep.ts";
import { until } from "../../support/until.ts";

describe("upkeep", () => {
  let lines: string[];
  let upkeep: Upkeep | undefined;
  beforeEach(() => {
    lines = [];
  });
  afterEach(() => upkeep?.stop());

  const record =
    (level: string) =>
    ({ task, err }: { task: string; err?: Error }) => {
      lines.push(`${level} ${task}${err === undefined ? "" : ` ${err.message}`}`);
    };
  const start = (...tasks: UpkeepTask[]) => {
    upkeep = new Upkeep(tasks, { warn: record("warn"), info: record("info") } as never);
    return upkeep;
  };

  it("repeats every task, and never runs two at once", async () => {
    let running = 0;
    let most = 0;
    const counts = [0, 0, 0];
    const task = (number: number): UpkeepTask => ({
      name: `task ${number}`,
      intervalMs: 2,
      async run() {
        most = Math.max(most, ++running);
        await new Promise(setImmediate);
        running--;
        counts[number] = (counts[number] ?? 0) + 1;
        return number === 1;
      },
    });
    start(task(0), task(1), task(2));
    await until(() => counts.every((count) => count > 5));
    expect(most).to.equal(1);
  });

  it("continues at once with a task that has more to do", async () => {
    let runs = 0;
    const run = async () => ++runs % 5 !== 0;
    start({ name: "long", intervalMs: 3_600_000, run });
    await until(() => runs >= 5);
    expect(runs).to.equal(5);
  });

  it("logs a failure once until it changes or ends", async () => {
    const outcomes = ["down", "down", "down", "full", "full", undefined, "down"];
    let runs = 0;
    const run = async () => {
      const failure = outcomes[runs++];
      if (failure !== undefined) throw new Error(failure);
      return false;
    };
    start({ name: "broken", intervalMs: 1, run });
    await until(() => runs > outcomes.length);
    expect(lines.slice(0, 4)).to.eql([
      "warn broken down",
      "warn broken full",
      "info broken",
      "warn broken down",
    ]);
  });

  it("tells how long ago each task succeeded", async () => {
    let runs = 0;
    const broken = async () => {
      runs++;
      throw new Error("down");
    };
    const sound = async () => false;
    const tasks = { broken, sound };
    const started = start(
      ...Object.entries(tasks).map(([name, run]): UpkeepTask => ({ name, intervalMs: 1, run })),
    );
    const before = runs;
    await until(() => {
      const { broken: failing = 0, sound: working = 0 } = Object.fromEntries(started.ages());
      return runs > before + 2 && working < failing;
    });
    expect(started.ages().map(([task]) => task)).to.eql(["broken", "sound"]);
  });

  it("gives up a run when it is stopped, and logs nothing of it", async () => {
    let begun = false;
    const run = (signal: AbortSignal) => {
      begun = true;
      return new Promise<boolean>((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
      });
    };
    const stopped = start({ name: "endless", intervalMs: 1, run });
    await until(() => begun);
    await stopped.stop();
    expect(lines).to.eql([]);
  });

  it("starts no run after it was stopped", async () => {
    let runs = 0;
    const stopped = start({ name: "late", intervalMs: 5, run: async () => ++runs > 0 });
    await until(() => runs > 0);
    await stopped.stop();
    const before = runs;
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(runs).to.equal(before);
  });

  it("ends at once without tasks", async () => {
    await start().stop();
  });
});
