import { closeSync, openSync, writeSync } from "node:fs";
import { cursorTo } from "node:readline";
import type { WriteStream } from "node:tty";
import { Code, type ConnectError } from "@connectrpc/connect";
import { SkipReason } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import type { Skipped } from "./import-file.ts";

const width = 30;

/** Shows the progress of a long run: a bar on a terminal, elsewhere a line for every tenth. */
export class ProgressBar {
  readonly #out: WriteStream;
  #tenths = 0;

  constructor(out: WriteStream) {
    this.#out = out;
  }

  /** `fraction`: from 0 to 1. */
  show(fraction: number, text: string): void {
    const percent = `${Math.floor(fraction * 100)} %`.padStart(5);
    if (this.#out.isTTY) {
      const full = Math.round(fraction * width);
      cursorTo(this.#out, 0);
      this.#out.write(`  ${"█".repeat(full)}${"░".repeat(width - full)} ${percent}  ${text} `);
    } else if (Math.floor(fraction * 10) > this.#tenths) {
      this.#tenths = Math.floor(fraction * 10);
      this.#out.write(`${percent}  ${text}\n`);
    }
  }

  end(): void {
    if (this.#out.isTTY) this.#out.write("\n");
  }
}

/** How many skipped records are named on standard output. */
const shownSkips = 20;

const names = Object.entries(SkipReason);

/** The name of a reason. */
export function reasonName(reason: SkipReason): string {
  return names.find(([, value]) => value === reason)?.[0] ?? "UNSPECIFIED";
}

/** Lists the skipped records: the first ones for people, all of them in a file where one is given. */
export class SkippedReport {
  readonly #file: number | undefined;
  readonly #shown: string[] = [];
  #count = 0;

  constructor(path: string | undefined) {
    this.#file = path === undefined ? undefined : openSync(path, "w");
  }

  add({ line, reason, description }: Skipped): void {
    const text = `line ${line}: ${reasonName(reason)}: ${description}\n`;
    if (this.#file !== undefined) writeSync(this.#file, text);
    if (this.#count++ < shownSkips) this.#shown.push(`  ${text}`);
  }

  /** Closes the file, and returns the lines for people. */
  end(): string {
    if (this.#file !== undefined) closeSync(this.#file);
    const more = this.#count - this.#shown.length;
    if (more > 0) this.#shown.push(`  and ${more} more: --skipped-file FILE names all of them\n`);
    return this.#shown.join("");
  }
}

const wrongPort = "does not answer as the internal port of the service (GRPC_PORT) does";
const resumeHint = "Run the command again: the import goes on where it stopped.";

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

/** Explains a failed call to the person who runs the command. */
export function explainFailure(failure: ConnectError, url: string): string {
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
      return `The service refuses the call: ${rawMessage}. An import needs graph.read and graph.write.`;
    case Code.Unimplemented:
      return `${url} ${wrongPort}: ${rawMessage}.`;
    case Code.Canceled:
      return `${url} closed the connection: where the service speaks TLS, the URL begins with https://. ${resumeHint}`;
    case Code.Unavailable:
    case Code.ResourceExhausted:
    case Code.DeadlineExceeded:
    case Code.Aborted:
      return `${url}: ${rawMessage}. ${resumeHint}`;
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
