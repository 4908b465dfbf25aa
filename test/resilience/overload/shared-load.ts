import { type GrpcSession, openGrpcSession } from "../../support/grpc-session.ts";
import { type Decision, decisions } from "./decisions.ts";
import { HttpLoad } from "./http-load.ts";
import { Load, type Outcome, wrongAnswer } from "./load.ts";
import { blockedEach, callers, others } from "./population.ts";

/**
 * Of 20 calls so many are of each kind. Feeds ask about the authors of a page of posts and about candidates, messaging
 * asks before each message; users block, read their list of blocks, and unblock.
 */
const shares = { batch: 6, filter: 4, check: 4, block: 2, list: 2, unblock: 2 };
type Kind = keyof typeof shares;
/** The kinds in turn: each as far apart as can be. */
const turn = Object.entries(shares)
  .flatMap(([kind, count]) => Array.from({ length: count }, (_, i) => ({ kind, at: (i + 0.5) / count })))
  .sort((a, b) => a.at - b.at)
  .map(({ kind }) => kind as Kind);

const sessions = 8;
/** Open before the load begins, as a balancer has them: Node accepts few new ones while it has much to do. */
const connections = 1_000;
/** RESOURCE_EXHAUSTED and UNAVAILABLE, by which the service refuses under overload (docs/errors.md). */
const refusals = new Set(["8", "14"]);

/** The listeners, and tokens for them. */
export interface SharedLoadTarget {
  readonly publicUrl: string;
  readonly internalUrl: string;
  /** A token of each caller. */
  readonly userTokens: readonly string[];
  readonly serviceToken: string;
}

/** Calls of all kinds over both listeners, in their shares. Every decision must be what it is in calm. */
export class SharedLoad extends Load {
  readonly #http: HttpLoad;
  readonly #sessions: readonly GrpcSession[];
  readonly #userTokens: readonly string[];
  readonly #decisions: Awaited<ReturnType<typeof decisions>>;
  /** Blocks that can be removed. */
  readonly #blocks = callers.map((_, caller) => ({ caller, other: others[caller] as string }));
  readonly #count: Record<Kind, number> = { batch: 0, filter: 0, check: 0, block: 0, list: 0, unblock: 0 };
  #sent = 0;

  static async open({
    publicUrl,
    internalUrl,
    userTokens,
    serviceToken,
  }: SharedLoadTarget): Promise<SharedLoad> {
    const grpc = await Promise.all(
      Array.from({ length: sessions }, () => openGrpcSession(internalUrl, serviceToken)),
    );
    const http = new HttpLoad(publicUrl, () => "");
    await http.open(connections);
    return new SharedLoad(http, grpc, userTokens, await decisions(grpc[0] as GrpcSession));
  }

  private constructor(
    http: HttpLoad,
    grpc: readonly GrpcSession[],
    userTokens: readonly string[],
    known: Awaited<ReturnType<typeof decisions>>,
  ) {
    super();
    this.#http = http;
    this.#sessions = grpc;
    this.#userTokens = userTokens;
    this.#decisions = known;
  }

  override send(dueAt: number, onAnswer: (outcome: Outcome) => void): void {
    const kind = turn[this.#sent++ % turn.length] as Kind;
    const number = this.#count[kind]++;
    if (kind === "block") this.#block(number, dueAt, onAnswer);
    else if (kind === "unblock") this.#unblock(number, dueAt, onAnswer);
    else if (kind === "list") this.#list(number, dueAt, onAnswer);
    else {
      const all = this.#decisions[kind];
      this.#decide(all[number % all.length] as Decision, dueAt, onAnswer);
    }
  }

  override giveUp(): void {
    this.#http.giveUp();
  }

  override close(): void {
    this.#http.close();
    for (const session of this.#sessions) session.close();
  }

  /** Sends as many requests as there are in a turn, and returns what became of the worst. */
  override async one(): Promise<Outcome> {
    const outcomes = await Promise.all(turn.map(() => super.one()));
    return outcomes.find(({ status }) => status !== 200) ?? outcomes.reduce((a, b) => (a.ms > b.ms ? a : b));
  }

  #block(number: number, dueAt: number, onAnswer: (outcome: Outcome) => void): void {
    const caller = number % callers.length;
    // No user is blocked by many at once, or twice by the same one before all others.
    const round = Math.floor(number / callers.length) % (others.length - 1);
    const other = others[(caller + 1 + round) % others.length] as string;
    this.#rest(caller, `POST block/${other}`, dueAt, (outcome) => {
      if (outcome.status === 200) this.#blocks.push({ caller, other });
      onAnswer(outcome);
    });
  }

  #list(number: number, dueAt: number, onAnswer: (outcome: Outcome) => void): void {
    this.#rest(number % callers.length, `GET blocked?page_size=${blockedEach}`, dueAt, onAnswer);
  }

  #unblock(number: number, dueAt: number, onAnswer: (outcome: Outcome) => void): void {
    const block = this.#blocks.shift();
    // Of a service that answers nothing any more no block is known.
    if (block === undefined) {
      this.#list(number, dueAt, onAnswer);
      return;
    }
    this.#rest(block.caller, `DELETE unblock/${block.other}`, dueAt, (outcome) => {
      if (outcome.status !== 200) this.#blocks.push(block);
      onAnswer(outcome);
    });
  }

  #rest(caller: number, what: string, dueAt: number, onAnswer: (outcome: Outcome) => void): void {
    const line = `${what.replace(" ", " /api/v1/e-social/privacy-control/")} HTTP/1.1`;
    const text = `${line}\r\nhost: localhost\r\nauthorization: Bearer ${this.#userTokens[caller]}\r\n\r\n`;
    this.#http.request(text, dueAt, (outcome) => onAnswer({ ...outcome, listener: "public" }));
  }

  #decide(decision: Decision, dueAt: number, onAnswer: (outcome: Outcome) => void): void {
    const session = this.#sessions[this.#sent % this.#sessions.length] as GrpcSession;
    session.call(decision, ({ status, retryAfter, reply }) => {
      const listener = "internal";
      const ms = performance.now() - dueAt;
      if (status !== "0") onAnswer({ status: refusals.has(status) ? 503 : 500, retryAfter, ms, listener });
      else
        onAnswer({
          status: reply !== undefined && decision.expected.equals(reply) ? 200 : wrongAnswer,
          retryAfter,
          ms,
          listener,
        });
    });
  }
}
