import { spawnSync } from "node:child_process";
import { readCommandLine } from "../src/command.ts";

/** What `npm audit --json` answers: a report, or why there is none. */
interface Answer {
  readonly metadata?: { readonly vulnerabilities: { readonly total: number } };
  readonly statusCode?: number;
}

/** The answers of a registry without this query. */
const notOffered = [404, 405, 501];

const usage = `Usage:
  npm run audit

Asks the registry for known vulnerabilities of production dependencies. Exits
with 1 when there are any, and when the registry does not answer.
`;

readCommandLine(usage, {});

// A registry may not offer an audit. The output says so, and that is no
// failure.
const { stdout, stderr } = spawnSync("npm", ["audit", "--omit=dev", "--json"], { encoding: "utf8" });
const { metadata, statusCode } = readAnswer(stdout);
if (statusCode !== undefined && notOffered.includes(statusCode)) {
  process.stdout.write(`Not audited: the registry offers no audit (${statusCode}).\n`);
} else if (metadata?.vulnerabilities.total === 0) {
  process.stdout.write("Audited: no known weakness.\n");
} else {
  process.stdout.write(stdout || stderr);
  process.exitCode = 1;
}

/** What npm answers; nothing when it could not ask. */
function readAnswer(text: string): Answer {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
