import { expect } from "chai";
import fc from "fast-check";
import { checkLinearizable, type Operation } from "../../resilience/support/linearizability.ts";
import { actions, type PairCall, pairModel, readResult } from "../../resilience/support/pair-model.ts";

type History = readonly Operation<PairCall>[];

const lost = Number.POSITIVE_INFINITY;

/**
 * Reads `block> OK 0-2`: what, by whom of the two, its answer, when. `?` is an answer that was lost, until when; in
 * `block> ? 0-lost in doubt since 2` its client knew that at 2.
 */
function history(...lines: string[]): History {
  return lines.map((line) => {
    const [, action, way, result, invoked, responded, inDoubtSince] =
      /^(\w+)([><]) (.+?) (\d+)-(\d+|lost)(?: in doubt since (\d+))?$/.exec(line) ?? expect.fail(line);
    return {
      call: { action, forward: way === ">" } as PairCall,
      result: result === "?" ? undefined : result,
      invoked: Number(invoked),
      responded: responded === "lost" ? lost : Number(responded),
      inDoubtSince: inDoubtSince === undefined ? undefined : Number(inDoubtSince),
    };
  });
}

const accepts = (given: History) => checkLinearizable(pairModel, given).linearizable;

/** The definition, word for word: some order of some of the operations explains every answer. */
function definition(given: History, state = 0): boolean {
  if (given.every(({ responded }) => responded === lost)) return true;
  const firstReply = Math.min(...given.map(({ responded }) => responded));
  return given.some((operation) => {
    if (operation.invoked > firstReply) return false;
    const others = given.filter((other) => other !== operation);
    const left = others.filter((other) => other.result !== undefined || !isFencedOff(other, operation));
    const { state: next, result } = pairModel.run(state, operation.call);
    if (operation.result === undefined && definition(others, state)) return true;
    if (operation.result !== undefined && operation.result !== result) return false;
    return definition(left, next);
  });
}

/** Whether an operation in doubt can take effect no more when another one has. */
function isFencedOff(
  { inDoubtSince = lost }: Operation<PairCall>,
  { call, result, invoked }: Operation<PairCall>,
): boolean {
  return result !== undefined && pairModel.isFence(call) && inDoubtSince < invoked;
}

const calls = fc.record({ action: fc.constantFrom(...actions), forward: fc.boolean() });

/**
 * What really happened: each call takes effect at its number, and may begin earlier and end later. One reply in so many
 * is lost; its client knows it when it has taken effect, or up to so much earlier. With more overlap the search can take
 * minutes.
 */
const executions = (maxLength: number, oneLostIn: number, earlier = 0) =>
  fc
    .array(
      fc.record({
        call: calls,
        before: fc.double({ min: 0, max: 4, noNaN: true }),
        after: fc.double({ min: 0, max: 4, noNaN: true }),
        lost: fc.nat(oneLostIn - 1).map((n) => n === 0),
        settled: fc.boolean(),
        doubt: fc.option(fc.double({ min: 0, max: 4, noNaN: true }), { nil: undefined }),
      }),
      { maxLength, size: "max" },
    )
    .map((steps) => {
      let state = 0;
      return steps.map(
        ({ call, before, after, lost: isLost, settled, doubt }, moment): Operation<PairCall> => {
          const answer = pairModel.run(state, call);
          state = answer.state;
          return {
            call,
            result: isLost ? undefined : answer.result,
            invoked: moment - before,
            responded: isLost && !settled ? lost : moment + after,
            inDoubtSince:
              isLost && doubt !== undefined ? Math.max(moment - before, moment - earlier + doubt) : undefined,
          };
        },
      );
    });

const results = ["OK", "FOLLOW_ACROSS_BLOCK", "USER_ALREADY_BLOCKED", "ALLOW UNSPECIFIED", "DENY BLOCKING"];
const answers = fc.oneof(
  fc.constantFrom(...results),
  fc.nat(pairModel.states - 1).map((state) => readResult(state)),
);

