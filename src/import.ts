import { ConnectError, createClient } from "@connectrpc/connect";
import { GraphService } from "../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { CommandError, readCommandLine, runCommand } from "./command.ts";
import { explainFailure } from "./commands/explain-failure.ts";
import { ProgressBar } from "./commands/progress-bar.ts";
import { importFile } from "./importer/import-file.ts";
import { reasonName, SkippedReport } from "./importer/report.ts";
import { openSource } from "./importer/source.ts";
import { openInternalPort, portOptions, portUsage } from "./internal-port.ts";

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
  --assume-utc         reads times without a time zone as UTC
  --ignore NAMES       fields to leave out, separated by commas
  --allow-skipped      exits with 0 although records were skipped
  --skipped-file FILE  writes every skipped record's line and reason to FILE
${portUsage}
  --help               shows this

Exit codes: 0 when every record is stored, 2 when some were skipped, 1 when the
import failed. An interrupted import continues when it is run again.
`;
const skippedCode = 2;
const explained = {
  needs: "An import needs graph.read and graph.write.",
  again: "Run the command again: the import goes on where it stopped.",
};

const { values, positionals } = readCommandLine(usage, {
  allowPositionals: true,
  options: {
    ...portOptions,
    "assume-utc": { type: "boolean", default: false },
    ignore: { type: "string", default: "" },
    "allow-skipped": { type: "boolean", default: false },
    "skipped-file": { type: "string" },
  },
});

await runCommand(async () => {
  const [file, ...others] = positionals;
  if (file === undefined) throw new CommandError(`The file to import is missing.\n\n${usage}`);
  if (others.length > 0)
    throw new CommandError(`One file is imported at a time, not ${others.join(", ")} too.`);
  const port = await openInternalPort(values, { name: "import", scopes: "graph.read graph.write" });
  const report = new SkippedReport(values["skipped-file"]);
  const bar = new ProgressBar(process.stderr);
  await using source = await openSource(file, process.stdin);
  try {
    const progress = await importFile(source, {
      client: createClient(GraphService, port.transport),
      call: await port.call(),
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
    if (failure instanceof ConnectError)
      throw new CommandError(explainFailure(failure, { ...port, ...explained }));
    throw failure;
  } finally {
    process.stdout.write(report.end());
  }
});
