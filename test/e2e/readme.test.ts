import { execFile } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { promisify } from "node:util";
import { expect } from "chai";
import { newDataDirectory } from "../support/data-directory.ts";
import { type RunningScript, runScript } from "../support/process.ts";

const readme = readFileSync("README.md", "utf8");
/** The examples: shell commands, each followed by the JSON that they answer. */
const examples = [...readme.matchAll(/```sh\n([^`]*)```\n\n```json\n([^`]*)```/g)].map(
  ([, commands = "", answer = ""]) => ({ commands, answer: JSON.parse(answer) }),
);

/** The ids, times and tokens that are new in every run. */
const generated = new Set(["action_time", "createdAt", "consistencyToken"]);
const withoutGenerated = (answer: unknown) =>
  JSON.parse(JSON.stringify(answer), (key, value) => {
    if (key !== "data") return generated.has(key) ? typeof value : value;
    return { ...value, id: typeof value.id };
  });

describe("the README", function () {
  this.timeout(60_000);
  let service: RunningScript;
  let dataDir: string;
  before(async () => {
    dataDir = await newDataDirectory();
    service = runScript("start", { DATA_DIR: dataDir, HTTP_PORT: "0", GRPC_PORT: "0", ADMIN_PORT: "0" });
  });
  after(async () => {
    await service?.stop("SIGKILL");
    rmSync(dataDir, { recursive: true, force: true });
  });

  it("shows commands that print the shown answers when pasted in order into a shell", async () => {
    const text = await service.sees(/npm run token -- --service/);
    const urlOf = (what: string) => new RegExp(`${what} +(http\\S+)`).exec(text)?.[1] ?? "";
    const separator = "\n# the next example\n";
    const script = examples
      .map(({ commands }) => commands)
      .join(`echo '${separator}'\n`)
      .replaceAll("http://127.0.0.1:7001", urlOf("REST, Connect, gRPC"))
      .replaceAll("http://127.0.0.1:50051", urlOf("gRPC for services"));
    const { stdout } = await promisify(execFile)("sh", ["-ec", script], {
      env: { ...process.env, DATA_DIR: dataDir },
    });
    const answers = stdout.split(separator.trim()).map((answer) => JSON.parse(answer));
    expect(examples).to.have.length(3);
    expect(answers.map(withoutGenerated)).to.eql(examples.map(({ answer }) => withoutGenerated(answer)));
  });
});
