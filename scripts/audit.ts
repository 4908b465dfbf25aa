import { spawnSync } from "node:child_process";

/** What `npm audit --json` answers: a report, or why there is none. */
interface Answer {
  readonly metadata?: { readonly vulnerabilities: { readonly total: number } };
  readonly statusCode?: number;
}

/** How a registry says that it knows of no such question. */
const notOffered = [404, 405, 501];

// Asks the registry for known weaknesses of what production uses. Not every registry can tell: that is said, and is no
// failure.
const { stdout } = spawnSync("npm", ["audit", "--omit=dev", "--json"], { encoding: "utf8" });
const { metadata, statusCode } = JSON.parse(stdout) as Answer;
if (statusCode !== undefined && notOffered.includes(statusCode)) {
  process.stdout.write(`Not audited: the registry offers no audit (${statusCode}).\n`);
} else if (metadata?.vulnerabilities.total === 0) {
  process.stdout.write("Audited: no known weakness.\n");
} else {
  process.stdout.write(stdout);
  process.exitCode = 1;
}
