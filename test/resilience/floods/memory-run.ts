import { randomUUID } from "node:crypto";
import type { Socket } from "node:net";
import { headerBlock, http2Frame, preface } from "../../support/frames.ts";
import { openAsking } from "../support/ask.ts";
import { type Instance, startInstance } from "../support/instance.ts";
import type { MutantName } from "../support/mutants.ts";
import { type Figure, Problems, type Report } from "../support/report.ts";
import { register } from "../support/users.ts";
import { type Attacker, attack } from "./attacker.ts";

interface MemoryRunOptions {
  readonly databaseUrl: string | undefined;
  readonly mutant?: MutantName | undefined;
  /** Connections of each kind. */
  readonly connections: number;
}

/** How many times in turn the memory must be found no larger before it counts as settled. */
const settledLooks = 10;
/** Between two samples, in milliseconds: a few of them are longer than the interval at which the listener checks its bounds. */
const lookMs = 100;

const large = "/docs/swagger-ui-bundle.js";
/** The server's limit of what a client may send at once, less the first request. */
const more = 99;

const pipelined = Buffer.from(
  `GET ${large} HTTP/1.1\r\nHost: h\r\n\r\n${`GET /healthz HTTP/1.1\r\nHost: h\r\nX: ${"a".repeat(15_000)}\r\n\r\n`.repeat(more)}`,
);
const noWindow = http2Frame(4, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0]));
const block = headerBlock([
  [":method", "GET"],
  [":scheme", "http"],
  [":authority", "h"],
  [":path", large],
  ...Array.from({ length: 100 }, (_, i) => [`x-${i}`, "a".repeat(100)] as const),
]);
const streams = Array.from({ length: more }, (_, i) => http2Frame(1, 5, i * 2 + 1, block));
const windowless = Buffer.concat([preface, noWindow, ...streams]);

/**
 * Ways to have a server keep what a client sends, or asks for and does not take, and the most memory in megabytes that
 * each may add. None needs a token. What V8 has not collected yet comes on top of the listener's bound.
 */
const kinds = {
  "pipelined requests behind an answer that is not taken": { bytes: pipelined, most: 200 },
  "streams of HTTP/2 whose answers have no window": { bytes: windowless, most: 600 },
};

/** Holds connections that send requests and take no answers, and watches the memory of the service. */
export async function memoryRun({ databaseUrl, mutant, connections }: MemoryRunOptions): Promise<Report> {
  const problems = new Problems();
  const figures: Figure[] = [{ name: "connections of each kind", value: connections }];
  for (const [kind, { bytes, most }] of Object.entries(kinds)) {
    await using instance = await startInstance({ database: databaseUrl, mutant });
    const user = randomUUID();
    await register(instance.internalUrl, await instance.serviceToken(), [user]);
    const before = await settled(instance, user, problems);
    const port = Number(new URL(instance.publicUrl).port);
    const attackers: Attacker[] = [];
    for (let i = 0; i < connections; i++)
      attackers.push(await attack(kind, port, (socket) => sendUnread(socket, bytes)));
    const after = await settled(instance, user, problems);
    for (const { socket } of attackers) socket.destroy();
    figures.push(
      { name: `memory before, MB: ${kind}`, value: before },
      { name: `memory added, MB: ${kind}`, value: after - before, atMost: most },
    );
    if (instance.ended() !== undefined) problems.add("the service ended", `${instance.ended()}, ${kind}`);
  }
  return problems.report(figures);
}

function sendUnread(socket: Socket, bytes: Buffer): void {
  socket.pause();
  socket.write(bytes);
}

/** Makes good calls until the service takes no more memory; resolves to the most that it took. */
async function settled(instance: Instance, user: string, problems: Problems): Promise<number> {
  using ask = openAsking(instance);
  const token = `Bearer ${await instance.userToken(user)}`;
  let most = 0;
  for (let looks = 0; looks < settledLooks && instance.ended() === undefined; looks++) {
    await new Promise((resolve) => setTimeout(resolve, lookMs));
    const status = await ask.rest(token);
    if (instance.ended() !== undefined) break;
    if (status !== 200) problems.add("a good call", `was answered ${status}`);
    const memory = instance.memory();
    if (memory > most + 2) looks = 0;
    most = Math.max(most, memory);
  }
  return most;
}
