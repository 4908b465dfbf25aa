import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { expect } from "chai";
import { manifest } from "../supply-chain/lockfile.ts";

const npmConfig = (name: string) => execFileSync("npm", ["config", "get", name], { encoding: "utf8" }).trim();

describe("npm ci", () => {
  it("runs no script of any dependency, so that none can call home", () => {
    expect(npmConfig("ignore-scripts")).to.equal("true");
    expect(manifest.scarfSettings).to.eql({ enabled: false });
  });

  it("does not warn of npm's own Node: another one is installed with the packages", () => {
    expect(npmConfig("loglevel")).to.equal("error");
  });
});

describe("the scripts of package.json", () => {
  const scripts: [name: string, command: string][] = Object.entries(manifest.scripts);

  it("mean the same to sh and to cmd.exe", () => {
    const isKnown = (program: string) =>
      program === "node" ||
      existsSync(`node_modules/.bin/${program}`) ||
      (program === "exec" && existsSync("exec.cmd"));
    for (const [name, command] of scripts) {
      const parts = command.split(" && ");
      // Of what a shell understands, only `&&` and double quotes.
      expect(parts.join(" "), name).not.to.match(/['`$%^&|;<>()~*?#]/);
      for (const part of parts) expect(part.split(" ")[0], name).to.satisfy(isKnown);
    }
  });

  // A shell between npm and Node would take the signal for itself and leave Node running.
  it("give the place of the shell to those that npm passes signals on to", () => {
    for (const name of ["start", "migrate", "token", "import"])
      expect(manifest.scripts[name], name).to.match(/^exec node /);
    expect(readFileSync("exec.cmd", "utf8").trimEnd().split("\n").at(-1)).to.equal("@%*");
  });
});
