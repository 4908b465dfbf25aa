import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { postgresUrl } from "../support/cluster.ts";
import { runFile } from "../support/process.ts";

/** What `npm run` may be asked for: each a program of Node's with its arguments. */
const programs = Object.entries<string>(JSON.parse(readFileSync("package.json", "utf8")).scripts).flatMap(
  ([name, script]) => {
    const [, file, args = ""] = /^(?:exec )?node (?:--\S+ )*(\S+\.ts)((?: [\w-]+)*)$/.exec(script) ?? [];
    return file === undefined ? [] : [{ name, file, args: args.split(" ").filter(Boolean) }];
  },
);

describe("the command line", function () {
  this.timeout(120_000);
  let folder: string;
  let environment: Record<string, string>;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "privacy-control-"));
    environment = { DATA_DIR: join(folder, "data") };
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  async function run(file: string, args: string[], more: Record<string, string> = {}) {
    const script = runFile(file, { ...environment, ...more }, [], args);
    return { code: await script.exited, output: script.output() };
  }

  it("of every command prints its usage for --help, and does nothing else", async () => {
    expect(programs.map(({ name }) => name)).to.include.members([
      "start",
      "migrate",
      "token",
      "import",
      "sbom",
    ]);
    // Several commands are one program.
    const left = [...new Map(programs.map((program) => [program.file, program])).values()];
    const lane = async () => {
      for (let program = left.shift(); program !== undefined; program = left.shift()) {
        const { name, file, args } = program;
        // Whatever its other arguments and its environment are.
        const wrong = { HTTP_PORT: "none", DATABASE_URL: "none" };
        const { code, output } = await run(file, [...args, "--wrong", "--help"], wrong);
        expect(output, name).to.match(/^Usage:\n {2}npm .*\n/);
        for (const line of output.split("\n")) expect(line.length, `${name}: ${line}`).to.be.at.most(80);
        expect(code, name).to.equal(0);
      }
    };
    await Promise.all([lane(), lane()]);
    expect(existsSync(join(folder, "data"))).to.equal(false);
  });

  it("names an unknown option, and the known ones", async () => {
    const wrong: [string, string[], RegExp][] = [
      ["src/main.ts", ["--port", "1"], /^Unknown option '--port'\. Known options: --help\.\n$/],
      ["src/migrate.ts", ["up"], /^Unexpected argument 'up'\. Known options: --help\.\n$/],
      [
        "src/token.ts",
        ["--usr", "bob"],
        /^Unknown option '--usr'\. Known options: --user, --service, --scope, /,
      ],
      ["src/token.ts", [], /^Give either --user or --service\.\n\nUsage:/],
      ["src/token.ts", ["--user", "bob", "--service", "feed"], /^Give either --user or --service\./],
      [
        "src/token.ts",
        ["--user", "bob", "--scope", "graph.read"],
        /^--scope is for a token of a --service\.\n$/,
      ],
      [
        "src/token.ts",
        ["--service", "feed", "--scope", "graph.read graph.reed"],
        /^Unknown scopes: graph\.reed\. Known are access\.explain, access\.read, changes\.read, graph\.read, graph\.write, users\.act\.\n$/,
      ],
      ...["0", "-1", "x", "Infinity", "1e9"].map((hours): [string, string[], RegExp] => [
        "src/token.ts",
        ["--service", "feed", `--hours=${hours}`],
        /^--hours must be a number up to 87600, not .*\.\n$/,
      ]),
    ];
    const outcomes = await Promise.all(wrong.map(([file, args]) => run(file, args)));
    for (const [n, [file, args, message]] of wrong.entries()) {
      expect(outcomes[n]?.output, `${file} ${args}`).to.match(message);
      expect(outcomes[n]?.code, `${file} ${args}`).to.equal(1);
    }
  });

  it("says what to do when the database has no tables", async () => {
    const { code, output } = await run("src/token.ts", ["--user", "bob"], {
      DATA_DIR: join(folder, "without-tables"),
      JWT_SECRET: "a secret of more than thirty-two bytes",
    });
    expect(output).to.match(/^The database .+ has no tables yet: .*npm start.*npm run migrate.*\n$/);
    expect(code).to.equal(1);
  });

  it("creates no signing key where the service has created none", async () => {
    const missing = join(folder, "without-key");
    const { code, output } = await run("src/token.ts", ["--user", "bob"], { DATA_DIR: missing });
    expect(output).to.match(/^There is no signing key in .*without-key.*jwt-secret: .*DATA_DIR.*\n$/);
    expect([code, existsSync(missing)]).to.eql([1, false]);
  });

  it("issues a token without the rest of the service's configuration", async () => {
    const configured = {
      JWT_SECRET: "a secret of more than thirty-two bytes",
      JWT_ISSUER: "https://accounts.example",
    };
    const more = { NODE_ENV: "production", HTTP_PORT: "none", ...configured };
    const { code, output } = await run("src/token.ts", ["--service", "feed", "--scope", "graph.read"], more);
    expect(output.split(".")).to.have.length(3);
    expect(code).to.equal(0);
  });

  it("of a migration prints what it applied, or that nothing was pending", async () => {
    const url = await postgresUrl();
    const more: Record<string, string> = url === undefined ? {} : { DATABASE_URL: url };
    const first = await run("src/migrate.ts", [], more);
    expect(first.output).to.match(/^Applied 0001-initial, .*: the schema of .* is up to date\n$/);
    const second = await run("src/migrate.ts", [], more);
    expect(second.output).to.match(/^Nothing to apply: the schema of .* is up to date\n$/);
    expect([first.code, second.code]).to.eql([0, 0]);
  });

  it("of a migration says in a line why it failed", async () => {
    const wrong = [{ DATABASE_URL: "postgres://127.0.0.1:1/none" }, { DATABASE_URL: "none" }];
    for (const more of wrong) {
      const { code, output } = await run("src/migrate.ts", [], more);
      expect(output).to.match(/^[^\n]+\n$/);
      expect(code).to.equal(1);
    }
  });
});
