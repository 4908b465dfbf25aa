/** What became of one request. */
export interface Outcome {
  /** Of HTTP; what came over gRPC has the status of its code, and `wrongAnswer` when it is not the one it must be. */
  readonly status: number;
  readonly retryAfter: boolean;
  /** Milliseconds since the request was due. */
  readonly ms: number;
  /** Which of several listeners was asked. */
  readonly listener?: string;
}

/** Requests with the same outcome but for their times. */
export interface Alike extends Omit<Outcome, "ms" | "listener"> {
  readonly listener: string | undefined;
  readonly ms: number[];
}

/** What became of many requests. Kept as bare numbers: a collector that has to follow them takes the time it measures. */
export class Outcomes {
  readonly #alike: Alike[] = [];

  get count(): number {
    return countOf(this.#alike);
  }

  /** Those known by now. */
  soFar(): Alike[] {
    return this.#alike.map((alike) => ({ ...alike, ms: [...alike.ms] }));
  }

  add({ ms, status, retryAfter, listener }: Outcome): void {
    const same = this.#alike.find(
      (alike) => alike.status === status && alike.retryAfter === retryAfter && alike.listener === listener,
    );
    if (same === undefined) this.#alike.push({ status, retryAfter, listener, ms: [ms] });
    else same.ms.push(ms);
  }
}

export const countOf = (all: readonly Alike[]): number => all.reduce((sum, { ms }) => sum + ms.length, 0);

/** The status of an answer that went well and says something else than it must. */
export const wrongAnswer = 0;

/** A load on a service: closed-loop or open-loop. */
export abstract class Load {
  /** Sends one request; its time runs since it was due. `onAnswer` is called once, if ever an answer comes. */
  abstract send(dueAt: number, onAnswer: (outcome: Outcome) => void): void;
  /** Sends nothing of what still waits to be sent. */
  abstract giveUp(): void;
  abstract close(): void;

  /** Keeps `width` requests under way for `ms` milliseconds. Answers that come later are added, too. */
  async closedLoop(width: number, ms: number): Promise<Outcomes> {
    const outcomes = new Outcomes();
    let over = false;
    const next = () => {
      if (over) return;
      this.send(performance.now(), (outcome) => {
        outcomes.add(outcome);
        next();
      });
    };
    for (let i = 0; i < width; i++) next();
    await sleep(ms);
    over = true;
    return outcomes;
  }

  /** Sends `rate` requests a second for `ms` milliseconds, whatever becomes of them. Answers that come later are added. */
  async openLoop(rate: number, ms: number): Promise<Outcomes> {
    const outcomes = new Outcomes();
    const onAnswer = (outcome: Outcome) => outcomes.add(outcome);
    const startedAt = performance.now();
    for (let sent = 0; ; await sleep(1)) {
      const elapsed = performance.now() - startedAt;
      if (elapsed >= ms) break;
      for (; sent < (elapsed * rate) / 1_000; sent++) this.send(startedAt + (sent * 1_000) / rate, onAnswer);
    }
    this.giveUp();
    return outcomes;
  }

  /** Sends one request now. */
  one(): Promise<Outcome> {
    return new Promise((resolve) => this.send(performance.now(), resolve));
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
