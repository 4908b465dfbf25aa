import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";

/** A unary call as every implementation of gRPC can make it. */
export interface PeerCall {
  readonly path: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly message: Buffer;
  /** In milliseconds. */
  readonly timeout: number;
}

/** Makes calls one after the other and resolves to the names of their codes. */
export type MakeCalls = (target: string, calls: readonly PeerCall[]) => Promise<string[]>;

/** Calls by `@grpc/grpc-js`. */
export const byGrpcJs: MakeCalls = async (target, calls) => {
  const client = new Client(target, credentials.createInsecure());
  const codes: string[] = [];
  for (const { path, metadata, message, timeout } of calls) {
    const sent = new Metadata();
    for (const [name, value] of Object.entries(metadata)) sent.set(name, value);
    const { promise, resolve } = Promise.withResolvers<number>();
    const same = (bytes: Buffer) => bytes;
    const deadline = { deadline: Date.now() + timeout };
    client.makeUnaryRequest(path, same, same, message, sent, deadline, (error) => resolve(error?.code ?? 0));
    codes.push(status[await promise] ?? "");
  }
  client.close();
  return codes;
};

const script = new URL("peer.py", import.meta.url).pathname;
/** Debian's Python, for which python3-grpcio is packaged, before any other. */
const pythons = ["/usr/bin/python3", "python3"];

/** Calls by the C core of gRPC, through Python's `grpcio`; undefined where it is not installed. */
export async function byGrpcio(): Promise<MakeCalls | undefined> {
  for (const python of pythons) {
    const found = await promisify(execFile)(python, ["-c", "import grpc"]).catch(() => undefined);
    if (found !== undefined) return (target, calls) => callByPython(python, target, calls);
  }
  return undefined;
}

async function callByPython(python: string, target: string, calls: readonly PeerCall[]): Promise<string[]> {
  const child = spawn(python, [script, target], { stdio: ["pipe", "pipe", "inherit"] });
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk) => chunks.push(chunk));
  const lines = calls.map((call) => JSON.stringify({ ...call, message: call.message.toString("base64") }));
  child.stdin.end(`${lines.join("\n")}\n`);
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${script} ended with ${code}`);
  return Buffer.concat(chunks).toString().trim().split("\n");
}
