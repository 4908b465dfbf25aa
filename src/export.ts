import { ConnectError, createClient } from "@connectrpc/connect";
import { GraphService } from "../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { CommandError, readCommandLine, runCommand } from "./command.ts";
import { explainFailure } from "./commands/explain-failure.ts";
import { exportRecords } from "./commands/export-records.ts";
import { ClosedPipeError, openFile, openStream } from "./commands/output.ts";
import { ProgressBar } from "./commands/progress-bar.ts";
import { parseUserId } from "./domain/users.ts";
import { openInternalPort, portOptions, portUsage } from "./internal-port.ts";

const usage = `Usage:
  npm run export -- FILE.ndjson [options]

Writes what the running service holds to a file that npm run import reads:
users, follows, blocks, mutes, settings and exceptions, one JSON object a line,
each kind in the order of its keys. - is standard output. Until it is complete
the file is named FILE.ndjson.part.

The export is not of one moment: what changes while it runs is in it or not. A
user who joins meanwhile comes before the records that mention the user, so that
none of them is skipped for an unknown user when the file is imported. What has
ended, and what names a user who is being erased, is left out.

Options:
  --user ID            only what this user made: the user, the user's follows,
                       blocks, mutes, settings and exceptions, and nothing that
                       others made. Its import needs the users whom it mentions
  --force              replaces a file that exists
${portUsage}
  --help               shows this

Exit codes: 0 when the export is complete, else 1.
`;
const explained = {
  needs: "An export needs graph.read.",
  again: "Run the command again: the export begins anew.",
};

const { values, positionals } = readCommandLine(usage, {
  allowPositionals: true,
  options: {
    ...portOptions,
    user: { type: "string" },
    force: { type: "boolean", default: false },
  },
});

await runCommand(async () => {
  const [file, ...others] = positionals;
  if (file === undefined) throw new CommandError(`The file to write is missing.\n\n${usage}`);
  if (others.length > 0)
    throw new CommandError(`One file is written at a time, not ${others.join(", ")} too.`);
  const userId = values.user === undefined ? undefined : parseUserId(values.user);
  if (values.user !== undefined && userId === undefined)
    throw new CommandError(`--user must be the UUID of a user, not ${values.user}.`);
  const port = await openInternalPort(values, { name: "export", scopes: "graph.read" });
  const stopped = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => stopped.abort());
  const isFile = file !== "-";
  const output = isFile ? await openFile(file, { force: values.force }) : openStream(process.stdout);
  const isShown = isFile || !process.stdout.isTTY;
  const bar = new ProgressBar(process.stderr);
  try {
    const records = await exportRecords({
      client: createClient(GraphService, port.transport),
      call: await port.call(),
      userId,
      output,
      onProgress: (done, total) => {
        if (isShown) bar.show(total === 0 ? 0 : Math.min(1, done / total), `${done} records`);
      },
      signal: stopped.signal,
    });
    await output.commit();
    if (isShown) bar.end();
    if (isFile) process.stdout.write(`${records} records written to ${file}\n`);
  } catch (failure) {
    if (isShown) bar.end();
    await output.discard();
    if (failure instanceof ClosedPipeError) process.exit(1);
    if (stopped.signal.aborted) throw new CommandError("The export was interrupted: nothing is written.");
    if (failure instanceof ConnectError)
      throw new CommandError(explainFailure(failure, { ...port, ...explained }));
    throw failure;
  }
});
