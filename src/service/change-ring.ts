import type { Change } from "../domain/changes.ts";
import type { Tick, TickName } from "../store/change-log.ts";

/** The most changes of a page, which is what one message holds. */
export const pageSize: number = 1_000;
/** The most changes in the ring. A change has a bounded size: they take less than 10 MB. */
const maxChanges = 10_000;

/** A position in the change log with its ticks: see `LogPosition`. */
export interface LogPlace {
  readonly from: Tick;
  readonly within?: { readonly to: Tick; readonly version: bigint } | undefined;
}

/** Some changes that follow each other in the log. A page is shared by all who read it. */
export interface Page {
  readonly changes: readonly Change[];
  /** Where to read on. */
  readonly next: LogPlace;
  /** Whether these are the last ones before a tick: then `next` is after that tick. */
  readonly complete: boolean;
  /** Nothing that was committed before this time is missing after these changes: in microseconds since 1970. */
  readonly through: bigint;
}

/** All changes between two ticks. */
interface Batch {
  readonly from: Tick;
  readonly to: Tick;
  readonly pages: readonly Page[];
}

/** The newest changes of the log, bounded in number. */
export class ChangeRing {
  /** The most pages of a batch. */
  readonly maxPages = maxChanges / pageSize;
  /** By the id of the tick that each begins with, in the order of the log. */
  readonly #batches = new Map<bigint, Batch>();
  #size = 0;

  /** Adds the batch that follows the last one, and drops old ones. */
  add(batch: Batch): void {
    this.#batches.set(batch.from.id, batch);
    this.#size += sizeOf(batch);
    for (const [id, oldest] of this.#batches) {
      if (this.#size <= maxChanges && this.#batches.size <= maxChanges) return;
      this.#batches.delete(id);
      this.#size -= sizeOf(oldest);
    }
  }

  /** Drops everything. */
  clear(): void {
    this.#batches.clear();
    this.#size = 0;
  }

  /** The page that comes next at a place, undefined when the ring does not have it. */
  read({ from, within }: LogPlace): Page | undefined {
    const batch = this.#batches.get(from.id);
    if (batch === undefined || batch.from.nonce !== from.nonce) return undefined;
    const { pages, to } = batch;
    if (within === undefined) return pages[0];
    if (within.to.id !== to.id || within.to.nonce !== to.nonce) return undefined;
    const index = pages.findIndex(({ next }) => next.within?.version === within.version);
    return index === -1 ? undefined : pages[index + 1];
  }

  /** The tick of that name, undefined when no batch in the ring begins with it. */
  tick({ id, nonce }: TickName): Tick | undefined {
    const tick = this.#batches.get(id)?.from;
    return tick?.nonce === nonce ? tick : undefined;
  }
}

function sizeOf({ pages }: Batch): number {
  return pages.reduce((sum, { changes }) => sum + changes.length, 0);
}

/** Whether two names are of one tick. */
export function isSame(a: TickName, b: TickName): boolean {
  return a.id === b.id && a.nonce === b.nonce;
}
