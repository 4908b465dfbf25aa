import { oneOf, text } from "./validators.ts";

/** The PEM files by which both listeners speak TLS. */
export interface TlsConfig {
  readonly certFile: string;
  readonly keyFile: string;
  /** Who signs the certificates that the internal listener demands of its clients; undefined when it demands none. */
  readonly clientCaFile: string | undefined;
}

export const tlsVariables = {
  TLS_CERT_FILE: text({ default: undefined }),
  TLS_KEY_FILE: text({ default: undefined }),
  TLS_CLIENT_CA_FILE: text({ default: undefined }),
  ALLOW_PLAINTEXT: oneOf("on", "off")({ default: "off" }),
};

interface TlsEnvironment {
  readonly HOST: string;
  readonly TLS_CERT_FILE: string | undefined;
  readonly TLS_KEY_FILE: string | undefined;
  readonly TLS_CLIENT_CA_FILE: string | undefined;
  readonly ALLOW_PLAINTEXT: "on" | "off";
}

/** The files, undefined for plaintext. */
export function tlsConfig(env: TlsEnvironment): TlsConfig | undefined {
  const { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile, TLS_CLIENT_CA_FILE: clientCaFile } = env;
  if (certFile === undefined || keyFile === undefined) return undefined;
  return Object.freeze({ certFile, keyFile, clientCaFile });
}

/** What is wrong with variables that are well-formed one by one. */
export function tlsProblems(env: TlsEnvironment, production: boolean): string[] {
  const { TLS_CERT_FILE, TLS_KEY_FILE, TLS_CLIENT_CA_FILE } = env;
  const asked = [TLS_CERT_FILE, TLS_KEY_FILE, TLS_CLIENT_CA_FILE].some((file) => file !== undefined);
  const problems: string[] = [];
  if (asked && TLS_CERT_FILE === undefined)
    problems.push("TLS_CERT_FILE is missing: TLS needs a certificate and its key");
  if (asked && TLS_KEY_FILE === undefined)
    problems.push("TLS_KEY_FILE is missing: TLS needs a certificate and its key");
  // A malformed HOST or ALLOW_PLAINTEXT is undefined here, and told already.
  const isOpen = production && env.HOST !== undefined && !isLoopback(env.HOST);
  if (isOpen && !asked && env.ALLOW_PLAINTEXT === "off")
    problems.push(
      "HOST is not the loopback interface: in production TLS_CERT_FILE and TLS_KEY_FILE must be set, " +
        "or ALLOW_PLAINTEXT=on where something else encrypts",
    );
  return problems;
}

/** Whether a host is certain to be reached from this machine alone (RFC 1122, RFC 4291, RFC 6761). */
function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}
