import { scrape } from "../../support/scrape.ts";
import { measureOverload, type OverloadReport } from "./measure.ts";
import { SharedLoad, type SharedLoadTarget } from "./shared-load.ts";

/** The task of the process. */
export interface LoadJob extends SharedLoadTarget {
  readonly adminUrl: string;
  readonly width: number;
  readonly ms: number;
}

/** Parts of a processor core that were used. */
interface Cores {
  readonly service: number;
  readonly load: number;
}

/** What it found. */
export interface LoadFindings extends OverloadReport {
  readonly cores: Readonly<Record<"best" | "overload", Cores>>;
}

// Run as a process of its own, so that neither the service nor the run takes time from it.
process.once("message", async (job: LoadJob) => {
  const load = await SharedLoad.open(job);
  const used = async () => {
    const scraped = await scrape(job.adminUrl);
    const { user, system } = process.cpuUsage();
    const service = scraped.value("process_cpu_seconds_total") ?? Number.NaN;
    return { seconds: performance.now() / 1_000, service, load: (user + system) / 1e6 };
  };
  const nothing = { service: Number.NaN, load: Number.NaN };
  const cores = { best: nothing, overload: nothing };
  const { width, ms } = job;
  const report = await measureOverload(load, {
    width,
    peakMs: ms / 2,
    overloadMs: ms,
    async watch(phase, run) {
      const before = await used();
      const result = await run();
      const after = await used();
      const seconds = after.seconds - before.seconds;
      const share = (of: "service" | "load") => (after[of] - before[of]) / seconds;
      cores[phase] = { service: share("service"), load: share("load") };
      return result;
    },
  });
  process.send?.({ ...report, cores } satisfies LoadFindings);
  load.close();
  process.disconnect?.();
});
