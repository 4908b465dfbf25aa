/** A call that a client made, as it saw it. */
export interface Operation<Call> {
  readonly call: Call;
  /** What came back; undefined when the reply was lost: then it may have had any effect, or none. */
  readonly result: string | undefined;
  /** When the client sent it, by the one clock of the history. */
  readonly invoked: number;
  /** When the reply came; when it was lost, from when on it can have no effect any more: `Infinity` when that is unknown. */
  readonly responded: number;
}

/** What an object does that serves one call after the other. */
export interface SequentialModel<Call> {
  /** How many states there are: 0, the first one, 1, 2 and so on. */
  readonly states: number;
  /** The state after a call, and what the call answers. */
  run(state: number, call: Call): { readonly state: number; readonly result: string };
  /** The same for calls that are the same in every respect. */
  nameOf(call: Call): string;
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

/** The search can take time that doubles with every operation that overlaps; this many courses take some seconds. */
const maxCourses = 2_000_000;

/** An operation as the search sees it. */
interface Candidate {
  /** The same for operations that are the same but for their times. */
  readonly kind: string;
  readonly responded: number;
  /** The state after it, for each state; undefined where it would have been answered otherwise. */
  readonly next: readonly (number | undefined)[];
  /** Whether it is certain that it changed nothing. */
  readonly pure: boolean;
}

/** A reply, and what was open when it came; an operation keeps its place while it is open. */
interface Reply<Call> {
  readonly operation: Operation<Call>;
  readonly place: number;
  readonly open: readonly (Candidate | undefined)[];
}

/** A course that things may have taken: up to which reply, the state, and which open operations took effect. */
interface Course {
  readonly replies: number;
  readonly state: number;
  readonly taken: bigint;
}

/**
 * Whether the operations can be put in an order in which each takes effect at one moment between its invocation and
 * its reply, and answers what a sequential object answers: a search through all courses, depth first, that goes into
 * none twice (Wing and Gong 1993) and lets operations take effect only when a reply asks for it (Lowe 2017).
 */
export function checkLinearizable<Call>(
  model: SequentialModel<Call>,
  history: readonly Operation<Call>[],
): Verdict<Call> {
  const replies = repliesOf(model, history);
  const seen = new Set<string>();
  const left: Course[] = [{ replies: 0, state: 0, taken: 0n }];
  let furthest = { replies: 0, states: new Set<number>() };
  for (let course = left.pop(); course !== undefined; course = left.pop()) {
    const reply = replies[course.replies];
    if (reply === undefined) return { linearizable: true };
    const key = `${course.replies} ${course.state} ${course.taken}`;
    if (seen.has(key)) continue;
    if (seen.size === maxCourses) throw new Error("too much overlaps: the history cannot be judged in time");
    seen.add(key);
    if (course.replies > furthest.replies) furthest = { replies: course.replies, states: new Set() };
    if (course.replies === furthest.replies) furthest.states.add(course.state);
    const bit = 1n << BigInt(reply.place);
    const isTaken = (course.taken & bit) !== 0n;
    if (!isTaken) left.push(...successors(course, reply.open));
    if (isTaken || reply.operation.result === undefined)
      left.push({ ...course, replies: course.replies + 1, taken: course.taken & ~bit });
  }
  const { operation } = replies[furthest.replies] as Reply<Call>;
  return { linearizable: false, operation, states: [...furthest.states] };
}

/** The replies in their order. At the same moment invocations come first: nothing tells that they did not. */
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
  const replies: Reply<Call>[] = [];
  for (const { operation, isReply } of events) {
    if (isReply) {
      const place = places.get(operation) as number;
      replies.push({ operation, place, open: [...open] });
      open[place] = undefined;
    } else {
      const free = open.indexOf(undefined);
      const place = free === -1 ? open.length : free;
      open[place] = toCandidate(model, operation);
      places.set(operation, place);
    }
  }
  return replies;
}

function toCandidate<Call>(
  model: SequentialModel<Call>,
  { call, result, responded }: Operation<Call>,
): Candidate {
  const next = Array.from({ length: model.states }, (_, state) => {
    const after = model.run(state, call);
    return result === undefined || result === after.result ? after.state : undefined;
  });
  return {
    kind: `${model.nameOf(call)} ${result ?? "?"}`,
    responded,
    next,
    pure: next.every((after, state) => after === undefined || after === state),
  };
}

/**
 * The courses in which one more of the open operations has taken effect, the likeliest last. Two kinds of course are
 * left out, because they can explain nothing that another one cannot:
 * - An operation that changed nothing takes effect as soon as it may: later it would only be in the way.
 * - Of operations that are the same but for their times, the one whose reply came first goes first.
 */
function successors(course: Course, open: readonly (Candidate | undefined)[]): Course[] {
  const chosen = new Map<string, { readonly course: Course; readonly responded: number }>();
  for (const [place, candidate] of open.entries()) {
    const bit = 1n << BigInt(place);
    if (candidate === undefined || (course.taken & bit) !== 0n) continue;
    const { kind, responded, next, pure } = candidate;
    const state = next[course.state];
    if (state === undefined) continue;
    const successor = { ...course, state, taken: course.taken | bit };
    if (pure) return [successor];
    const rival = chosen.get(kind);
    if (rival === undefined || responded < rival.responded)
      chosen.set(kind, { course: successor, responded });
  }
  // Not subtracted: two replies that were lost would make a NaN.
  const lastFirst = [...chosen.values()].sort(
    (a, b) => Number(a.responded < b.responded) - Number(a.responded > b.responded),
  );
  return lastFirst.map(({ course }) => course);
}
