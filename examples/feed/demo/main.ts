import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { readCommandLine } from "../../../src/command.ts";
import type { App } from "./clients.ts";
import { installClient } from "./install.ts";
import { Program } from "./program.ts";

const usage = `Usage:
  npm run example
  npm run example -- --exit

Packs the client, installs it into examples/feed, starts Privacy Control with an
embedded database and the feed, and shows how a block takes effect. Both go on
running until Ctrl-C; with --exit they end at once.
`;
const { values } = readCommandLine(usage, { options: { exit: { type: "boolean" } } });

const fileOf = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const say = (text: string) => process.stdout.write(`${text}\n`);

const alice = "a11ce000-0000-4000-8000-000000000001";
const oversharer = "100e1000-e10b-10d1-a100-100000000000";
const names = new Map([
  [alice, "alice"],
  [oversharer, "oversharer"],
]);
/** How long the demonstration waits until a block is seen, at most. */
const longestWaitMs = 10_000;

const dataDir = mkdtempSync(join(tmpdir(), "privacy-control-example-"));
const programs: Program[] = [];
const interrupted = Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);

try {
  await Promise.race([demonstrate(), interrupted]);
} catch (failure) {
  process.stderr.write(`${failure instanceof Error ? failure.message : failure}\n`);
  process.exitCode = 1;
} finally {
  for (const program of programs.toReversed()) await program.stop();
  rmSync(dataDir, { recursive: true, force: true });
}
process.exit();

async function demonstrate(): Promise<void> {
  say("Packing the client and installing it into examples/feed ...");
  installClient();
  // The packages that these import are installed only now.
  const { App, registerUsers, Tokens } = await import("./clients.ts");

  const secret = randomBytes(32).toString("base64url");
  const tokens = new Tokens(secret);
  const ports = { HTTP_PORT: "0", GRPC_PORT: "0", ADMIN_PORT: "0" };
  const service = await start("Privacy Control", "../../../src/main.ts", {
    ...ports,
    DATA_DIR: dataDir,
    JWT_SECRET: secret,
  });
  const { publicUrl = "", internalUrl = "" } = service;
  await registerUsers(internalUrl, await tokens.ofService("accounts", "graph.write"), names);
  const { url = "" } = await start("the feed", "../src/main.ts", {
    PRIVACY_CONTROL_URL: internalUrl,
    PRIVACY_CONTROL_TOKEN: await tokens.ofService("feed", "access.read changes.read"),
    JWT_SECRET: secret,
  });
  await untilReady(url);
  say(`Privacy Control: ${publicUrl} (REST), ${internalUrl} (gRPC)`);
  say(`The feed:        ${url}\n`);

  const aliceToken = await tokens.ofUser(alice);
  const ofAlice = new App(url, publicUrl, aliceToken);
  const ofOversharer = new App(url, publicUrl, await tokens.ofUser(oversharer));
  await ofAlice.post("Good morning!");
  await ofOversharer.post("What I had for breakfast");
  say(`oversharer reads the feed: ${await authorsIn(ofOversharer)}`);
  say(`alice reads the feed:      ${await authorsIn(ofAlice)}`);
  await showBlock(ofAlice, ofOversharer);

  if (values.exit) return;
  say(`\nTry it, as alice:\n  TOKEN=${aliceToken}`);
  say(`  curl -H "Authorization: Bearer $TOKEN" ${url}/feed`);
  say("\nCtrl-C ends both.");
  await interrupted;
}

/** Alice blocks oversharer: when does the feed of each show it? */
async function showBlock(ofAlice: App, ofOversharer: App): Promise<void> {
  const sentAt = performance.now();
  const token = await ofAlice.block(oversharer);
  const acknowledgedAt = performance.now();
  const since = () => performance.now() - acknowledgedAt;
  say(`alice blocks oversharer:   acknowledged after ${ms(acknowledgedAt - sentAt)}`);

  const own = async () =>
    `${await authorsIn(ofAlice, token)}, ${ms(since())} later, by the token of the block`;
  const others = async () => {
    for (;;) {
      const authors = await authorsIn(ofOversharer);
      if (!authors.includes("alice")) return `${authors}, ${ms(since())} later, without a token`;
      if (since() > longestWaitMs) throw new Error(`the block has no effect after ${ms(since())}`);
      await delay(5);
    }
  };
  const [byToken, byWaiting] = await Promise.all([own(), others()]);
  say(`alice reads the feed:      ${byToken}`);
  say(`oversharer reads the feed: ${byWaiting}`);
}

async function authorsIn(app: App, after?: string): Promise<string> {
  const { posts } = await app.read(after);
  return posts.map(({ author, text }) => `"${text}" by ${names.get(author)}`).join(", ");
}

async function start(
  name: string,
  path: string,
  env: Record<string, string>,
): Promise<Record<string, string>> {
  const program = new Program(name, fileOf(path), env);
  programs.push(program);
  return program.listening();
}

/** Waits until the replica of the feed has loaded its copy. */
async function untilReady(url: string): Promise<void> {
  while (!(await fetch(`${url}/readyz`)).ok) await delay(20);
}

function ms(time: number): string {
  return `${time.toFixed(0)} ms`;
}
