import { expect } from "chai";
import { describeAborts } from "./aborts.ts";
import { describeAccess } from "./access.ts";
import { describeBlocks } from "./blocks.ts";
import { describeChangeLogFigures } from "./change-log-figures.ts";
import { describeChangeLogUpkeep } from "./change-log-upkeep.ts";
import { describeChanges } from "./changes.ts";
import { describeConsistency } from "./consistency.ts";
import { describeEdges } from "./edges.ts";
import { describeErasure } from "./erasure.ts";
import { describeErasureSteps } from "./erasure-steps.ts";
import { describeExceptions } from "./exceptions.ts";
import { describeExpiry } from "./expiry.ts";
import { describeExplanations } from "./explanations.ts";
import { describeExports } from "./exports.ts";
import { describeFollows } from "./follows.ts";
import { describeHidden } from "./hidden.ts";
import { describeIdempotency } from "./idempotency.ts";
import { describeImportedChoices } from "./import-choices.ts";
import { describeImports } from "./imports.ts";
import { describeLists } from "./lists.ts";
import { describeOwnSide } from "./own-side.ts";
import { describeSettings } from "./settings.ts";
import type { TestStore } from "./store.ts";
import { describeTerms } from "./terms.ts";
import { describeUsers } from "./users.ts";

/** Every promise of the store that does not depend on the backend. `open` returns a store that was just migrated. */
export function describeStore(open: () => TestStore): void {
  it("is empty at first", async () => {
    expect(await open().users.isEmpty()).to.equal(true);
  });

  it("has one signing key of 32 bytes, also after further migrations", async () => {
    const key = await open().signingKey();
    expect(key).to.have.length(32);
    expect(await open().migrate()).to.eql([]);
    expect(await open().signingKey()).to.eql(key);
    await open().assertMigrated();
  });

  describeUsers(open);
  describeFollows(open);
  describeEdges(open);
  describeBlocks(open);
  describeTerms(open);
  describeLists(open);
  describeSettings(open);
  describeExceptions(open);
  describeAccess(open);
  describeExplanations(open);
  describeHidden(open);
  describeOwnSide(open);
  describeConsistency(open);
  describeImports(open);
  describeImportedChoices(open);
  describeExports(open);
  describeExpiry(open);
  describeIdempotency(open);
  describeErasure(open);
  describeErasureSteps(open);
  describeChanges(open);
  describeChangeLogFigures(open);
  describeChangeLogUpkeep(open);
  describeAborts(open);
}
