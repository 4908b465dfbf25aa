import { execFileSync } from "node:child_process";

execFileSync("npm", ["run", "--silent", "generate"], { stdio: "inherit" });
const generated = ["gen", "docs/decision-table.json", "docs/decision-table.schema.json"];
const changed = execFileSync("git", ["status", "--porcelain", "--", ...generated], { encoding: "utf8" });
if (changed !== "") {
  process.stderr.write(
    `Not what the definitions and the decision table generate; run "npm run generate" and commit:\n${changed}`,
  );
  process.exitCode = 1;
}
