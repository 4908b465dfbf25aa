import { styleText } from "node:util";
import { toJson } from "@bufbuild/protobuf";
import { ConnectError, createClient } from "@connectrpc/connect";
import { AccessService, ExplainAccessResponseSchema } from "../gen/nexgate/privacy/v1/access_service_pb.ts";
import { GraphService } from "../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { UserSchema } from "../gen/nexgate/privacy/v1/resources_pb.ts";
import { CommandError, readCommandLine, runCommand } from "./command.ts";
import { explainFailure } from "./commands/explain-failure.ts";
import { type Explained, explanationText, type Paints } from "./commands/explanation-text.ts";
import { findPair } from "./commands/find-pair.ts";
import { openInternalPort, portOptions, portUsage } from "./internal-port.ts";

const usage = `Usage:
  npm run -s explain -- VIEWER OWNER [options]
  npm run -s explain -- --signed-out OWNER [options]

Explains what a viewer may do with regard to an owner, as the running service
decides it now: every interaction with its effect and its cause, then what the
decisions rest on: blocks, mutes, follows and settings. Both users are named by
their ids or their exact user names. It tells who blocks and mutes whom: show it
to neither of them.

Effects: ALLOW, LIMIT (show no more than that the owner exists), HIDE (leave it
out without a trace), DENY.

Options:
  --signed-out         of a viewer who is not signed in
  --json               writes one JSON object: viewer (null when signed out) and
                       owner, with the fields of GetUser, and interactions,
                       facts and consistencyToken, as ExplainAccess has them
${portUsage}
  --help               shows this

The table is in colour on a terminal, and where FORCE_COLOR is set; not where
NO_COLOR is set.

Exit codes: 0 when it is explained, else 1: also for an unknown user, and for a
name that several users have, who are listed then.
`;
const explained = {
  needs: "An explanation needs access.explain and graph.read.",
  again: "Run the command again.",
};
const timeoutMs = 30_000;

const paint = (format: Parameters<typeof styleText>[0]) => (text: string) =>
  styleText(format, text, { stream: process.stdout });
const paints: Paints = {
  title: paint("bold"),
  faint: paint("dim"),
  good: paint("green"),
  middling: paint("yellow"),
  bad: paint("red"),
};

const { values, positionals } = readCommandLine(usage, {
  allowPositionals: true,
  options: {
    ...portOptions,
    "signed-out": { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

await runCommand(async () => {
  const isSignedOut = values["signed-out"];
  const [first = "", second = ""] = positionals;
  if (positionals.length !== (isSignedOut ? 1 : 2))
    throw new CommandError(
      `Give ${isSignedOut ? "one user, the owner" : "two users, the viewer and the owner"}.\n\n${usage}`,
    );
  const port = await openInternalPort(values, { name: "explain", scopes: "access.explain graph.read" });
  const named = isSignedOut ? { viewer: undefined, owner: first } : { viewer: first, owner: second };
  const call = { ...(await port.call()), timeoutMs };
  try {
    const graph = createClient(GraphService, port.transport);
    const { viewer, owner } = await findPair(named, graph, call);
    const explanation = await createClient(AccessService, port.transport).explainAccess(
      {
        viewer:
          viewer === undefined ? { case: "signedOut", value: true } : { case: "viewerId", value: viewer.id },
        ownerId: owner.id,
      },
      call,
    );
    const answer = { viewer, owner, explanation };
    process.stdout.write(values.json ? jsonOf(answer) : explanationText(answer, paints));
  } catch (failure) {
    if (failure instanceof ConnectError)
      throw new CommandError(explainFailure(failure, { ...port, ...explained }));
    throw failure;
  }
});

function jsonOf({ viewer, owner, explanation }: Explained): string {
  const options = { alwaysEmitImplicit: true };
  const fields = {
    viewer: viewer === undefined ? null : toJson(UserSchema, viewer, options),
    owner: toJson(UserSchema, owner, options),
    ...(toJson(ExplainAccessResponseSchema, explanation, options) as object),
  };
  return `${JSON.stringify(fields, undefined, 2)}\n`;
}
