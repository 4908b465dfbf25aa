/** How questions share a statement. */
export interface StatementLimits {
  /** The most questions of one statement. */
  readonly statementSize: number;
  /** Calls of up to so many questions come first; of larger ones the oldest gets as much in each statement. */
  readonly fairShare: number;
}

/** The questions of a call: an array, or what makes them when a statement takes them. */
export interface Questions<Question> {
  readonly length: number;
  slice(from: number, to: number): Question[];
}

/** A call that waits for facts. */
export interface Caller<Question, Fact> {
  readonly questions: Questions<Question>;
  /** The call, as the tracer knows it. */
  readonly trace: unknown;
  readonly facts: Fact[];
  readonly statements: Set<Statement<Question, Fact>>;
  readonly finish: () => void;
  readonly fail: (reason: unknown) => void;
  sent: number;
  answered: number;
}

/** Questions of some callers that are sent together. */
export interface Statement<Question, Fact> {
  readonly parts: { readonly caller: Caller<Question, Fact>; readonly from: number; readonly to: number }[];
  readonly callers: Set<Caller<Question, Fact>>;
  readonly cancel: AbortController;
}

/**
 * Fills a statement with all of the small calls that wait, then with the large ones, each in the order in which they
 * came; `size` is how many questions it took. The oldest large one always gets a fair share. Taking turns, large calls
 * would all end together, and leave the database idle while they are answered.
 */
export function compose<Question, Fact>(
  waiting: readonly Caller<Question, Fact>[],
  { statementSize, fairShare }: StatementLimits,
): { readonly statement: Statement<Question, Fact>; readonly size: number } {
  const statement: Statement<Question, Fact> = {
    parts: [],
    callers: new Set(),
    cancel: new AbortController(),
  };
  const large = waiting.filter((caller) => unsent(caller) > fairShare);
  const small = waiting.filter((caller) => unsent(caller) <= fairShare);
  const reserved = large.length === 0 ? 0 : Math.min(fairShare, statementSize);
  const left = fill(statement, small, statementSize - reserved) + reserved;
  return { statement, size: statementSize - fill(statement, large, left) };
}

/** How many questions of a call no statement has taken yet. */
export function unsent({ questions, sent }: Caller<unknown, unknown>): number {
  return questions.length - sent;
}

/** Puts in as much of each caller in turn as there is room for; returns the room that is left. */
function fill<Question, Fact>(
  statement: Statement<Question, Fact>,
  callers: readonly Caller<Question, Fact>[],
  room: number,
): number {
  let left = room;
  for (const caller of callers) {
    const from = caller.sent;
    const to = from + Math.min(unsent(caller), left);
    if (to === from) break;
    caller.sent = to;
    left -= to - from;
    statement.parts.push({ caller, from, to });
    statement.callers.add(caller);
    caller.statements.add(statement);
  }
  return left;
}
