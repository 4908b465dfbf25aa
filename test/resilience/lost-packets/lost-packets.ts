import { setTimeout } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import pg from "pg";
import { startThrowawayServer, type ThrowawayServer } from "../../support/throwaway-server.ts";
import { type Instance, startInstance } from "../support/instance.ts";
import type { MutantName } from "../support/mutants.ts";
import type { Namespace } from "../support/namespace.ts";
import { type Random, randomOf } from "../support/random.ts";
import { type Figure, figuresOf } from "../support/report.ts";
import { openSubjectClient, type Subject, type SubjectClient, subjectKinds } from "./subjects.ts";

export interface LostPacketsOptions {
  readonly seed: number;
  /** How often a backend is frozen, or the network loses packets, at least: a run goes on until a change is in doubt. */
  readonly faults: number;
  /** Subjects of each kind, each changed by one caller after the other. */
  readonly subjects: number;
  readonly mutant?: MutantName | undefined;
}

/** What callers saw. */
export interface LostPacketsOutcome {
  readonly faults: number;
  readonly acknowledged: number;
  /** Changes that failed with an unknown outcome. */
  readonly inDoubt: number;
  readonly reads: number;
  /** A description of each read that violated the promise. */
  readonly violations: readonly string[];
}

/** Interrupts the traffic for a while. */
type Fault = (random: Random) => Promise<void>;

/** A run that leaves no change in doubt ends after so many times its faults. */
const maxRepeats = 10;
const restMs = 5;

type Start = (database: string, namespace?: Namespace) => Promise<Instance>;

/** Has callers change and read subjects on two instances while a fault recurs, and records what they saw. */
export async function runLostPackets(
  options: LostPacketsOptions,
  prepare: (
    server: ThrowawayServer,
    start: Start,
    parts: AsyncDisposableStack,
  ) => Promise<{ instances: Instance[]; fault: Fault }>,
): Promise<LostPacketsOutcome> {
  await using parts = new AsyncDisposableStack();
  const server = await startThrowawayServer();
  parts.defer(() => server.stop());
  const start: Start = async (database, namespace) =>
    parts.use(await startInstance({ database, namespace, mutant: options.mutant }));
  const { instances, fault } = await prepare(server, start, parts);
  const clients = instances.map(openSubjectClient);
  parts.defer(() => {
    for (const client of clients) client.close();
  });
  const [first] = clients as [SubjectClient];
  const subjects: Subject[] = [];
  for (let i = 0; i < options.subjects; i++)
    for (const kind of Object.values(subjectKinds)) subjects.push(await kind(first));

  const random = randomOf(options.seed);
  const witness = new Witness();
  let over = false;
  let faults = 0;
  const faulting = (async () => {
    const most = options.faults * maxRepeats;
    while (faults < options.faults || (faults < most && witness.outcome().inDoubt === 0)) {
      await fault(random);
      faults++;
    }
    over = true;
  })();
  await Promise.all([
    faulting,
    ...subjects.map(async (subject, number) => {
      const own = randomOf(options.seed + 1 + number);
      while (!over) {
        await witness.change(
          subject,
          subject.values[own.below(subject.values.length)] as string,
          pick(clients, own),
        );
        await witness.read(subject, pick(clients, own));
        await setTimeout(restMs);
      }
    }),
  ]);
  // A change that is still late at the end has no later change to be compared with.
  await untilIdle(server.url);
  for (const subject of subjects) await witness.read(subject, pick(clients, random));
  return { ...witness.outcome(), faults };
}

/** The promises that a run of this kind must keep. */
export function lostPacketsFigures(name: string, outcome: LostPacketsOutcome): Figure[] {
  const figure = figuresOf(name);
  return [
    figure("faults", outcome.faults),
    figure("changes acknowledged", outcome.acknowledged, { atLeast: 1 }),
    figure("changes in doubt", outcome.inDoubt, { atLeast: 1 }),
    figure("reads", outcome.reads, { atLeast: 1 }),
    figure("reads of what no promise allows", outcome.violations.length, { atMost: 0 }),
  ];
}

/** Records which values each subject may have, and which were read. */
class Witness {
  readonly #possible = new Map<Subject, Set<string>>();
  readonly #violations: string[] = [];
  #acknowledged = 0;
  #inDoubt = 0;
  #reads = 0;

  /** A subject has the value of the last acknowledged change, or of a change in doubt since then. */
  async change(subject: Subject, value: string, client: SubjectClient): Promise<void> {
    if (await isAnswered(() => subject.set(value, client))) {
      this.#acknowledged++;
      this.#possible.set(subject, new Set([value]));
    } else {
      this.#inDoubt++;
      this.#possible.get(subject)?.add(value);
    }
  }

  async read(subject: Subject, client: SubjectClient): Promise<void> {
    let found: string | undefined;
    // An unanswered read proves nothing.
    if (!(await isAnswered(async () => (found = await subject.read(client))))) return;
    const possible = this.#possible.get(subject);
    if (possible === undefined || found === undefined) return;
    this.#reads++;
    if (!possible.has(found))
      this.#violations.push(`${subject.name}: found ${found}, possible: ${[...possible].join(", ")}`);
  }

  outcome() {
    return {
      acknowledged: this.#acknowledged,
      inDoubt: this.#inDoubt,
      reads: this.#reads,
      violations: this.#violations,
    };
  }
}

/** Returns false when the outcome of a call is unknown. Throws errors that no caller should see. */
async function isAnswered(call: () => Promise<unknown>): Promise<boolean> {
  try {
    await call();
    return true;
  } catch (failure) {
    const { code } = ConnectError.from(failure);
    if (code === Code.Unavailable || code === Code.DeadlineExceeded || code === Code.ResourceExhausted)
      return false;
    throw failure;
  }
}

function pick<T>(of: readonly T[], random: Random): T {
  return of[random.below(of.length)] as T;
}

async function untilIdle(url: string): Promise<void> {
  const busy = "select from pg_stat_activity where application_name = 'privacy-control' and state <> 'idle'";
  while ((await query(url, busy)).length > 0) await setTimeout(restMs);
}

/** Runs one statement over a connection of its own. */
export async function query<Row extends pg.QueryResultRow>(url: string, statement: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(statement)).rows;
  } finally {
    await client.end();
  }
}
