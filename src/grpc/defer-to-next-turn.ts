/** So many tasks run before what they begin is let go on. */
const together = 16;

let waiting: (() => void)[] = [];

/**
 * Runs a task when the event loop has dealt with all that it has read. A stream that is opened and reset by the same
 * bytes is gone by then, so that a flood of them costs next to nothing. All tasks of a turn share one immediate, but
 * not one moment: what the first of them do is known to the last, such as that there is room for no more.
 */
export function deferToNextTurn(task: () => void): void {
  if (waiting.push(task) > 1) return;
  setImmediate(() => {
    const turn = waiting;
    waiting = [];
    run(turn, 0);
  });
}

function run(tasks: readonly (() => void)[], from: number): void {
  const to = Math.min(tasks.length, from + together);
  for (let i = from; i < to; i++) tasks[i]?.();
  if (to < tasks.length) queueMicrotask(() => process.nextTick(run, tasks, to));
}
