import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { Agent, get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { expect } from "chai";
import pg from "pg";
import { postgresUrl } from "../support/cluster.ts";
import { type RunningScript, runFile } from "../support/process.ts";
import { scrape } from "../support/scrape.ts";

const connections = 6;
const pollMs = 10;

/** Sends one request after the other on a connection of its own until it breaks or is told to stop. */
class Caller {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #url: string;
  answers = 0;
  #sockets = new Set<unknown>();
  #stopped = false;
  readonly ended: Promise<Error | undefined>;

  constructor(url: string) {
    this.#url = url;
    this.ended = this.#run();
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Resolves after the first answer. */
  async answered(): Promise<undefined> {
    while (this.answers === 0) await new Promise(setImmediate);
  }

  async #run(): Promise<Error | undefined> {
    try {
      while (!this.#stopped) {
        expect(await this.#ask()).to.equal(200);
        this.answers++;
      }
      expect(this.#sockets.size).to.equal(1);
      return undefined;
    } catch (failure) {
      return failure as Error;
    } finally {
      this.#agent.destroy();
    }
  }

  #ask(): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      const request = get(this.#url, { agent: this.#agent }, (response) => {
        response.resume().once("end", () => resolve(response.statusCode));
      });
      request.once("socket", (socket) => this.#sockets.add(socket));
      request.once("error", reject);
    });
  }
}

describe("WORKERS", function () {
  this.timeout(60_000);
  let dataDir: string;
  let script: RunningScript | undefined;
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), "privacy-control-"));
  });
  afterEach(async () => {
    await script?.stop("SIGKILL");
    rmSync(dataDir, { recursive: true, force: true });
  });
  const start = (environment: Record<string, string>) => {
    script = runFile("src/main.ts", {
      DATA_DIR: dataDir,
      HTTP_PORT: "0",
      GRPC_PORT: "0",
      ADMIN_PORT: "0",
      WORKERS: "2",
      ...environment,
    });
    return script;
  };
  const childrenOf = (pid: number | undefined) =>
    readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
  /** Resolves when there are two workers, without a given one. */
  const workersWithout = async (pid: number | undefined, gone: number) => {
    for (;;) {
      const children = childrenOf(pid);
      if (children.length === 2 && !children.includes(gone)) return children;
      await setTimeout(pollMs);
    }
  };

  it("is refused with the embedded database", async () => {
    const refused = start({});
    expect(await refused.exited).to.equal(1);
    expect(refused.output()).to.match(/^WORKERS needs DATABASE_URL/m);
  });

  it("end before their supervisor, also when they have not started yet", async function () {
    const url = await postgresUrl();
    if (url === undefined) return this.skip();
    const admin = new pg.Client({ connectionString: url });
    await admin.connect();
    try {
      // Their migrations wait for it.
      await admin.query("select pg_advisory_lock(7001, 1)");
      const running = start({ DATABASE_URL: url, LOG_LEVEL: "info" });
      for (let waiting = 0; waiting < 2; ) {
        const { rows } = await admin.query(
          "select from pg_locks where locktype = 'advisory' and not granted",
        );
        waiting = rows.length;
        await setTimeout(pollMs);
      }
      expect(await running.stop(), running.output()).to.equal(0);
      expect(running.output()).to.contain('"msg":"stopped"');
    } finally {
      await admin.end();
    }
  });

  it("are counted together, also those that hang or have ended", async function () {
    const url = await postgresUrl();
    if (url === undefined) return this.skip();
    const running = start({ DATABASE_URL: url });
    const text = await running.sees(/is ready[\s\S]*npm run token/);
    const [base] = /http:\/\/127\.0\.0\.1:\d+/.exec(text) ?? [];
    const [adminUrl = ""] = /http:\/\/127\.0\.0\.1:\d+(?=\/metrics)/.exec(text) ?? [];
    const supervisor = running.child.pid;
    const [hanging = 0] = childrenOf(supervisor);
    const figures = async () => {
      const { value } = await scrape(adminUrl);
      const labels = { protocol: "http", method: "none", code: "not_found" };
      return [value("privacy_control_calls_total", labels), value("privacy_control_workers_silent")];
    };
    // Each on a connection of its own, so that both workers get some.
    for (let i = 0; i < 10; i++) await fetch(`${base}/nowhere`, { headers: { connection: "close" } });
    expect(await figures()).to.eql([10, 0]);
    const readiness = async () => (await fetch(`${adminUrl}/readyz`)).status;
    expect(await readiness()).to.equal(200);
    process.kill(hanging, "SIGSTOP");
    expect(await figures()).to.eql([10, 1]);
    expect(await readiness()).to.equal(503);
    process.kill(hanging, "SIGCONT");
    expect(await figures()).to.eql([10, 0]);
    process.kill(hanging, "SIGKILL");
    await workersWithout(supervisor, hanging);
    expect(await figures()).to.eql([10, 0]);
    await running.sees(/the new worker serves/);
    await fetch(`${base}/nowhere`);
    expect(await figures()).to.eql([11, 0]);
    expect(await running.stop(), running.output()).to.equal(0);
  });

  it("serve the same ports, are replaced when they are killed, and stop together", async function () {
    const url = await postgresUrl();
    if (url === undefined) return this.skip();
    const running = start({ DATABASE_URL: url });
    const text = await running.sees(/is ready[\s\S]*npm run token/);
    const [base] = /http:\/\/127\.0\.0\.1:\d+/.exec(text) ?? [];
    const supervisor = running.child.pid;
    const workers = childrenOf(supervisor);
    expect(workers).to.have.length(2);

    const callers = Array.from({ length: connections }, () => new Caller(`${base}/readyz`));
    const broken: Error[] = [];
    for (const caller of callers) caller.ended.then((failure) => failure && broken.push(failure));
    await Promise.all(callers.map((caller) => caller.answered()));

    const [adminUrl = ""] = /http:\/\/127\.0\.0\.1:\d+(?=\/metrics)/.exec(text) ?? [];
    const asked = await Promise.all(
      Array.from({ length: 20 }, async () => (await fetch(`${base}/users/me/privacy`)).status),
    );
    expect(new Set(asked)).to.eql(new Set([401]));
    const scraped = await scrape(adminUrl);
    const labels = {
      method: "nexgate.privacy.v1.PrivacyControlService/GetPrivacySettings",
      protocol: "rest",
    };
    expect(scraped.value("privacy_control_calls_total", { ...labels, code: "unauthenticated" })).to.equal(20);
    expect(scraped.value("privacy_control_ready")).to.equal(1);

    process.kill(workers[0] as number, "SIGKILL");
    await workersWithout(supervisor, workers[0] as number);
    for (const caller of callers) caller.stop();
    await Promise.all(callers.map(({ ended }) => ended));
    // Whoever was connected to the other worker saw nothing.
    expect(broken.length).to.be.within(1, connections - 1);
    expect(broken.map((failure) => (failure as NodeJS.ErrnoException).code)).to.eql(
      broken.map(() => "ECONNRESET"),
    );

    await running.sees(/a worker ended and is replaced[\s\S]*the new worker serves/);
    process.kill(workers[1] as number, "SIGKILL");
    await running.sees(/(the new worker serves[\s\S]*){2}/);
    const again = new Caller(`${base}/readyz`);
    const failure = await Promise.race([again.ended, again.answered()]);
    again.stop();
    expect(failure ?? (await again.ended)).to.equal(undefined);

    expect(await running.stop(), running.output()).to.equal(0);
  });
});
