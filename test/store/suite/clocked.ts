import { openEmbedded } from "../../../src/store/embedded.ts";
import { openPostgresql } from "../../../src/store/postgresql.ts";
import type { TestBackend } from "../../support/backends.ts";
import { rewriteStatements } from "../../support/rewritten-statements.ts";
import { TestClock } from "../../support/test-clock.ts";
import { type TestStore, testStore } from "./store.ts";

/** A store on a database of its own, whose clock tests move. */
export interface ClockedStore {
  readonly store: TestStore;
  readonly clock: TestClock;
  /** Of a database of PostgreSQL. */
  readonly url: string | undefined;
  /** Returns what is sent instead of a statement of the store. */
  rewrite: (text: string) => string;
}

/** A busy machine must not refuse what tests ask for at once. */
const poolLimits = { acquireTimeoutMs: 60_000 };

/** Gives the tests of a `describe` a migrated store with a clock that they move; skips them where there is none. */
export function onMovableClock({ databaseUrl }: TestBackend): () => ClockedStore {
  let opened: ClockedStore;
  before(async function () {
    opened = await openClocked(await databaseUrl(this));
  });
  after(() => opened?.store.close());
  return () => opened;
}

async function openClocked(url: string | undefined): Promise<ClockedStore> {
  const backend =
    url === undefined
      ? await openEmbedded("memory://", () => {})
      : await openPostgresql(url, () => {}, { poolLimits });
  const clock = await TestClock.install(backend.executor);
  const store = testStore(backend);
  await store.migrate();
  const opened = { store, clock, url, rewrite: (text: string) => text };
  rewriteStatements(backend, (text) => opened.rewrite(text));
  return opened;
}
