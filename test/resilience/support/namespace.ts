import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";

/** A network namespace with two links to ours: one over which it is reached, and one that can be cut. */
export interface Namespace {
  readonly name: string;
  /** Its address on the link that stays. */
  readonly address: string;
  /** The URL at which a server of ours is reached from there, over the link that can be cut. */
  readonly url: string;
  /** Loses every packet of the link until it is mended. */
  cut(): void;
  mend(): void;
  close(): void;
}

/** Why no namespace can be made; undefined when one can. */
export function whyNoNamespace(): string | undefined {
  if (process.getuid?.() !== 0) return "network namespaces need root";
  if (program === undefined) return "iproute2 is not installed";
  try {
    ip("netns", "add", probeName);
    ip("netns", "del", probeName);
    return undefined;
  } catch (failure) {
    return `no network namespace can be made: ${(failure as Error).message}`;
  }
}

/** It may be where no PATH leads. */
const program = ["/sbin/ip", "/usr/sbin/ip", "/bin/ip"].find((path) => existsSync(path));
const probeName = `pc${process.pid}probe`;

/** Makes a namespace from which the server of a URL is reached. */
export async function openNamespace(url: string): Promise<Namespace> {
  const name = `pc${process.pid}`;
  const subnet = `10.231.${process.pid % 250}`;
  const links = [
    { ours: `${name}a`, theirs: `${name}b`, first: 0 },
    { ours: `${name}c`, theirs: `${name}d`, first: 4 },
  ] as const;
  ip("netns", "add", name);
  const within = (...args: string[]) => ip("netns", "exec", name, program ?? "ip", ...args);
  for (const { ours, theirs, first } of links) {
    ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name);
    ip("addr", "add", `${subnet}.${first + 1}/30`, "dev", ours);
    ip("link", "set", ours, "up");
    within("addr", "add", `${subnet}.${first + 2}/30`, "dev", theirs);
    within("link", "set", theirs, "up");
  }
  within("link", "set", "lo", "up");
  const target = new URL(url);
  const sockets = new Set<Socket>();
  const forwarder = createServer((near) => {
    const far = connect(Number(target.port), target.hostname);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    near.pipe(far).pipe(near);
  });
  forwarder.listen(Number(target.port), `${subnet}.5`);
  await once(forwarder, "listening");
  const through = new URL(url);
  through.hostname = `${subnet}.5`;
  const cuttable = links[1].ours;
  return {
    name,
    address: `${subnet}.2`,
    url: through.href,
    cut: () => ip("link", "set", cuttable, "down"),
    mend: () => ip("link", "set", cuttable, "up"),
    close() {
      forwarder.close();
      for (const socket of sockets) socket.destroy();
      ip("netns", "del", name);
    },
  };
}

/** What comes before a command to run it in a namespace, with the same process id. */
export function commandIn({ name }: Pick<Namespace, "name">): string[] {
  return [program ?? "ip", "netns", "exec", name];
}

function ip(...args: string[]): void {
  execFileSync(program ?? "ip", args, { stdio: ["ignore", "ignore", "pipe"] });
}
