import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "chai";
import {
  AccessService,
  type Cause,
  CauseSchema,
  type Effect,
  EffectSchema,
} from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { embedded, postgresql } from "../support/backends.ts";
import { readDecisionTable } from "../support/decision-vectors.ts";
import { decisionStatements, untilGraphReady } from "../support/graph.ts";
import { OpenedBackend } from "../support/opened-backend.ts";
import { startService, type TestService } from "../support/service.ts";
import { checkOf, inGroups, type StoredVector, storeVectors, viewerOf } from "../support/stored-vectors.ts";

const { vectors } = readDecisionTable();
const dayMicros = 86_400_000_000n;

/** What is wrong in the statements of the service. */
const mutants = {
  "records that hold at their end": [
    "expires_at > statement_timestamp()",
    "expires_at >= statement_timestamp()",
  ],
  "mutes that cover everything": ["scopes & q.mute_scope <> 0", "true"],
} as const;

const answerOf = ({ effect, cause }: { effect: Effect; cause: Cause }) => {
  const name = CauseSchema.value[cause]?.localName;
  return `${EffectSchema.value[effect]?.localName} ${name === "UNSPECIFIED" ? null : name}`;
};

for (const { backend, databaseUrl, source, graphMemoryBytes } of [embedded, postgresql].flatMap((backend) => [
  { ...backend, source: "the tables", graphMemoryBytes: 0 },
  { ...backend, source: "the graph", graphMemoryBytes: 2 ** 26 },
])) {
  describe(`the decision table on ${backend}, decided by ${source}`, function () {
    this.timeout(120_000);
    const opened = new OpenedBackend({ hasClock: true });
    let service: TestService;
    let access: Client<typeof AccessService>;
    let stored: StoredVector[];
    before(async function () {
      service = await startService(await databaseUrl(this), { graphMemoryBytes }, async (options) => {
        const database = await opened.open(options);
        // What has ended must be there to be left out.
        database.expiry.sweepExpired = async () => 0;
        return database;
      });
      if (graphMemoryBytes > 0) await untilGraphReady(service);
      access = createClient(AccessService, createGrpcTransport({ baseUrl: service.internalUrl }));
      const storedAt = BigInt(Date.now()) * 1_000n;
      await opened.clock?.stopAt(storedAt);
      // An end must be in the future when it is chosen.
      const decidedAt = storedAt + dayMicros;
      stored = await storeVectors(service, vectors, decidedAt);
      await opened.clock?.stopAt(decidedAt);
    });
    after(() => service?.stop(1_000));

    /** Expects the answers of the vectors; a failure names those that differ. */
    function compare(answers: readonly string[]): void {
      expect(answers).to.have.length(vectors.length);
      const wrong = vectors.flatMap(({ name, effect, cause }, i) =>
        answers[i] === `${effect} ${cause}` ? [] : [`${name}: ${answers[i]}, not ${effect} ${cause}`],
      );
      // Not an assertion on the array: the message of one shows no more than its length.
      if (wrong.length > 0) expect.fail(wrong.join("\n"));
    }

    async function batch(): Promise<string[]> {
      const { results } = await access.batchCheckAccess(
        { checks: stored.map(checkOf) },
        await service.acting(),
      );
      return results.map(answerOf);
    }

    it("is what BatchCheckAccess answers", async () => {
      compare(await batch());
      const { tables } = await decisionStatements(service);
      expect(tables > 0).to.equal(graphMemoryBytes === 0);
    });

    it("is what CheckAccess answers, with NOT_FOUND for unknown users", async () => {
      const options = await service.acting();
      const check = async (one: StoredVector) => {
        try {
          return answerOf(await access.checkAccess(checkOf(one), options));
        } catch (failure) {
          if (ConnectError.from(failure).code === Code.NotFound) return "DENY UNKNOWN_USER";
          throw failure;
        }
      };
      compare(await inGroups(stored, check));
    });

    // Explanations are always answered from the tables.
    if (graphMemoryBytes > 0) return;

    it("is what ExplainAccess answers", async () => {
      const options = await service.acting();
      // One explanation has the answers of all interactions.
      const byOwner = new Map<string, ReturnType<typeof access.explainAccess>>();
      const explain = async (one: StoredVector) => {
        const explained =
          byOwner.get(one.owner) ??
          access.explainAccess({ viewer: viewerOf(one), ownerId: one.owner }, options);
        byOwner.set(one.owner, explained);
        const { interactions } = await explained;
        const found = interactions.find(({ interaction }) => interaction === checkOf(one).interaction);
        return found === undefined ? "none" : answerOf(found);
      };
      compare(await inGroups(stored, explain));
    });

    for (const [name, [text, instead]] of Object.entries(mutants))
      it(`is found wrong with ${name}`, async () => {
        opened.rewrite = (sql) => sql.replaceAll(text, instead);
        const answers = await batch().finally(() => {
          opened.rewrite = (sql) => sql;
        });
        expect(() => compare(answers)).to.throw("not");
      });
  });
}
