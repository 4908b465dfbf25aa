import { readFileSync } from "node:fs";
import { getCACertificates } from "node:tls";
import type { CallOptions, Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { CommandError } from "./command.ts";
import { internalUrl, readSigningConfig } from "./config/config.ts";
import { ConfigError } from "./config/variables.ts";
import { configuredIssuer, serviceToken, type TokenIssuer } from "./development/token-issuer.ts";

/** The options of a command that calls the running service. */
export const portOptions = {
  url: { type: "string" },
  "token-file": { type: "string" },
  "ca-file": { type: "string" },
  "cert-file": { type: "string" },
  "key-file": { type: "string" },
} as const;

/** What the usage of such a command says of them. */
export const portUsage = `  --url URL            the internal port: http://127.0.0.1:50051 unless HOST,
                       GRPC_PORT and TLS_CERT_FILE say otherwise
  --token-file FILE    a service's token; without it one is signed with
                       JWT_SECRET or with the key in DATA_DIR
  --ca-file FILE       the authority of the server's certificate (PEM)
  --cert-file FILE     the client certificate, if the service demands one (PEM)
  --key-file FILE      the private key of --cert-file (PEM)`;

/** The internal port of the running service, and how to call it. */
export interface InternalPort {
  readonly url: string;
  readonly transport: Transport;
  /** The options of a call, with a token that is good from now on. */
  call(): Promise<CallOptions>;
}

const tokenHours = 24;
/** How often a silent connection is asked whether it is alive, in milliseconds. */
const pingMs = 20_000;

/** Reads the options. `name` and `scopes` are those of a token that the command signs itself. Throws `CommandError`. */
export async function openInternalPort(
  values: { readonly [Option in keyof typeof portOptions]?: string | undefined },
  { name, scopes }: { readonly name: string; readonly scopes: string },
): Promise<InternalPort> {
  const url = readUrl(values.url ?? internalUrl(process.env));
  const ca = readPem(values["ca-file"]);
  const [cert, key] = [readPem(values["cert-file"]), readPem(values["key-file"])];
  const nodeOptions = {
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(ca !== undefined && { ca: [...getCACertificates(), ca] }),
  };
  const tokenFile = values["token-file"];
  const token = () => (tokenFile === undefined ? ownToken(name, scopes) : readToken(tokenFile));
  // What is wrong with it is said before the first call.
  await token();
  return {
    url,
    transport: createGrpcTransport({ baseUrl: url, nodeOptions, pingIntervalMs: pingMs }),
    call: async () => ({ headers: { authorization: `Bearer ${await token()}` } }),
  };
}

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

function readPem(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  const text = readFileSync(path, "utf8");
  if (!text.includes("-----BEGIN ")) throw new CommandError(`${path} must hold PEM.`);
  return text;
}

async function ownToken(name: string, scopes: string): Promise<string> {
  const issuer = ownIssuer();
  if (issuer === undefined)
    throw new CommandError("JWKS_URL is set: give a service's token with --token-file.");
  return serviceToken(name, scopes, issuer);
}

function ownIssuer(): TokenIssuer | undefined {
  try {
    return configuredIssuer(readSigningConfig(process.env), tokenHours);
  } catch (failure) {
    if (!(failure instanceof ConfigError)) throw failure;
    throw new CommandError(`${failure.message}\nOr give a service's token with --token-file.`);
  }
}
