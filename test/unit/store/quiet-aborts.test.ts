import { expect } from "chai";
import { CompiledQuery, type ControlConnectionProvider, type DatabaseConnection } from "kysely";
import { quietAborts } from "../../../src/store/quiet-aborts.ts";

const query = CompiledQuery.raw("select 1");

describe("quiet aborts", () => {
  let statement: PromiseWithResolvers<never>;
  let cancellations: number;
  let connection: DatabaseConnection;
  /** What a cancellation does. */
  let onCancel: () => void;
  const control: ControlConnectionProvider = () => Promise.reject(new Error("not asked in this test"));

  beforeEach(async () => {
    statement = Promise.withResolvers();
    cancellations = 0;
    connection = {
      executeQuery: () => statement.promise,
      async cancelQuery(given) {
        expect(given).to.equal(control);
        cancellations++;
        onCancel();
      },
      // biome-ignore lint/correctness/useYield: nothing is streamed here
      async *streamQuery() {
        throw new Error("not called");
      },
    };
    await quietAborts(control)(connection);
  });

  it("cancel a statement over the control connection, and say nothing of its end", async () => {
    onCancel = () => statement.reject(new Error("cancelled"));
    const result = connection.executeQuery(query, { signal: AbortSignal.abort() });
    await connection.cancelQuery?.(control);
    expect(await result).to.eql({ rows: [] });
    expect(cancellations).to.equal(1);
  });

  it("cancel it again when the first cancellation is lost, or fails", async () => {
    onCancel = () => {
      if (cancellations === 1) return;
      if (cancellations === 2) throw new Error("the control connection broke");
      statement.reject(new Error("cancelled"));
    };
    const result = connection.executeQuery(query, { signal: AbortSignal.abort() });
    await connection.cancelQuery?.(control);
    await result;
    expect(cancellations).to.equal(3);
  });

  it("cancel nothing when nothing runs any more", async () => {
    onCancel = () => {};
    const result = connection.executeQuery(query);
    statement.reject(new Error("too late"));
    await result.catch(() => {});
    await connection.cancelQuery?.(control);
    expect(cancellations).to.equal(0);
  });

  it("let failures through that no abort caused", async () => {
    const failure = new Error("division by zero");
    const result = connection.executeQuery(query, { signal: new AbortController().signal });
    statement.reject(failure);
    expect(await result.catch((reason: unknown) => reason)).to.equal(failure);
  });
});
