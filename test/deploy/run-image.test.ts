import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { expect } from "chai";
import { lockedPackages } from "../supply-chain/lockfile.ts";
import { makeRoles } from "../support/roles.ts";
import {
  canStartServer,
  freePort,
  startThrowawayServer,
  type ThrowawayServer,
} from "../support/throwaway-server.ts";
import { type BuiltImage, buildImage, packagesIn } from "./build.ts";
import { compose } from "./files.ts";
import { image } from "./image.ts";

const isRoot = process.getuid?.() === 0;
const [uid, gid] = image.user.split(":").map(Number);

describe("the steps of deploy/Dockerfile", function () {
  this.timeout(120_000);
  let built: BuiltImage;
  let server: ThrowawayServer | undefined;
  const running: ChildProcess[] = [];
  before(async () => {
    if (canStartServer()) server = await startThrowawayServer();
    built = buildImage();
  });
  after(async () => {
    for (const child of running) child.kill("SIGKILL");
    await server?.stop();
    if (built === undefined) return;
    chmodSync(built.workingDirectory, 0o755);
    rmSync(built.folder, { recursive: true, force: true });
  });

  /** Starts a command in the image, as its user, where nothing can be written. */
  function run([command = "", ...args]: readonly string[], environment: Record<string, string>) {
    const child = spawn(command, args, {
      cwd: built.workingDirectory,
      env: { ...built.environment, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
      ...(isRoot ? { uid, gid } : {}),
    });
    running.push(child);
    const chunks: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => chunks.push(chunk));
    const exited = once(child, "close").then(([code]) => code as number | null);
    return { child, exited, output: () => Buffer.concat(chunks).toString() };
  }

  it("install the packages of production, without the embedded database", () => {
    const needed = lockedPackages
      .filter(({ dev, optional }) => !dev && !optional)
      .map(({ path }) => path.replace(/^node_modules\//, ""))
      .filter((path) => !/^(@electric-sql\/|@mikro-orm\/pglite$)/.test(path));
    const found = packagesIn(join(built.workingDirectory, "node_modules"));
    expect(found).to.include.members(needed);
    const known = new Set(lockedPackages.map(({ path }) => path.replace(/^node_modules\//, "")));
    expect(found.filter((path) => known.has(path) && !needed.includes(path))).to.eql([]);
  });

  it("build an image that migrates, serves, is healthy and stops, as a user without write access", async function () {
    if (server === undefined) return this.skip();
    chmodSync(built.workingDirectory, 0o555);
    const roles = makeRoles(server.url);
    const { migrate, "privacy-control": service } = compose.services;
    const migration = run(migrate.command, { ...migrate.environment, DATABASE_URL: roles.owner });
    expect(await migration.exited, migration.output()).to.equal(0);

    const HTTP_PORT = String(await freePort());
    const ADMIN_PORT = String(await freePort());
    const serving = run(image.command, {
      ...service.environment,
      DATABASE_URL: roles.service,
      JWT_SECRET: "x".repeat(32),
      JWT_ISSUER: "https://accounts.example",
      HTTP_PORT,
      GRPC_PORT: "0",
      ADMIN_PORT,
      DRAIN_DELAY_MS: "0",
    });
    const { ADMIN_HOST } = service.environment;
    const isHealthy = async () => (await run(image.healthCheck, { ADMIN_HOST, ADMIN_PORT }).exited) === 0;
    expect(await isHealthy(), "healthy before it listens").to.equal(false);
    const deadline = performance.now() + 30_000;
    while (!(await isHealthy())) {
      if (serving.child.exitCode !== null || performance.now() > deadline) expect.fail(serving.output());
      await setTimeout(100);
    }
    const { status } = await fetch(`http://127.0.0.1:${HTTP_PORT}/readyz`);
    expect(status).to.equal(200);
    if (isRoot) {
      const ids = /^Uid:\t(\d+)\t(\d+)/m.exec(readFileSync(`/proc/${serving.child.pid}/status`, "utf8"));
      expect(ids?.slice(1)).to.eql([String(uid), String(uid)]);
    }
    serving.child.kill(image.stopSignal);
    expect(await serving.exited, serving.output()).to.equal(0);
    expect(await isHealthy(), "healthy after it stopped").to.equal(false);
  });
});
