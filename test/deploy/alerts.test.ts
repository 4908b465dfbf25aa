import { spawnSync } from "node:child_process";
import { expect } from "chai";
import { programOrSkip } from "../support/programs.ts";

/** Runs Prometheus' own tool beside the rules. Returns what it says when it finds a fault, else nothing. */
function promtool(test: Mocha.Context, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(programOrSkip(test, "promtool"), args, {
    cwd: "deploy/prometheus",
    encoding: "utf8",
  });
  return status === 0 ? "" : stdout + stderr;
}

describe("the alert rules", function () {
  this.timeout(30_000);

  it("fire when they should, and only then", function () {
    expect(promtool(this, "test", "rules", "alerts.test.yaml")).to.equal("");
  });

  it("are loaded by the scrape configuration", function () {
    expect(promtool(this, "check", "config", "prometheus.yaml")).to.equal("");
  });
});
