import { ConnectError, createClient } from "@connectrpc/connect";
import { ChangeService } from "../gen/nexgate/privacy/v1/change_service_pb.ts";
import { reasonOf } from "./call/errors.ts";
import { CommandError, readCommandLine, runCommand } from "./command.ts";
import { kindWords } from "./commands/change-lines.ts";
import { explainFailure } from "./commands/explain-failure.ts";
import { ClosedPipeError, openStream } from "./commands/output.ts";
import { watchChanges } from "./commands/watch-changes.ts";
import { parseUserId } from "./domain/users.ts";
import { openInternalPort, portOptions, portUsage } from "./internal-port.ts";

const usage = `Usage:
  npm run -s watch -- [options]

Writes the changes of the running service as they are committed, one JSON object
a line, until it is interrupted. A line says what holds from then on:
  block, mute, follow   ownerId, targetId, present, createdAt, expiresAt, scopes
  setting               userId, setting, present, audience
  exception             userId, setting, exceptedId, present
  user                  userId, present: false when the user is erased, and with
                        the user everything that names the user
type is one of these. A line has also version, which grows with each change of
the same key, cause (user, service, import, block, expiry, erasure) and
changedAt; not in a snapshot. What does not apply is left out: expiresAt of what
never ends, scopes of a mute of everything.

When the service is lost, it is called again, and the changes go on where they
stopped. A change may then come twice.

Options:
  --snapshot           begins with everything that holds now
  --cursor CURSOR      begins after that cursor of an earlier run
  --cursors            writes, after the changes that it covers, each cursor:
                       type (cursor), cursor, complete, through. The last one is
                       also written to standard error at the end
  --user ID            only changes that name this user, and erasures of users
  --kinds KINDS        only changes of these kinds, with commas between them:
                       block, mute, follow, setting, exception, user. Erasures
                       of users are always written. A cursor is good for the
                       same kinds only
${portUsage}
  --help               shows this

Exit codes: 0 when it is interrupted, 2 when the changes after the cursor are
not there any more (begin with --snapshot), 1 for any other failure.
`;
const mustRestartCode = 2;
const mustRestart: Readonly<Record<string, string>> = {
  CURSOR_EXPIRED: "The change log no longer reaches back to the cursor.",
  HISTORY_CHANGED: "The database has lost the history of the cursor, by a failover or a restore.",
};
const explained = { needs: "To watch needs changes.read.", again: "Run the command again." };

const { values } = readCommandLine(usage, {
  options: {
    ...portOptions,
    snapshot: { type: "boolean", default: false },
    cursor: { type: "string" },
    cursors: { type: "boolean", default: false },
    user: { type: "string" },
    kinds: { type: "string", default: "" },
  },
});

await runCommand(async () => {
  const { snapshot, cursor: given } = values;
  if (snapshot && given !== undefined) throw new CommandError("Give either --snapshot or --cursor.");
  const userId = values.user === undefined ? undefined : parseUserId(values.user);
  if (values.user !== undefined && userId === undefined)
    throw new CommandError(`--user must be the UUID of a user, not ${values.user}.`);
  const kinds = values.kinds.split(",").filter(Boolean).map(toKind);
  const port = await openInternalPort(values, { name: "watch", scopes: "changes.read" });
  const stopped = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => stopped.abort());
  const say = (text: string) => process.stderr.write(`${text}\n`);
  let cursor = given;
  try {
    await watchChanges({
      client: createClient(ChangeService, port.transport),
      call: port.call,
      start: startOf(given, snapshot),
      kinds,
      userId,
      withCursors: values.cursors,
      output: openStream(process.stdout),
      onCursor: (latest) => {
        cursor = latest;
      },
      onLost: ({ rawMessage }, pauseMs) =>
        say(`${port.url}: ${rawMessage}. Calling again in ${(pauseMs / 1_000).toFixed(1)} s.`),
      onResumed: () => say(`${port.url} is followed again.`),
      signal: stopped.signal,
    });
  } catch (failure) {
    if (failure instanceof ClosedPipeError) process.exit(0);
    if (!(failure instanceof ConnectError)) throw failure;
    const restart = mustRestart[reasonOf(failure) ?? ""];
    if (restart === undefined) throw new CommandError(explainFailure(failure, { ...port, ...explained }));
    say(`${restart} Begin again with --snapshot, and replace what was made of the changes so far.`);
    process.exitCode = mustRestartCode;
    return;
  } finally {
    if (cursor !== undefined && cursor !== given) say(`To go on from here: --cursor ${cursor}`);
  }
  process.exit(0);
});

function startOf(cursor: string | undefined, snapshot: boolean) {
  if (cursor !== undefined) return { case: "cursor", value: cursor } as const;
  return snapshot ? ({ case: "snapshot", value: true } as const) : ({ case: "now", value: true } as const);
}

function toKind(name: string) {
  const kind = kindWords.get(name.trim().toLowerCase());
  if (kind !== undefined) return kind;
  throw new CommandError(`--kinds must name some of ${[...kindWords.keys()].join(", ")}, not ${name}.`);
}
