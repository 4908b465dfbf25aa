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
    [--ca-file FILE] [--cert-file FILE --key-file FILE]

--ca-file names a PEM file of who signs the certificate of an https URL, --cert-file and --key-file what the service
may demand to see.

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
  const { file, url, token: given, ...tls } = readArguments(config);
  const token = given?.trim() ?? (await ownToken(config));
  const bar = new ProgressBar(process.stderr);
  const { progress, skipped } = await importFile(file, {
    url,
    token,
    tls,
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
  const { values, positionals } = parse(config);
  const [file, ...others] = positionals;
  if (file === undefined || others.length > 0) throw new CommandError(usage);
  return {
    file,
    url: values.url,
    ...content("token", values["token-file"]),
    ...content("ca", values["ca-file"]),
    ...content("cert", values["cert-file"]),
    ...content("key", values["key-file"]),
  };
}

function parse({ tls, host, grpcPort }: Config) {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        url: { type: "string", default: `${tls === undefined ? "http" : "https"}://${host}:${grpcPort}` },
        "token-file": { type: "string" },
        "ca-file": { type: "string" },
        "cert-file": { type: "string" },
        "key-file": { type: "string" },
      },
    });
  } catch {
    throw new CommandError(usage);
  }
}

function content<Name extends string>(name: Name, path: string | undefined): { [name in Name]?: string } {
  return (path === undefined ? {} : { [name]: readFileSync(path, "utf8") }) as { [name in Name]?: string };
}

async function ownToken(config: Config): Promise<string> {
  const minting = configuredMinting(config, tokenHours);
  if (minting === undefined)
    throw new CommandError("JWKS_URL is set: give a service's token with --token-file.");
  return serviceToken("import", "graph.read graph.write", minting);
}
