import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { demoUsers } from "../../src/development/demo-data.ts";
import { embedded, postgresql } from "../support/backends.ts";
import { postgresUrl } from "../support/cluster.ts";
import { newDataDirectory } from "../support/data-directory.ts";
import { type RunningScript, runScript } from "../support/process.ts";
import { shellLines } from "../support/start-text.ts";

const ready = /is ready/;
const lastLine = /npm run token -- --service/;

describe("npm start", function () {
  this.timeout(60_000);
  let dataDir: string;
  const running: RunningScript[] = [];
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), "privacy-control-"));
  });
  afterEach(async () => {
    await Promise.all(running.splice(0).map((script) => script.stop("SIGKILL")));
    rmSync(dataDir, { recursive: true, force: true });
  });

  const run = (name: string, environment: Record<string, string> = {}, args: string[] = []) => {
    const script = runScript(
      name,
      { DATA_DIR: dataDir, HTTP_PORT: "0", GRPC_PORT: "0", ADMIN_PORT: "0", ...environment },
      args,
    );
    running.push(script);
    return script;
  };

  /** Takes a directory whose database has been made: the first start is what another test is about. */
  const useExisting = async () => {
    rmSync(dataDir, { recursive: true });
    dataDir = await newDataDirectory();
  };

  for (const { backend, databaseUrl } of [embedded, postgresql]) {
    it(`loads demo data into ${backend} and prints lines that can be pasted`, async function () {
      const url = await databaseUrl(this);
      const start = run("start", url === undefined ? {} : { DATABASE_URL: url });
      const text = await start.sees(lastLine);
      const { variables, commands, paste } = shellLines(text);
      const curls = commands.filter((command) => command.startsWith("curl "));
      const answers = curls.map((command) => JSON.parse(paste(command)));
      expect(answers.map(({ message }) => message)).to.eql([
        "User muted successfully",
        "Muted users retrieved successfully",
        "User unmuted successfully",
        "Privacy settings retrieved successfully",
        "Privacy settings updated successfully",
        "User blocked successfully",
        "User unblocked successfully",
        "User blocked successfully",
        "Blocked users retrieved successfully",
      ]);
      expect(answers.at(-2).data.user).to.eql({
        id: "777e7777-e77b-77d7-a777-777777777777",
        userName: "spam_account",
        firstName: "Spam",
        lastName: "Account",
        profilePictureUrls: ["https://cdn.nexgate.com/profiles/spam_account.jpg"],
        isVerified: false,
      });
      const apiPage = /API page +(\S+)/.exec(text)?.[1] ?? "";
      expect(await (await fetch(apiPage)).text()).to.include("<title>Privacy Control API</title>");
      const decisions = /decision table +(\S+)/.exec(text)?.[1] ?? "";
      expect(await (await fetch(decisions)).text()).to.include("<title>Decisions of Privacy Control</title>");
      expect(await start.sees(/explain/)).to.match(
        /^ {2}Explain decisions: npm run -s explain -- spam_account alice$/m,
      );
      expect(JSON.parse(paste(commands.at(-1) ?? ""))).to.include({
        effect: "EFFECT_DENY",
        cause: "CAUSE_BLOCKING",
      });
      expect(commands).to.have.length(curls.length + 1);
      expect(variables.filter((line) => line.startsWith("TOKEN="))).to.have.length(1);
      for (const { userName, id } of demoUsers)
        expect(variables).to.include(`${userName.toUpperCase()}=${id}`);
      // After the log of the start.
      const shown = text.slice(text.indexOf("  REST, Connect, gRPC")).split("\n");
      const tooLong = shown.filter((line) => line.length > 80 && !/^(TOKEN|SERVICE)=/.test(line));
      expect(tooLong.filter((line) => !line.includes(" database "))).to.eql([]);
      expect(await start.stop()).to.equal(0);
    });
  }

  it("keeps its key and its data, and loads demo data once", async () => {
    await useExisting();
    const first = run("start");
    const text = await first.sees(lastLine);
    const { commands, paste } = shellLines(text);
    const [block = "", blocked = ""] = commands.slice(-3);
    paste(block);
    const port = /^URL=.*:(\d+)$/m.exec(text)?.[1] ?? "";
    expect(await first.stop("SIGINT")).to.equal(0);
    const again = run("start", { HTTP_PORT: port });
    await again.sees(ready);
    expect(JSON.parse(paste(blocked)).data).to.have.length(1);
  });

  it("refuses a directory that another process serves, and serves it again after a kill", async () => {
    await useExisting();
    const first = run("start");
    await first.sees(ready);
    const second = run("start");
    expect(await second.exited).to.equal(1);
    expect(second.output())
      .to.match(/in use/)
      .and.not.to.match(/\n\s+at /);
    await first.stop("SIGKILL");
    const third = run("start");
    await third.sees(ready);
  });

  it("mints tokens for users by name and id, and for services", async () => {
    await useExisting();
    const start = run("start");
    const text = await start.sees(lastLine);
    const base = /http:\/\/127\.0\.0\.1:\d+/.exec(text)?.[0];
    for (const user of ["bob", "b0b00000-0000-4000-8000-000000000002"]) {
      const minting = run("token", {}, ["--user", user]);
      expect(await minting.exited).to.equal(0);
      const answer = await fetch(`${base}/users/me/privacy`, {
        headers: { authorization: minting.output().trim() },
      });
      expect(answer.status).to.equal(200);
    }
    const stranger = run("token", {}, ["--user", "nobody"]);
    expect(await stranger.exited).to.equal(1);
    const service = run("token", {}, ["--service", "feed", "--scope", "graph.read"]);
    expect(await service.exited).to.equal(0);
    expect(service.output().trim().split(".")).to.have.length(3);
    expect(await run("token").exited).to.equal(1);
  });

  it("in production names every variable that is missing, and loads no demo data", async function () {
    const bare = run("start", { NODE_ENV: "production" });
    expect(await bare.exited).to.equal(1);
    for (const name of ["JWT_SECRET", "JWT_ISSUER", "DATABASE_URL"]) expect(bare.output()).to.contain(name);

    const url = await postgresUrl();
    if (url === undefined) return this.skip();
    const environment = {
      NODE_ENV: "production",
      DATABASE_URL: url,
      JWT_SECRET: "a secret of more than thirty-two bytes",
      JWT_ISSUER: "https://accounts.example",
    };
    const early = run("start", environment);
    expect(await early.exited).to.equal(1);
    expect(early.output()).to.contain("npm run migrate");
    expect(await run("migrate", { DATABASE_URL: url }).exited).to.equal(0);
    const start = run("start", environment);
    expect(await start.sees(/listening/)).not.to.match(ready);
    const minting = run("token", environment, ["--user", "777e7777-e77b-77d7-a777-777777777777"]);
    await minting.exited;
    const { publicUrl } = JSON.parse(/\{.*"listening".*\}/.exec(start.output())?.[0] ?? "{}");
    const answer = await fetch(`${publicUrl}/users/me/privacy`, {
      headers: { authorization: minting.output().trim() },
    });
    expect(answer.status).to.equal(401);
  });
});
