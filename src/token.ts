import { AccessService } from "../gen/nexgate/privacy/v1/access_service_pb.ts";
import { ChangeService } from "../gen/nexgate/privacy/v1/change_service_pb.ts";
import { GraphService } from "../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { PrivacyControlService } from "../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { scopeOf } from "./call/auth/authenticator.ts";
import { CommandError, readCommandLine, runCommand } from "./command.ts";
import { readDatabaseConfig, readSigningConfig } from "./config/config.ts";
import { demoUsers } from "./development/demo-data.ts";
import { configuredIssuer, serviceToken, userToken } from "./development/token-issuer.ts";
import { parseUserId, type UserId } from "./domain/users.ts";
import { DirectoryInUseError, openDatabase } from "./store/database.ts";

const knownScopes = [
  ...new Set(
    [PrivacyControlService, AccessService, GraphService, ChangeService].flatMap(({ methods }) =>
      methods.map(scopeOf),
    ),
  ),
].sort();
/** Ten years. */
const maxHours = 87_600;
/** The SQLSTATE of a table that does not exist. */
const undefinedTable = "42P01";

const usage = `Usage:
  npm run token -- --user NAME-OR-ID [--hours N]
  npm run token -- --service NAME --scope "SCOPE ..." [--hours N]

Writes a token that the key of this service signs: JWT_SECRET, or the one in
DATA_DIR that the first start made.

Options:
  --user NAME-OR-ID   a user's token, for the public port
  --service NAME      a service's token, for the internal port
  --scope SCOPES      what the service may do, separated by spaces:
                      ${knownScopes.join("\n                      ")}
  --hours N           how long the token is good: 24 unless said otherwise
  --help              shows this
`;

const { values } = readCommandLine(usage, {
  options: {
    user: { type: "string" },
    service: { type: "string" },
    scope: { type: "string" },
    hours: { type: "string", default: "24" },
  },
});

await runCommand(async () => {
  const { user, service, scope } = values;
  if ((user === undefined) === (service === undefined))
    throw new CommandError(`Give either --user or --service.\n\n${usage}`);
  if (user !== undefined && scope !== undefined)
    throw new CommandError("--scope is for a token of a --service.");
  const hours = readHours(values.hours);
  const scopes = readScopes(scope ?? "");
  const issuer = configuredIssuer(readSigningConfig(process.env), hours);
  if (issuer === undefined) throw new CommandError("JWKS_URL is set: its issuer signs the tokens.");
  const token =
    user === undefined
      ? await serviceToken(service ?? "", scopes, issuer)
      : await userToken(parseUserId(user) ?? (await userByName(user)), issuer);
  process.stdout.write(`${token}\n`);
});

function readHours(text: string): number {
  const hours = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && hours > 0 && hours <= maxHours) return hours;
  throw new CommandError(`--hours must be a number up to ${maxHours}, not ${text}.`);
}

function readScopes(text: string): string {
  const scopes = text.split(/[\s,]+/).filter(Boolean);
  const unknown = scopes.filter((scope) => !knownScopes.includes(scope));
  if (unknown.length === 0) return scopes.join(" ");
  throw new CommandError(`Unknown scopes: ${unknown.join(", ")}. Known are ${knownScopes.join(", ")}.`);
}

async function userByName(name: string): Promise<UserId> {
  const found = await idsOf(name);
  const [id, ...others] = found;
  if (id === undefined) throw new CommandError(`No user is named ${name}.`);
  if (others.length > 0)
    throw new CommandError(`Several users are named ${name}: ${found.join(", ")}. Give an id.`);
  return id;
}

async function idsOf(name: string): Promise<UserId[]> {
  try {
    const database = await openDatabase(readDatabaseConfig(process.env));
    try {
      return (await database.users.findByName(name)).map(({ id }) => id);
    } catch (failure) {
      if ((failure as { code?: unknown }).code !== undefinedTable) throw failure;
      throw new CommandError(
        `The database ${database.describe()} has no tables yet: run npm start or npm run migrate first, and check DATABASE_URL and DATA_DIR.`,
      );
    } finally {
      await database.close();
    }
  } catch (failure) {
    // The embedded database serves one process: while the service runs, the demo users are all we know.
    if (!(failure instanceof DirectoryInUseError)) throw failure;
    const demo = demoUsers.filter((user) => user.userName === name);
    if (demo.length > 0) return demo.map((user) => user.id);
    throw new CommandError(
      `The service uses the embedded database, which only one process can open: give the id of "${name}", not the name.`,
    );
  }
}
