import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { startDaemon } from "./daemon.ts";
import { freePort } from "./throwaway-server.ts";

/** An HAProxy before two PostgreSQL servers, which leads to one of them. */
export interface HaProxy {
  /** The URL of the same database, through the proxy. */
  readonly url: string;
  /** Leads new connections to the second server from now on. Keeps those to the first. */
  switchOver(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a proxy on a free port of the loopback interface that leads to the first of two servers. */
export async function startHaProxy(program: string, urls: readonly [string, string]): Promise<HaProxy> {
  const folder = mkdtempSync(join(tmpdir(), "privacy-control-haproxy-"));
  const port = await freePort();
  const socket = join(folder, "admin.sock");
  const configuration = join(folder, "haproxy.cfg");
  const [first, second] = urls.map((url) => new URL(url).host);
  writeFileSync(
    configuration,
    `global
  stats socket ${socket} mode 600 level admin
defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
listen postgresql
  bind 127.0.0.1:${port}
  server first ${first}
  server second ${second} disabled
`,
  );
  const daemon = await startDaemon([program, "-db", "-V", "-f", configuration], (line) =>
    line.endsWith("polling mechanism."),
  );
  const command = async (line: string) => {
    const connection = connect(socket);
    connection.end(`${line}\n`);
    const answer = (await text(connection)).trim();
    if (answer !== "") throw new Error(`HAProxy refused ${line}: ${answer}`);
  };
  const through = new URL(urls[0]);
  through.host = `127.0.0.1:${port}`;
  return {
    url: through.href,
    async switchOver() {
      await command("set server postgresql/second state ready");
      await command("set server postgresql/first state maint");
    },
    async stop() {
      await daemon.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
