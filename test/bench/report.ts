import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { serverSettings } from "./harness/database.ts";
import type { Row } from "./harness/results.ts";
import type { Options } from "./options.ts";

/** All that a run found, for machines to read. */
export interface Report {
  /** The day of the run, UTC. */
  readonly date: string;
  readonly machine: { readonly cores: number; readonly processor: string };
  readonly versions: Record<string, string>;
  readonly rounds: number;
  readonly secondsEach: number;
  readonly data: Options["size"];
  readonly notes: readonly string[];
  readonly rows: readonly Row[];
}

/** What the figures rest on. */
const notes = [
  "Each row compares measurements that follow each other in the same round; the order turns round with every round. A goal is met when three quarters of the rounds meet it.",
  "The measured server has one processor core, PostgreSQL and the load the other, in every row.",
  "This service runs as in production: tokens verified, messages validated, a log line for every call (into a file), full consistency, no cache of answers. Node has the flags of npm start, for the peers too.",
  "The peers of grpc-js and the bare one of Fastify verify no token, validate nothing and log nothing. Fastify + pg in production does: jose with remembered tokens, compiled schemas, a line of pino (a write for each, as is Fastify's default; this service writes once a turn) and a request id for every call, time limits for locks and statements; its changes run in the transactions of this service. With autocommit, and bare, unblock and PATCH are one statement each: a change whose caller got an error can then take effect after a later one.",
  "The gRPC load calls with one service token, as services use theirs until it expires; the REST load with a token for each user.",
  "gRPC: many different requests, every answer compared byte for byte with the right one, consistency tokens apart (the empty method: h2load, with this service's log searched for failed calls). REST: wrk, every answer looked at. BlockUser: acknowledged blocks are counted in the table. A wrong or missing answer ends the run.",
  `PostgreSQL is the same for all: fsync=off, ${serverSettings.join(", ")}.`,
];

export function reportOf(rows: readonly Row[], options: Options, postgresVersion: string): Report {
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: { cores: cpus().length, processor: cpus()[0]?.model.trim() ?? "unknown" },
    versions: {
      node: process.versions.node,
      postgresql: postgresVersion.split(" ")[0] ?? "",
      ...Object.fromEntries(["@grpc/grpc-js", "@connectrpc/connect-node", "fastify", "pg"].map(versionOf)),
      h2load: firstVersion("h2load", "--version"),
      wrk: firstVersion("wrk", "-v"),
    },
    rounds: options.rounds,
    secondsEach: options.ms / 1_000,
    data: options.size,
    notes,
    rows,
  };
}

function versionOf(name: string): [string, string] {
  return [name, JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8")).version];
}

function firstVersion(command: string, flag: string): string {
  const { stdout, stderr } = spawnSync(command, [flag], { encoding: "utf8" });
  return /\d+(?:\.\d+)+/.exec(stdout + stderr)?.[0] ?? "unknown";
}
