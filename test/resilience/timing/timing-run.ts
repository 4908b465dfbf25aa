import { randomUUID } from "node:crypto";
import { openSession } from "../../support/raw-http.ts";
import { type Instance, startInstance } from "../support/instance.ts";
import type { MutantName } from "../support/mutants.ts";
import { randomOf } from "../support/random.ts";
import { Problems, type Report } from "../support/report.ts";
import { register } from "../support/users.ts";
import { auc } from "./auc.ts";
import { type MakeCall, protocolsOf, type TargetCall, targetCalls } from "./target-calls.ts";

interface TimingRunOptions {
  readonly databaseUrl: string | undefined;
  readonly mutant?: MutantName | undefined;
  readonly seed: number;
  readonly samples: number;
  /** The best that a classifier may do. */
  readonly most: number;
}

/** A caller, and two targets of which one blocks and mutes the caller. */
interface Caller {
  readonly token: string;
  readonly blocking: string;
  readonly other: string;
}

type Times = Record<"blocking" | "other", number[]>;

const callerCount = 20;
/** Rounds before samples count. */
const warmUpRounds = 2 * callerCount;

/** Times public calls about users who block the caller and about users who do not, in turn, and tries to distinguish them. */
export async function timingRun(options: TimingRunOptions): Promise<Report> {
  const { databaseUrl, mutant, seed, samples, most } = options;
  const problems = new Problems();
  const random = randomOf(seed);
  await using instance = await startInstance({ database: databaseUrl, mutant });
  const session = openSession(instance.publicUrl);
  using closing = new DisposableStack();
  closing.defer(() => session.destroy());
  const protocols = protocolsOf(instance.publicUrl, session);
  const callers = await makeCallers(instance, protocols.REST);

  const times = new Map<string, Times>();
  let taken = 0;
  for (let round = 0; taken < samples; round++) {
    const caller = callers[round % callerCount] as Caller;
    const order = random.below(2) === 0 ? (["blocking", "other"] as const) : (["other", "blocking"] as const);
    for (const [protocol, make] of Object.entries(protocols)) {
      for (const which of order) {
        for (const call of targetCalls) {
          const name = `${protocol}, ${call.name}`;
          const startedAt = performance.now();
          const good = await make(call, caller.token, caller[which]);
          const ms = performance.now() - startedAt;
          if (!good) problems.add("a call failed", name);
          if (round < warmUpRounds) continue;
          if (!times.has(name)) times.set(name, { blocking: [], other: [] });
          times.get(name)?.[which].push(ms);
          taken++;
        }
      }
    }
  }

  const areas = [...times].map(([name, { blocking, other }]) => ({
    name: `AUC, ${name}`,
    value: auc(blocking, other),
    atMost: most,
  }));
  problems.inspect(instance);
  return problems.report([{ name: "samples", value: taken }, ...areas]);
}

async function makeCallers(instance: Instance, make: MakeCall): Promise<Caller[]> {
  const hostileCalls = ["blockUser", "muteUser"].map(
    (name) => targetCalls.find((call) => call.name === name) as TargetCall,
  );
  const serviceToken = await instance.serviceToken();
  const callers: Caller[] = [];
  for (let i = 0; i < callerCount; i++) {
    const [id, blocking, other] = [randomUUID(), randomUUID(), randomUUID()];
    await register(instance.internalUrl, serviceToken, [id, blocking, other]);
    const hostile = await instance.userToken(blocking);
    for (const call of hostileCalls) await make(call, hostile, id);
    callers.push({ token: await instance.userToken(id), blocking, other });
  }
  return callers;
}