describe("the checker of linearizability", () => {
  const good: Record<string, History> = {
    "an empty history": [],
    "calls one after the other": history(
      "follow> OK 0-1",
      "read> following 2-3",
      "read< followedBy 4-5",
      "block< OK 6-7",
      "follow> FOLLOW_ACROSS_BLOCK 8-9",
      "block< USER_ALREADY_BLOCKED 10-11",
      "check> DENY BLOCKED_BY 12-13",
      "unblock< OK 14-15",
      "read> nothing 16-17",
    ),
    "blocks with an expiry and mutes, one after the other": history(
      "follow> OK 0-1",
      "blockForADay< OK 2-3",
      "read> blockedBy blockedByExpires 4-5",
      "keepForGood< OK 6-7",
      "keepForGood> USER_NOT_BLOCKED 8-9",
      "muteContent> OK 10-11",
      "muteContent> USER_ALREADY_MUTED 12-13",
      "muteNotificationsInstead> OK 14-15",
      "read< blocking mutedByNotifications 16-17",
      "endInADay< OK 18-19",
      "unblock< OK 20-21",
      "unmute> OK 22-23",
      "muteNotificationsInstead> USER_NOT_MUTED 24-25",
      "read> nothing 26-27",
    ),
    "a read beside a write that sees it": history("block> OK 0-9", "check> DENY BLOCKING 1-2"),
    "a read beside a write that does not see it": history("block> OK 0-9", "check> ALLOW UNSPECIFIED 1-2"),
    "a follow and an unfollow at once that leave nothing": history(
      "unfollow> OK 0-9",
      "follow> OK 1-8",
      "read> nothing 10-11",
    ),
    "a follow and an unfollow at once that leave the follow": history(
      "unfollow> OK 0-9",
      "follow> OK 1-8",
      "read> following 10-11",
    ),
    "a lost write that took effect": history("block> ? 0-lost", "check> DENY BLOCKING 1-2"),
    "a lost write that never took effect": history("block> ? 0-lost", "check> ALLOW UNSPECIFIED 1-2"),
    "a lost write that took effect late": history(
      "block> ? 0-lost",
      "follow> OK 1-2",
      "read> following 3-4",
      "read> blocking 5-6",
    ),
    "a lost write that took effect before it was settled": history(
      "block> ? 0-4",
      "check> ALLOW UNSPECIFIED 1-2",
      "check> DENY BLOCKING 3-6",
    ),
    "a lost write that was settled, and never took effect": history(
      "block> ? 0-2",
      "check> ALLOW UNSPECIFIED 3-4",
      "block> OK 5-6",
    ),
    "a lost write that explains one thing, and is needed for another": history(
      "follow> OK 0-1",
      "unfollow> ? 2-50",
      "block< ? 2-lost",
      "unblock< ? 2-lost",
      "read> nothing 3-4",
      "follow> OK 5-6",
      "follow< OK 7-8",
      "read> following followedBy 9-10",
      "read> followedBy 11-12",
    ),
    "a lost write before one that undoes it, and is needed later": history(
      "follow> OK 0-1",
      "unfollow> ? 2-50",
      "block< ? 2-lost",
      "check> DENY BLOCKED_BY 3-4",
      "unblock< OK 5-6",
      "follow> OK 7-8",
      "follow< OK 9-10",
      "read> followedBy 11-12",
    ),
    "a change in doubt that took effect before the next one was acknowledged": history(
      "block> OK 0-1",
      "unblock> ? 2-lost in doubt since 3",
      "check> DENY BLOCKING 4-5",
      "check> ALLOW UNSPECIFIED 6-7",
      "block> OK 8-9",
      "check> DENY BLOCKING 10-11",
    ),
    "a change in doubt that took effect while the next one was under way": history(
      "block> OK 0-1",
      "unblock> ? 2-lost in doubt since 3",
      "block> OK 4-9",
      "check> DENY BLOCKING 5-6",
      "check> ALLOW UNSPECIFIED 7-8",
    ),
    "a change in doubt that took effect after one that was sent before": history(
      "block> OK 0-1",
      "unblock> ? 2-lost in doubt since 5",
      "block> USER_ALREADY_BLOCKED 4-6",
      "check> ALLOW UNSPECIFIED 7-8",
    ),
    "a lost read": history("read> ? 0-lost", "block> OK 1-2"),
    "a reply at the moment of an invocation": history("block> OK 0-1", "check> ALLOW UNSPECIFIED 1-2"),
  };
  for (const [name, given] of Object.entries(good)) {
    it(`accepts ${name}`, () => expect(accepts(given)).to.equal(true));
  }

  const bad: Record<string, History> = {
    "a lost update": history("follow> OK 0-1", "read> nothing 2-3"),
    "a stale read": history("block> OK 0-1", "check> ALLOW UNSPECIFIED 2-3"),
    "a lost change of an expiry": history("block> OK 0-1", "endInADay> OK 2-3", "read> blocking 4-5"),
    "a block that a change of its expiry revives": history(
      "block> OK 0-1",
      "unblock> OK 2-9",
      "endInADay> OK 3-8",
      "read> blocking blockingExpires 10-11",
    ),
    "a follow across a block that ends in a day": history("blockForADay> OK 0-1", "follow< OK 2-3"),
    "a read that goes back in time": history(
      "block> OK 0-9",
      "check> DENY BLOCKING 1-2",
      "check> ALLOW UNSPECIFIED 3-4",
    ),
    "a follow that stands across a block": history(
      "follow> OK 0-5",
      "block< OK 1-4",
      "read> following blockedBy 6-7",
    ),
    "a follow that was stored after an acknowledged block": history("block> OK 0-1", "follow< OK 2-3"),
    "an acknowledged unblock that is not seen": history(
      "block> OK 0-1",
      "unblock> OK 2-3",
      "check> DENY BLOCKING 4-5",
    ),
    "two blocks that are both the first": history("block> OK 0-5", "block> OK 1-4"),
    "an effect that nobody caused": history("read> followedBy 0-1"),
    "a lost write that took effect after it was settled": history(
      "block> ? 0-3",
      "check> ALLOW UNSPECIFIED 4-5",
      "check> DENY BLOCKING 6-7",
    ),
    "a lost write that took effect twice": history(
      "block> ? 0-lost",
      "check> DENY BLOCKING 1-2",
      "unblock> OK 3-4",
      "check> DENY BLOCKING 5-6",
    ),
    "a change in doubt that took effect after two that were acknowledged": history(
      "block> OK 0-1",
      "unblock> ? 2-lost in doubt since 3",
      "unblock> OK 4-5",
      "block> OK 6-7",
      "check> DENY BLOCKING 8-9",
      "check> ALLOW UNSPECIFIED 10-11",
    ),
    "a change in doubt that took effect after one that changed nothing": history(
      "block> OK 0-1",
      "unblock> ? 2-lost in doubt since 3",
      "block> USER_ALREADY_BLOCKED 4-5",
      "check> ALLOW UNSPECIFIED 6-7",
    ),
    "a change in doubt that took effect after a later one, before that was answered": history(
      "block> ? 0-lost in doubt since 1",
      "unblock> OK 2-9",
      "check> DENY BLOCKING 3-4",
      "check> ALLOW UNSPECIFIED 5-6",
      "check> DENY BLOCKING 7-8",
    ),
    "a change in doubt that took effect after an acknowledged one of the other user": history(
      "follow> ? 0-lost in doubt since 1",
      "unfollow< OK 2-3",
      "read> nothing 4-5",
      "read> following 6-7",
    ),
    "a lost write that took effect before it was sent": history(
      "check> DENY BLOCKING 0-1",
      "block> ? 2-lost",
    ),
  };
  for (const [name, given] of Object.entries(bad)) {
    it(`refuses ${name}`, () => {
      expect(accepts(given)).to.equal(false);
      expect(definition(given)).to.equal(false);
    });
  }

  it("names the operation that nothing explains, and the states that may have been", () => {
    const given = history("follow> OK 0-1", "block< ? 2-lost", "check> DENY BLOCKING 3-4", "follow> OK 5-6");
    expect(checkLinearizable(pairModel, given)).to.eql({
      linearizable: false,
      operation: given[2],
      states: [1, 8],
    });
  });

  it("refuses what nothing explains, however much was lost meanwhile", () => {
    const lines = ["follow>", "follow<", "unfollow>", "unfollow<", "block>", "unblock>"].flatMap((call, i) =>
      Array.from({ length: 10 }, (_, n) => `${call} ? ${i + 6 * n}-${n % 2 === 0 ? "lost" : 70 + n}`),
    );
    const reads = ["read> following 100-101", "read> blocking 102-103", "read> nothing 104-105"];
    expect(accepts(history(...lines, ...reads))).to.equal(true);
    expect(accepts(history(...lines, ...reads, "read> blockedBy 106-107"))).to.equal(false);
  });

  for (const oneLostIn of [2, 4, 60]) {
    it(`accepts whatever really happened, however much of it overlaps, with one reply in ${oneLostIn} lost`, () => {
      fc.assert(fc.property(executions(300, oneLostIn), accepts), { numRuns: 100 });
    });
  }

  it("refuses calls one after the other of which one was answered otherwise", () => {
    const altered = fc
      .tuple(executions(40, 60), fc.nat(), answers)
      .map(([given, chosen, result]) => ({ given, index: chosen % (given.length || 1), result }));
    fc.assert(
      fc.property(altered, ({ given, index, result }) => {
        const inTurn = given
          .filter((operation) => operation.result !== undefined)
          .map((operation, i) => ({ ...operation, invoked: i, responded: i + 0.5 }));
        let state = 0;
        const exact = inTurn.map((operation) => {
          const answer = pairModel.run(state, operation.call);
          state = answer.state;
          return { ...operation, result: answer.result };
        });
        fc.pre(exact[index] !== undefined && exact[index].result !== result);
        expect(accepts(exact)).to.equal(true);
        expect(
          accepts(exact.map((operation, i) => (i === index ? { ...operation, result } : operation))),
        ).to.equal(false);
      }),
    );
  });

  for (const oneLostIn of [2, 60])
    it(`agrees with the definition, whatever was answered, with one reply in ${oneLostIn} lost`, () => {
      const altered = fc
        .tuple(executions(7, oneLostIn, 4), fc.array(fc.tuple(fc.nat(6), answers), { maxLength: 2 }))
        .map(([given, changes]) =>
          given.map((operation, i) => {
            const change = changes.find(([index]) => index === i);
            return change === undefined || operation.result === undefined
              ? operation
              : { ...operation, result: change[1] };
          }),
        );
      const verdicts = new Set<boolean>();
      fc.assert(
        fc.property(altered, (given) => {
          verdicts.add(accepts(given));
          expect(accepts(given)).to.equal(definition(given));
        }),
        { numRuns: 3_000 },
      );
      expect(verdicts.size).to.equal(2);
    });
});
