import { styleText } from "node:util";
import type { TlsConfig } from "../config/security.ts";
import type { User } from "../domain/users.ts";
import { demoActor, demoTargets, demoUsers } from "./demo-data.ts";
import { serviceToken, type TokenIssuer, userToken } from "./token-issuer.ts";

/** The addresses of a started service. */
export interface Started {
  readonly publicUrl: string;
  readonly internalUrl: string;
  readonly adminUrl: string;
  /** The database in use, without its password. */
  readonly database: string;
}

/** The scopes of the service in the examples. */
const serviceScopes = "graph.read graph.write users.act access.read access.explain changes.read";

/**
 * The text of a start in development: where the service listens, and what to try. Its variables are to be pasted once;
 * then each command can be, and in their order the last one is answered by DENY. But for the tokens every line fits a
 * terminal of 80 columns.
 */
export async function startText(started: Started, issuer: TokenIssuer, tls?: TlsConfig): Promise<string> {
  const { publicUrl, internalUrl, adminUrl, database } = started;
  const { block, unblock, mute } = demoTargets;
  const token = await userToken(demoActor.id, issuer);
  const ofService = await serviceToken("feed", serviceScopes, issuer);
  const curl = tls === undefined ? 'curl -H "$AUTH"' : 'curl --cacert "$CA" -H "$AUTH"';
  const proof = tls?.clientCaFile === undefined ? "" : " --cert CLIENT.pem --key CLIENT.key";
  const buf = tls === undefined ? "--http2-prior-knowledge" : `--cacert "$CA"${proof}`;

  const commands: [string, string][] = [
    [`mute ${mute.userName}`, `${curl} -X POST $API/mute/$${variableOf(mute)}`],
    ["list the muted", `${curl} $API/muted`],
    [`unmute ${mute.userName}`, `${curl} -X DELETE $API/unmute/$${variableOf(mute)}`],
    ["read the settings", `${curl} $URL/users/me/privacy`],
    [
      "change a setting",
      `${curl} -X PATCH $URL/users/me/privacy \\\n  -H 'Content-Type: application/json' \\\n` +
        `  -d '{"setting":"last_seen","value":"contacts"}'`,
    ],
    [`block ${unblock.userName}`, `${curl} -X POST $API/block/$${variableOf(unblock)}`],
    [`unblock ${unblock.userName}`, `${curl} -X DELETE $API/unblock/$${variableOf(unblock)}`],
    [`block ${block.userName}`, `${curl} -X POST $API/block/$${variableOf(block)}`],
    ["list the blocked", `${curl} $API/blocked`],
    [
      `may ${demoActor.userName} follow ${block.userName}? Another service asks, over gRPC: DENY`,
      `npx buf curl --protocol grpc ${buf} \\\n  -H "Authorization: Bearer $SERVICE" \\\n` +
        `  -d '{"viewerId":"'$${variableOf(demoActor)}'","ownerId":"'$${variableOf(block)}'",\n` +
        `    "interaction":"INTERACTION_FOLLOW"}' \\\n` +
        `  ${internalUrl}/nexgate.privacy.v1.AccessService/CheckAccess`,
    ],
  ];

  return [
    "",
    `  ${styleText("bold", "Privacy Control")} is ready`,
    "",
    `  REST, Connect, gRPC       ${styleText("cyan", publicUrl)}`,
    `  API page                  ${styleText("cyan", `${publicUrl}/docs`)}`,
    `  decision table            ${styleText("cyan", `${publicUrl}/docs/decisions`)}`,
    `  gRPC for services         ${styleText("cyan", internalUrl)}`,
    `  metrics                   ${styleText("cyan", `${adminUrl}/metrics`)}`,
    `  database                  ${database}`,
    "",
    "  Paste these into a shell first: the demo users, and tokens of",
    `  ${demoActor.userName} and of a service, which last ${issuer.hours} hours.`,
    "",
    ...demoUsers.map((user) => `${variableOf(user)}=${user.id}`),
    `URL=${publicUrl}`,
    "API=$URL/api/v1/e-social/privacy-control",
    ...(tls === undefined ? [] : [`CA='${tls.certFile}'`]),
    `TOKEN=${token}`,
    `SERVICE=${ofService}`,
    'AUTH="Authorization: Bearer $TOKEN"',
    "",
    `  Then try, as ${demoActor.userName} and in this order:`,
    ...commands.flatMap(([what, command]) => ["", styleText("dim", `  # ${what}`), command]),
    "",
    "  More tokens: npm run token -- --user NAME-OR-ID",
    '               npm run token -- --service NAME --scope "graph.read users.act"',
    "  Follow the changes: npm run -s watch",
    `  Explain decisions: npm run -s explain -- ${block.userName} ${demoActor.userName}`,
    "",
    "",
  ].join("\n");
}

/** The shell variable that holds the id of a demo user. */
function variableOf({ userName }: User): string {
  return userName.toUpperCase();
}
