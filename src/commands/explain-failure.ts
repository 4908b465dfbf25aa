import { Code, type ConnectError } from "@connectrpc/connect";

const wrongPort = "does not answer as the internal port of the service (GRPC_PORT) does";

/** Explanations of connection errors, by Node's error code. */
const connectionProblems: readonly (readonly [RegExp, (url: string) => string])[] = [
  [/^ECONNREFUSED$/, (url) => `Nothing listens at ${url}: is the service running, and --url right?`],
  [/^(ENOTFOUND|EAI_AGAIN)$/, (url) => `The host of ${url} is not known.`],
  [/^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)$/, (url) => `${url} speaks no TLS: try http://.`],
  [
    /^ERR_SSL_.*(CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|UNKNOWN_CA|BAD_CERTIFICATE)$/,
    (url) => `${url} demands a client certificate that it trusts: give --cert-file and --key-file.`,
  ],
  [
    /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_.*|CERT_.*|ERR_TLS_CERT_.*)$/,
    (url) => `The certificate of ${url} is not trusted: name who signed it with --ca-file.`,
  ],
];

/** What the explanations of a command have in common. */
export interface Explained {
  readonly url: string;
  /** Which scopes the command needs. */
  readonly needs: string;
  /** What to do when the service could not be reached, or not for long enough. */
  readonly again: string;
}

/** Explains a failed call to the person who runs the command. */
export function explainFailure(failure: ConnectError, { url, needs, again }: Explained): string {
  const { rawMessage } = failure;
  const code = causeCode(failure);
  const problem = connectionProblems.find(([pattern]) => pattern.test(code));
  if (problem !== undefined) {
    const [, describe] = problem;
    return `${describe(url)} (${code})`;
  }
  switch (failure.code) {
    case Code.Unauthenticated:
      return `The service refuses the token: ${rawMessage}.`;
    case Code.PermissionDenied:
      return `The service refuses the call: ${rawMessage}. ${needs}`;
    case Code.Unimplemented:
      return `${url} ${wrongPort}: ${rawMessage}.`;
    case Code.Canceled:
      return `${url} closed the connection: where the service speaks TLS, the URL begins with https://. ${again}`;
    case Code.Unavailable:
    case Code.ResourceExhausted:
    case Code.DeadlineExceeded:
    case Code.Aborted:
      return `${url}: ${rawMessage}. ${again}`;
    case Code.Internal:
      // A server of another protocol causes a frame error.
      return /protocol error/i.test(rawMessage) ? `${url} ${wrongPort}.` : `${url}: ${rawMessage}`;
    default:
      return `${url}: ${rawMessage}`;
  }
}

function causeCode({ cause }: ConnectError): string {
  return cause instanceof Error && "code" in cause ? String(cause.code) : "";
}
