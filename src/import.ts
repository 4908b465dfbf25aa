import { readFileSync } from "node:fs";
import { ConnectError } from "@connectrpc/connect";
import { CommandError, readCommandLine, runCommand } from "./command.ts";
import { internalUrl, readSigningConfig } from "./config/config.ts";
import { ConfigError } from "./config/variables.ts";
import { configuredIssuer, serviceToken, type TokenIssuer } from "./development/token-issuer.ts";
import { importFile } from "./importer/import-file.ts";
import { explainFailure, ProgressBar, reasonName, SkippedReport } from "./importer/report.ts";
import { openSource } from "./importer/source.ts";

const usage = `Usage:
  npm run import -- FILE [options]

Sends the records of a file to the running service. FILE is NDJSON (one JSON
object a line) or CSV with a header, in UTF-8 or UTF-16; - is standard input.

A record has a type and the fields of its kind:
  user                  id, userName, firstName, lastName,
                        profilePictureUrls, isVerified
  follow                ownerId, targetId, createdAt
  block                 the same, and expiresAt
  mute                  the same, and scopes (content, notifications)
  setting               userId, setting, audience
  exception             userId, setting, exceptedId, createdAt
A time is of RFC 3339, or in seconds or milliseconds since 1970. Without
createdAt it is now; without expiresAt there is no end; without scopes a mute
covers everything. A field that a user's record leaves out stays as it is.

Options:
  --url URL            the internal port: http://127.0.0.1:50051 unless HOST,
                       GRPC_PORT and TLS_CERT_FILE say otherwise
  --token-file FILE    a service's token; without it one is signed with
                       JWT_SECRET or with the key in DATA_DIR
  --assume-utc         reads times without a time zone as UTC
  --ignore NAMES       fields to leave out, separated by commas
  --allow-skipped      exits with 0 although records were skipped
  --skipped-file FILE  writes every skipped record's line and reason to FILE
  --ca-file FILE       the authority of the server's certificate (PEM)
  --cert-file FILE     the client certificate, if the service demands one (PEM)
  --key-file FILE      the private key of --cert-file (PEM)
  --help               shows this

Exit codes: 0 when every record is stored, 2 when some were skipped, 1 when the
import failed. An interrupted import continues when it is run again.
`;
const tokenHours = 24;
const skippedCode = 2;

const { values, positionals } = readCommandLine(usage, {
  allowPositionals: true,
  options: {
    url: { type: "string" },
    "token-file": { type: "string" },
    "assume-utc": { type: "boolean", default: false },
    ignore: { type: "string", default: "" },
    "allow-skipped": { type: "boolean", default: false },
    "skipped-file": { type: "string" },
    "ca-file": { type: "string" },
    "cert-file": { type: "string" },
    "key-file": { type: "string" },
  },
});

await runCommand(async () => {
  const [file, ...others] = positionals;
  if (file === undefined) throw new CommandError(`The file to import is missing.\n\n${usage}`);
  if (others.length > 0)
    throw new CommandError(`One file is imported at a time, not ${others.join(", ")} too.`);
  const url = readUrl(values.url ?? internalUrl(process.env));
  const tls = {
    ...content("ca", values["ca-file"]),
    ...content("cert", values["cert-file"]),
    ...content("key", values["key-file"]),
  };
  const token = values["token-file"] === undefined ? await ownToken() : readToken(values["token-file"]);
  const report = new SkippedReport(values["skipped-file"]);
  const bar = new ProgressBar(process.stderr);
  await using source = await openSource(file, process.stdin);
  try {
    const progress = await importFile(source, {
      url,
      token,
      tls,
      reading: { assumeUtc: values["assume-utc"], ignore: values.ignore.split(",").filter(Boolean) },
      onProgress: (fraction, record) => bar.show(fraction, `${record} records`),
      onSkipped: (skipped) => report.add(skipped),
    });
    bar.end();
    const counts = progress?.skipped.map(({ reason, count }) => `${count} ${reasonName(reason)}`) ?? [];
    process.stdout.write(
      `${progress?.records ?? 0} records: ${progress?.stored ?? 0} stored, ` +
        `${progress?.unchanged ?? 0} there already, skipped: ${counts.join(", ") || "none"}\n`,
    );
    if (counts.length > 0 && !values["allow-skipped"]) process.exitCode = skippedCode;
  } catch (failure) {
    bar.end();
    throw failure instanceof ConnectError ? new CommandError(explainFailure(failure, url)) : failure;
  } finally {
    process.stdout.write(report.end());
  }
});

function readUrl(text: string): string {
  const url = URL.parse(text);
  if (url !== null && /^https?:$/.test(url.protocol)) return text;
  throw new CommandError(`--url must be an http:// or https:// URL, not ${text}.`);
}

function readToken(path: string): string {
  const token = readFileSync(path, "utf8").trim();
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new CommandError(`${path} must hold a token, and nothing else.`);
}

function content<Name extends string>(name: Name, path: string | undefined): { [name in Name]?: string } {
  if (path === undefined) return {};
  const text = readFileSync(path, "utf8");
  if (!text.includes("-----BEGIN ")) throw new CommandError(`${path} must hold PEM.`);
  return { [name]: text } as { [name in Name]?: string };
}

async function ownToken(): Promise<string> {
  const issuer = ownIssuer();
  if (issuer === undefined)
    throw new CommandError("JWKS_URL is set: give a service's token with --token-file.");
  return serviceToken("import", "graph.read graph.write", issuer);
}

function ownIssuer(): TokenIssuer | undefined {
  try {
    return configuredIssuer(readSigningConfig(process.env), tokenHours);
  } catch (failure) {
    if (!(failure instanceof ConfigError)) throw failure;
    throw new CommandError(`${failure.message}\nOr give a service's token with --token-file.`);
  }
}
