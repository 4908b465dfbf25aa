import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { SkipReason } from "../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { CommandError, runCommand } from "./command.ts";
import { type Config, readConfig } from "./config.ts";
import { serviceToken } from "./development/mint.ts";
import { configuredMinting } from "./development/minting.ts";
import { importFile } from "./importer/import-file.ts";
import { ProgressBar } from "./importer/progress-bar.ts";

const usage = `Usage:
  npm run import -- FILE.ndjson|FILE.csv [--url http://127.0.0.1:50051] [--token-file FILE]

A line holds a "type" and the fields of its kind:
  user                  id, userName, firstName, lastName, profilePictureUrls, isVerified
  follow, block, mute   ownerId, targetId, createdAt
`;
const tokenHours = 24;
const shownSkips = 20;

const skipNames = Object.entries(SkipReason);
const nameOf = (reason: SkipReason) => skipNames.find(([, value]) => value === reason)?.[0] ?? "UNSPECIFIED";

await runCommand(async () => {
  const config = readConfig(process.env);
  const { file, url, tokenFile } = readArguments(config);
  const token = tokenFile === undefined ? await ownToken(config) : readFileSync(tokenFile, "utf8").trim();
  const bar = new ProgressBar(process.stderr);
  const { progress, skipped } = await importFile(file, {
    url,
    token,
    onProgress: (fraction, record) => bar.show(fraction, `${record} records`),
  });
  bar.end();
  const counts = progress?.skipped.map(({ reason, count }) => `${count} ${nameOf(reason)}`) ?? [];
  process.stdout.write(
    `${progress?.records} records: ${progress?.stored} stored, ${progress?.unchanged} there already, ` +
      `skipped: ${counts.join(", ") || "none"}\n`,
  );
  for (const { record, reason } of skipped.slice(0, shownSkips)) {
    process.stdout.write(`  record ${record}: ${nameOf(reason)}\n`);
  }
});

function readArguments(config: Config) {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        url: { type: "string", default: `http://${config.host}:${config.grpcPort}` },
        "token-file": { type: "string" },
      },
    });
    const [file, ...others] = positionals;
    if (file === undefined || others.length > 0) throw new Error();
    return { file, url: values.url, tokenFile: values["token-file"] };
  } catch {
    throw new CommandError(usage);
  }
}

async function ownToken(config: Config): Promise<string> {
  const minting = configuredMinting(config, tokenHours);
  if (minting === undefined)
    throw new CommandError("JWKS_URL is set: give a service's token with --token-file.");
  return serviceToken("import", "graph.read graph.write", minting);
}
