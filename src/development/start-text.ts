import { styleText } from "node:util";
import { demoActor, demoTargets } from "./demo-data.ts";
import { type Minting, serviceToken, userToken } from "./mint.ts";

/** What the text tells of a started service. */
export interface Started {
  readonly publicUrl: string;
  readonly internalUrl: string;
  readonly adminUrl: string;
  /** The database in use, without its password. */
  readonly database: string;
}

/** How the service speaks TLS, as far as its callers must know. */
interface StartedTls {
  readonly certFile: string;
  readonly clientCaFile: string | undefined;
}

const privacyControl = "/api/v1/e-social/privacy-control";
const settings = "/users/me/privacy";

/**
 * The text of a start in development: where the service listens, and a line for each main action that can be pasted
 * as it is.
 */
export async function startText(started: Started, minting: Minting, tls?: StartedTls): Promise<string> {
  const { publicUrl, internalUrl, adminUrl, database } = started;
  const { block, mute } = demoTargets;
  const token = await userToken(demoActor.id, minting);
  const service = await serviceToken("feed", "graph.read graph.write users.act access.read", minting);
  const trust = tls === undefined ? "" : ` --cacert '${tls.certFile}'`;
  const proof = tls?.clientCaFile === undefined ? "" : " --cert CLIENT.pem --key CLIENT.key";
  const curl = (method: string, path: string, body = "") =>
    `curl${trust} -X ${method} '${publicUrl}${path}' -H 'Authorization: Bearer ${token}'${body}`;
  const json = (body: string) => ` -H 'Content-Type: application/json' -d '${body}'`;

  const question = { viewerId: demoActor.id, ownerId: block.id, interaction: "INTERACTION_FOLLOW" };

  const lines: [string, string][] = [
    [`block ${block.userName}`, curl("POST", `${privacyControl}/block/${block.id}`)],
    ["list the blocked", curl("GET", `${privacyControl}/blocked`)],
    [`unblock ${block.userName}`, curl("DELETE", `${privacyControl}/unblock/${block.id}`)],
    [`mute ${mute.userName}`, curl("POST", `${privacyControl}/mute/${mute.id}`)],
    ["list the muted", curl("GET", `${privacyControl}/muted`)],
    [`unmute ${mute.userName}`, curl("DELETE", `${privacyControl}/unmute/${mute.id}`)],
    ["read the settings", curl("GET", settings)],
    ["change a setting", curl("PATCH", settings, json('{"setting":"last_seen","value":"contacts"}'))],
    [
      `may ${demoActor.userName} follow ${block.userName}? as another service asks, over gRPC`,
      `npx buf curl --protocol grpc${tls === undefined ? " --http2-prior-knowledge" : trust + proof}` +
        ` -H 'Authorization: Bearer ${service}' -d '${JSON.stringify(question)}'` +
        ` ${internalUrl}/nexgate.privacy.v1.AccessService/CheckAccess`,
    ],
  ];

  return [
    "",
    `  ${styleText("bold", "Privacy Control")} is ready`,
    "",
    `  REST, Connect, gRPC       ${styleText("cyan", publicUrl)}`,
    `  API page                  ${styleText("cyan", `${publicUrl}/docs`)}`,
    `  gRPC for services         ${styleText("cyan", internalUrl)}`,
    `  metrics                   ${styleText("cyan", `${adminUrl}/metrics`)}`,
    `  database                  ${database}`,
    "",
    `  Try it as ${demoActor.userName}; each line can be pasted as it is, its token lasts ${minting.hours} hours.`,
    ...lines.flatMap(([what, command]) => ["", styleText("dim", `  # ${what}`), command]),
    "",
    "  More tokens: npm run token -- --user NAME-OR-ID",
    '               npm run token -- --service NAME --scope "graph.read graph.write users.act"',
    "",
    "",
  ].join("\n");
}
