/** A call that a client made, as it saw it. */
export interface Operation<Call> {
  readonly call: Call;
  /** What came back; undefined when the reply was lost: then it may have had any effect, or none. */
  readonly result: string | undefined;
  /** When the client sent it, by the one clock of the history. */
  readonly invoked: number;
  /** When the reply came; when it was lost, from when on it can have no effect any more: `Infinity` when that is unknown. */
  readonly responded: number;
  /**
   * For a reply that was lost: from when on the client has known that. An operation that ended in doubt takes effect
   * before every answered fence that was sent later, or never. Without it the operation may take effect at any time.
   */
  readonly inDoubtSince?: number | undefined;
}

/** What an object does that serves one call after the other. */
export interface SequentialModel<Call> {
  /** How many states there are: 0, the first one, 1, 2 and so on. */
  readonly states: number;
  /** The state after a call, and what the call answers. */
  run(state: number, call: Call): { readonly state: number; readonly result: string };
  /** The same for calls that are the same in every respect. */
  nameOf(call: Call): string;
  /** Whether calls that ended in doubt have taken effect before this one, or never will: as a rule, whether it is a change. */
  isFence(call: Call): boolean;
}

/** Whether a history is linearizable; if not, the operation whose reply nothing explains. */
export type Verdict<Call> =
  | { readonly linearizable: true }
  | {
      readonly linearizable: false;
      readonly operation: Operation<Call>;
      /** The states that may have been when it should have taken effect. */
      readonly states: readonly number[];
    };

/** The search can take time that doubles with every answer that overlaps; this many courses take some seconds. */
const maxCourses = 2_000_000;

/** An operation as the search sees it. */
interface Candidate {
  /** The same for operations that are the same but for their times. */
  readonly kind: string;
  readonly invoked: number;
  readonly responded: number;
  /** From when on it is in doubt; `Infinity` when it is not. */
  readonly inDoubtSince: number;
  readonly isFence: boolean;
  /** The state after it, for each state; undefined where it would have been answered otherwise. */
  readonly next: readonly (number | undefined)[];
  /** Whether it is certain that it changed nothing. */
  readonly pure: boolean;
}

/** A reply, and what was open when it came; an operation keeps its index while it is open. */
interface Reply<Call> {
  readonly operation: Operation<Call>;
  readonly place: number;
  readonly open: readonly (Candidate | undefined)[];
  /** The indexes of operations of unknown outcome, as bits. */
  readonly lost: bigint;
}

/** A possible history: up to which reply, the state, and which open operations took effect or never will. */
interface Course {
  readonly replies: number;
  readonly state: number;
  readonly taken: bigint;
}

/**
 * Whether the operations can be put in an order in which each takes effect at one moment between its invocation and
 * its reply, and answers what a sequential object answers: a search through all courses, depth first, that goes into
 * none twice (Wing and Gong 1993) and lets operations take effect only when a reply asks for it (Lowe 2017). Nor does it
 * go into one that differs from another in that more of what was lost took effect on the way to the same state: none of
 * it has to, so that the other can still go wherever this one can.
 */
export function checkLinearizable<Call>(
  model: SequentialModel<Call>,
  history: readonly Operation<Call>[],
): Verdict<Call> {
  const replies = repliesOf(model, history);
  const seen = new Map<string, readonly bigint[]>();
  let courses = 0;
  const left: Course[] = [{ replies: 0, state: 0, taken: 0n }];
  let furthest = { replies: 0, states: new Set<number>() };
  for (let course = left.pop(); course !== undefined; course = left.pop()) {
    const reply = replies[course.replies];
    if (reply === undefined) return { linearizable: true };
    const key = `${course.replies} ${course.state} ${course.taken & ~reply.lost}`;
    const taken = course.taken & reply.lost;
    const rivals = seen.get(key) ?? [];
    if (rivals.some((fewer) => isWithin(fewer, taken))) continue;
    if (++courses > maxCourses) throw new Error("too much overlaps: the history cannot be judged in time");
    seen.set(key, [...rivals.filter((more) => !isWithin(taken, more)), taken]);
    if (course.replies > furthest.replies) furthest = { replies: course.replies, states: new Set() };
    if (course.replies === furthest.replies) furthest.states.add(course.state);
    const bit = 1n << BigInt(reply.place);
    const isTaken = (course.taken & bit) !== 0n;
    if (!isTaken) left.push(...successors(course, reply));
    if (isTaken || reply.operation.result === undefined)
      left.push({ ...course, replies: course.replies + 1, taken: course.taken & ~bit });
  }
  const { operation } = replies[furthest.replies] as Reply<Call>;
  return { linearizable: false, operation, states: [...furthest.states] };
}

/** Whether every bit of the one is one of the other. */
function isWithin(one: bigint, other: bigint): boolean {
  return (one & ~other) === 0n;
}

