import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import type { ReplicaMetrics } from "../../../src/client/replica.ts";
import type { MutantName } from "../support/mutants.ts";

export type Pair = readonly [viewer: string, owner: string];

/** What a consumer is started with. */
export interface Target {
  readonly url: string;
  readonly token: string;
  readonly protocol: "grpc" | "connect";
  readonly heartbeatMs: number;
  /** Pairs that are blocked at all times. */
  readonly guarded: readonly Pair[];
}

/** What a consumer saw of the pairs that are blocked at all times. */
export interface Guarded {
  answers: number;
  /** Answers that allow something. */
  readonly allowed: string[];
}

export type Question =
  | { readonly kind: "ready" | "state" | "close" }
  /** Effects of FOLLOW; null where the replica refuses. */
  | { readonly kind: "check"; readonly pairs: readonly Pair[]; readonly maxStalenessMs: number }
  /** All decisions about pairs, with everything that was acknowledged before. */
  | { readonly kind: "decide"; readonly pairs: readonly Pair[]; readonly withinMs: number };

export interface Reply {
  readonly id: number;
  readonly value?: unknown;
  readonly failure?: string;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(failure: Error): void;
}

const closeMs = 10_000;

/** A replica in a process of its own. */
export class Consumer {
  readonly #child;
  readonly #waiting = new Map<number, Waiting>();
  #asked = 0;
  /** How the process ended; undefined while it runs. */
  ended: string | undefined;

  constructor(target: Target, mutant: MutantName | undefined) {
    const injected = new URL("../support/inject-mutant.ts", import.meta.url).href;
    const args = mutant === undefined ? [] : ["--import", injected];
    this.#child = spawn(process.execPath, [...args, "test/resilience/replica/consumer.ts"], {
      env: {
        PATH: process.env.PATH,
        TARGET: JSON.stringify(target),
        ...(mutant !== undefined && { MUTANT: mutant }),
      },
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    let text = "";
    this.#child.stderr?.on("data", (chunk) => {
      text += chunk;
    });
    this.#child.on("message", (reply) => this.#settle(reply as Reply));
    this.#child.on("exit", (code, signal) => {
      this.ended = `ended with ${signal ?? code}: ${text.slice(0, 500)}`;
      for (const { reject } of this.#waiting.values()) reject(new Error(this.ended));
      this.#waiting.clear();
    });
  }

  #settle({ id, value, failure }: Reply): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (failure === undefined) waiting?.resolve(value);
    else waiting?.reject(new Error(failure));
  }

  #ask(question: Question): Promise<unknown> {
    if (this.ended !== undefined) return Promise.reject(new Error(this.ended));
    const id = this.#asked++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, question });
    });
  }

  async ready(): Promise<void> {
    await this.#ask({ kind: "ready" });
  }

  async check(pairs: readonly Pair[], maxStalenessMs: number): Promise<(string | null)[]> {
    return (await this.#ask({ kind: "check", pairs, maxStalenessMs })) as (string | null)[];
  }

  async decide(pairs: readonly Pair[], withinMs: number): Promise<string[]> {
    return (await this.#ask({ kind: "decide", pairs, withinMs })) as string[];
  }

  async state(): Promise<{ readonly guarded: Guarded; readonly metrics: ReplicaMetrics }> {
    return (await this.#ask({ kind: "state" })) as never;
  }

  /** Freezes the process, or lets it go on. */
  freeze(): void {
    this.#child.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child.kill("SIGCONT");
  }

  /** Closes the replica. Resolves to whether the process ended by itself then. */
  async close(): Promise<boolean> {
    if (this.ended !== undefined) return false;
    this.thaw();
    const exited = once(this.#child, "exit").then(([code]) => code === 0);
    this.#ask({ kind: "close" }).catch(() => {});
    const isClean = await Promise.race([exited, setTimeout(closeMs, false, { ref: false })]);
    if (!isClean) this.#child.kill("SIGKILL");
    return isClean;
  }
}
