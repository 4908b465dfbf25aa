/** How many tasks run before the work that they begin goes on. */
const batchSize = 16;

let deferred: (() => void)[] = [];

/**
 * Runs a task after the event loop has handled all that it has read. A stream that is opened and reset by the same
 * bytes is closed by then, so that a flood of them costs next to nothing. All tasks of a turn share one immediate, and
 * run in batches: admission control sees the calls of one batch before the next begins.
 */
export function deferToNextTurn(task: () => void): void {
  if (deferred.push(task) > 1) return;
  setImmediate(() => {
    const turn = deferred;
    deferred = [];
    runBatch(turn, 0);
  });
}

function runBatch(tasks: readonly (() => void)[], from: number): void {
  const to = Math.min(tasks.length, from + batchSize);
  for (let i = from; i < to; i++) tasks[i]?.();
  if (to < tasks.length) queueMicrotask(() => process.nextTick(runBatch, tasks, to));
}