/** The replies in their order. At the same moment invocations come first: they may have done so. */
function repliesOf<Call>(model: SequentialModel<Call>, history: readonly Operation<Call>[]): Reply<Call>[] {
  const events = history
    .flatMap((operation) => [
      { operation, isReply: false, at: operation.invoked },
      { operation, isReply: true, at: operation.responded },
    ])
    .filter(({ at }) => at !== Number.POSITIVE_INFINITY)
    .sort((a, b) => a.at - b.at || Number(a.isReply) - Number(b.isReply));
  const open: (Candidate | undefined)[] = [];
  const places = new Map<Operation<Call>, number>();
  const outcomes = new Map<string, Outcomes>();
  const replies: Reply<Call>[] = [];
  let lost = 0n;
  for (const { operation, isReply } of events) {
    if (isReply) {
      const place = places.get(operation) as number;
      replies.push({ operation, place, open: [...open], lost });
      open[place] = undefined;
      lost &= ~(1n << BigInt(place));
    } else {
      const free = open.indexOf(undefined);
      const place = free === -1 ? open.length : free;
      open[place] = toCandidate(model, operation, outcomes);
      places.set(operation, place);
      if (operation.result === undefined) lost |= 1n << BigInt(place);
    }
  }
  return replies;
}

/** What the model says of all operations of one kind. */
type Outcomes = Pick<Candidate, "next" | "pure">;

function outcomesOf<Call>(model: SequentialModel<Call>, { call, result }: Operation<Call>): Outcomes {
  const next = Array.from({ length: model.states }, (_, state) => {
    const after = model.run(state, call);
    return result === undefined || result === after.result ? after.state : undefined;
  });
  return { next, pure: next.every((after, state) => after === undefined || after === state) };
}

/** `known`: the outcomes of the kinds that came before. */
function toCandidate<Call>(
  model: SequentialModel<Call>,
  operation: Operation<Call>,
  known: Map<string, Outcomes>,
): Candidate {
  const { call, result, invoked, responded, inDoubtSince } = operation;
  const kind = `${model.nameOf(call)} ${result ?? "?"}`;
  const outcomes = known.get(kind) ?? outcomesOf(model, operation);
  known.set(kind, outcomes);
  return {
    kind,
    invoked,
    responded,
    inDoubtSince:
      result === undefined ? (inDoubtSince ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY,
    isFence: result !== undefined && model.isFence(call),
    ...outcomes,
  };
}

/** Those of the open operations that can take effect no more when this one has: in doubt since before it was sent. */
function fencedBy({ isFence, invoked }: Candidate, open: readonly (Candidate | undefined)[]): bigint {
  if (!isFence) return 0n;
  let fenced = 0n;
  for (const [place, other] of open.entries())
    if (other !== undefined && other.inDoubtSince < invoked) fenced |= 1n << BigInt(place);
  return fenced;
}

/** An operation that may take effect next, and the course in which it has. */
interface Successor {
  readonly candidate: Candidate;
  /** Those that it fences off and that had not taken effect. */
  readonly fenced: bigint;
  readonly course: Course;
}

/**
 * The courses in which one more of the open operations has taken effect, the likeliest last. Three kinds of course
 * are left out, because they can explain nothing that another one cannot:
 * - An operation that changed nothing, and fences nothing off, takes effect as soon as it may: later it would only be in
 *   the way.
 * - One that was lost never does so without a change.
 * - Of operations that are the same but for their times, one goes first that has to: see `goesFirst`.
 */
function successors<Call>(course: Course, { open, lost }: Reply<Call>): Course[] {
  const chosen: Successor[] = [];
  for (const [place, candidate] of open.entries()) {
    const bit = 1n << BigInt(place);
    if (candidate === undefined || (course.taken & bit) !== 0n) continue;
    const state = candidate.next[course.state];
    if (state === undefined || (state === course.state && (lost & bit) !== 0n)) continue;
    const fenced = fencedBy(candidate, open) & ~course.taken;
    const successor = { candidate, fenced, course: { ...course, state, taken: course.taken | bit | fenced } };
    if (candidate.pure && fenced === 0n) return [successor.course];
    if (chosen.some((rival) => goesFirst(rival, successor))) continue;
    const rest = chosen.filter((rival) => !goesFirst(successor, rival));
    chosen.splice(0, chosen.length, ...rest, successor);
  }
  return chosen.sort((a, b) => inTurn(b.candidate, a.candidate)).map(({ course: successor }) => successor);
}

/**
 * Whether of two operations that are the same but for their times one may always take effect first: it must do so no
 * later than the other, and makes no more operations late.
 */
function goesFirst(one: Successor, other: Successor): boolean {
  const [a, b] = [one.candidate, other.candidate];
  return (
    a.kind === b.kind &&
    a.responded <= b.responded &&
    a.inDoubtSince <= b.inDoubtSince &&
    isWithin(one.fenced, other.fenced)
  );
}

function inTurn(a: Candidate, b: Candidate): number {
  // Two replies that were lost would make a NaN.
  return a.responded === b.responded ? a.invoked - b.invoked : a.responded - b.responded;
}
