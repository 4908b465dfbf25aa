import { parseArgs } from "node:util";
import { CommandError, runCommand } from "./command.ts";
import { type Config, readConfig } from "./config.ts";
import { demoUsers } from "./development/demo-data.ts";
import { serviceToken, userToken } from "./development/mint.ts";
import { configuredMinting } from "./development/minting.ts";
import { parseUserId, type UserId } from "./domain/ids.ts";
import { DirectoryInUseError, openDatabase } from "./store/database.ts";

const usage = `Usage:
  npm run token -- --user NAME-OR-ID [--hours N]
  npm run token -- --service NAME --scope "access.read graph.read graph.write users.act" [--hours N]
`;

await runCommand(async () => {
  const config = readConfig(process.env);
  const { user, service, scope, hours } = readArguments();
  const minting = configuredMinting(config, hours);
  if (minting === undefined)
    throw new CommandError("JWKS_URL is set: whoever holds its private key mints the tokens.");
  const token =
    user === undefined
      ? await serviceToken(service ?? "", scope, minting)
      : await userToken(parseUserId(user) ?? (await userByName(user, config)), minting);
  process.stdout.write(`${token}\n`);
});

function readArguments() {
  try {
    const { values } = parseArgs({
      options: {
        user: { type: "string" },
        service: { type: "string" },
        scope: { type: "string", default: "" },
        hours: { type: "string", default: "24" },
      },
    });
    const hours = Number(values.hours);
    if (!(hours > 0) || (values.user === undefined) === (values.service === undefined)) throw new Error();
    return { ...values, hours };
  } catch {
    throw new CommandError(usage);
  }
}

async function userByName(name: string, { database: { url, dataDir } }: Config): Promise<UserId> {
  const found = await idsOf(name, url, dataDir);
  const [id, ...others] = found;
  if (id === undefined) throw new CommandError(`No user is named ${name}.`);
  if (others.length > 0)
    throw new CommandError(`Several users are named ${name}: ${found.join(", ")}. Give an id.`);
  return id;
}

async function idsOf(name: string, url: string | undefined, dataDir: string): Promise<UserId[]> {
  try {
    const database = await openDatabase({ url, dataDir });
    try {
      return await database.users.findByName(name);
    } finally {
      await database.close();
    }
  } catch (failure) {
    // The embedded database serves one process: while the service runs, the demo users are all we know.
    if (!(failure instanceof DirectoryInUseError)) throw failure;
    const demo = demoUsers.filter((user) => user.userName === name);
    if (demo.length > 0) return demo.map((user) => user.id);
    throw new CommandError(
      `The service is running on the embedded database: give the id of ${name} instead.`,
    );
  }
}
