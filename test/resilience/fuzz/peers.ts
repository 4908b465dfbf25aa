import { spawn } from "node:child_process";
import { once } from "node:events";
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { findPython } from "../../support/python.ts";

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
/** Calls by the C core of gRPC, through Python's `grpcio`; undefined where it is not installed. */
export async function byGrpcio(): Promise<MakeCalls | undefined> {
  const python = await findPython("grpc");
  return python === undefined ? undefined : (target, calls) => callByPython(python, target, calls);
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
