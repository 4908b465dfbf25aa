import { execFileSync } from "node:child_process";

execFileSync("npm", ["run", "--silent", "generate"], { stdio: "inherit" });
const changed = execFileSync("git", ["status", "--porcelain", "--", "gen"], { encoding: "utf8" });
if (changed !== "") {
  process.stderr.write(
    `gen/ is not what the definitions generate; run "npm run generate" and commit:\n${changed}`,
  );
  process.exitCode = 1;
}
